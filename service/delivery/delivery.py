"""Delivers the batches of each profile from Kafka to the target, each once and in order.

The delivery saves `started` in its state, renames the batch's hidden file to its final name, and
then saves that the batch was delivered. After a crash, a hidden file that still exists shows that
the rename was not done.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from aiokafka.errors import KafkaError

from ..export.formats import Format
from ..runtime.problems import Unavailable, describe, summary
from ..runtime.process import crash_point
from ..runtime.telemetry import Event, Metrics, get_log
from ..runtime.waiting import Backoff, wait_any
from .feed import Feed, Positions, StateLost
from .journal import Journal, list_target, remembered_batches
from .memory import DeliveredBatch, Memory
from .placing import (
    Delivered,
    Undeliverable,
    finish_started,
    place,
    render_batch,
)
from .queue import Queue, ReadyBatch
from .records import RecordKind
from .state import (
    NOTHING_DELIVERED,
    Chain,
    DeliveryLimits,
    DeliveryRequest,
    State,
    StateFile,
    continued,
)
from .target import Target

log = get_log(__name__)

UNAVAILABLE = (Unavailable, KafkaError)  # the target or the broker: tried again after a while
REPEATS_LISTED_MAX = 100
FORGOTTEN = (
    "batch_number: was delivered before, and nothing tells any more with which content, so it is "
    "not delivered again"
)
RETRY_FIRST_MS = 500
RETRY_MAX_MS = 30_000


class Delivery:
    """One target's delivery. The caller holds the lock of the state file (`StateFile.locked`)."""

    def __init__(
        self,
        feed: Feed,
        target: Target,
        state_file: StateFile,
        form: Format,
        request: DeliveryRequest,
        limits: DeliveryLimits | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._feed = feed
        self._target = target
        self._file = state_file
        self._journal = Journal(state_file.journal_path)
        self._memory = Memory()
        self._form = form
        self._request = request
        self._limits = limits or DeliveryLimits()
        self._metrics = metrics or Metrics()
        self._queue = Queue({}, {})
        self._saved = NOTHING_DELIVERED
        self._options = request.options(form)
        self._logged_codes: frozenset[str] = frozenset()
        self._logged_standstills: dict[str, str] = {}
        self._others: Counter[str] = Counter()
        self.undeliverable_again: list[str] = []  # delivered before, came again with a difference
        self._unavailable: str | None = "has not reached the target so far"

    @property
    def standstills(self) -> dict[str, str]:
        """Returns the profiles whose delivery is stopped until one batch comes, and why."""
        return {key: standstill.text for key, standstill in self._queue.standstills.items()}

    @property
    def passed_over(self) -> list[str]:
        """Says for each profile that the operator did not ask for how many of its batches this
        process has read and not delivered.
        """
        return [f"passed over, batches of {key}: {n}" for key, n in sorted(self._others.items())]

    @property
    def findings_on_codes(self) -> list[str]:
        """Returns messages on codes in --profile and --continue-at of which no batch was read."""
        return self._request.findings_on_codes(self._queue.keys, self._others)

    def problem(self) -> str | None:
        """Says for the readiness check why batches are not delivered now; None if they are."""
        if self._unavailable is not None:
            return self._unavailable
        names = ", ".join(sorted(self.standstills))
        return f"stands still: {names}" if names else None

    async def open(self) -> None:
        """Reads the state, connects to target and brokers, and finishes what a crash interrupted.

        Raises OperatorError if a person must act, and one of UNAVAILABLE if a retry may succeed.
        """
        stored = self._file.read()
        saved = continued(
            self._file.path,
            stored or NOTHING_DELIVERED,
            self._options,
            may_change=self._request.may_change,
        )
        await self._target.open()
        await self._feed.open(saved.positions)
        self._memory = await remembered_batches(self._journal, self._feed, self._form, saved.chains)
        if stored is None and (read_to := await self._read_before()):
            if not self._request.continue_at:
                raise StateLost(
                    f"{self._file.path}: there is no state, yet this group has read before: "
                    "bring it back, name another --group, or say --continue-at PROFILE=BATCH "
                    "for each profile"
                )
            saved = replace(saved, lost_before=read_to)
        await list_target(self._memory, self._target)
        # Differs from every state to come, so that the next save writes it.
        self._saved = replace(saved, chains={}, options=None)
        chains = {
            key: await finish_started(self._target, chain) for key, chain in saved.chains.items()
        }
        lost = self._feed.by_kind(saved.lost_before)
        self._queue = Queue(chains, self._request.continue_at, lost)
        self._log_jumps(chains)
        await self._save()

    async def _read_before(self) -> Positions:
        """How far a lost state had read at most; empty if nothing has been delivered.

        The broker forgets the offsets of a group that is away for some days. The journal remains.
        """
        if committed := await self._feed.committed():
            return committed
        return await self._feed.ends() if len(self._memory) else {}

    async def close(self) -> None:
        """Closes the connections to the brokers and the target, even if they have failed."""
        await self._feed.close()
        await self._target.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop` is set; tries again while the target or a broker is unreachable."""
        backoff = Backoff(RETRY_FIRST_MS, RETRY_MAX_MS)
        reach = self.open
        while not stop.is_set():
            try:
                if self._unavailable is not None:
                    await reach()
                    reach = self._target.open
                await self.run_once(stop)
                self._unavailable = None
                backoff.reset()
            except (*UNAVAILABLE, OSError) as problem:  # OSError: the disk of the state
                self._unavailable = f"waits: {summary(problem)}"
                log.warning(Event.DELIVERY_RETRIES, problem=describe(problem))
                await wait_any((stop,), backoff.next_ms())

    async def run_to_end(
        self, stop: asyncio.Event, on_delivered: Callable[[Delivered], None] = lambda _: None
    ) -> None:
        """Delivers the batches that are in the topics now. Raises one of UNAVAILABLE."""
        await self.open()
        ends = await self._feed.ends()
        while not stop.is_set():
            for delivered in await self.run_once(stop):
                on_delivered(delivered)
            if await self._feed.is_at(ends):
                break

    async def run_once(self, stop: asyncio.Event) -> list[Delivered]:
        """Reads the next records and delivers each batch that is complete and comes next."""
        records = await self._feed.poll(
            self._kinds(), self._limits.poll_wait_ms, self._limits.poll_records_max
        )
        for record in records:
            if self._request.has(record.key):
                self._queue.take(record)
            elif record.kind is RecordKind.BATCH:
                self._others[record.key] += 1
        delivered = []
        while not stop.is_set() and (batch := self._queue.ready()) is not None:
            if (result := await self._deliver(batch)) is not None:
                delivered.append(result)
        self._log_standstills()
        await self._save()
        if records:
            await self._feed.commit(self._saved.positions)
        else:
            self._log_codes_without_batches()
        return delivered

    def _kinds(self) -> list[RecordKind]:
        """The kinds to read: both, or one alone while records of the other kind fill the memory."""
        waiting = {kind: self._queue.waiting_bytes(kind) for kind in RecordKind}
        fullest = max(waiting, key=lambda kind: waiting[kind])
        is_full = waiting[fullest] > self._limits.waiting_bytes_max
        return [kind for kind in RecordKind if not (is_full and kind is fullest)]

    async def _deliver(self, batch: ReadyBatch) -> Delivered | None:
        try:
            file = await asyncio.to_thread(render_batch, batch, self._form)
            self._check_memory(batch, file.batch)
            remember = partial(self._remember, file.batch)
            start = partial(self._start, batch, file.batch)
            is_written = await place(self._target, batch, file, remember, start)
        except Undeliverable as problem:
            self._undeliverable(batch, str(problem))
            return None
        for kind, offsets in self._queue.delivered(batch, file.batch.sha256).items():
            await self._feed.rewind(kind, offsets)
        await self._save()
        crash_point("delivery_saved")
        self._metrics.delivered.labels(batch.key).inc()
        totals = {name: file.manifest[name] for name in ("count", "total", "currency")}
        log.info(
            Event.BATCH_DELIVERED,
            profile=batch.key,
            batch_number=batch.batch_number,
            again=batch.was_delivered,
            fines=totals["count"],
        )
        return Delivered(file.batch, totals, is_written)

    def _check_memory(self, batch: ReadyBatch, described: DeliveredBatch) -> None:
        if (conflict := self._memory.conflict(described)) is not None:
            raise Undeliverable(conflict)
        if batch.was_delivered and self._memory.batch(batch.key, batch.batch_number) is None:
            raise Undeliverable(FORGOTTEN)

    async def _start(self, batch: ReadyBatch, described: DeliveredBatch) -> None:
        if not batch.was_delivered:
            self._queue.start(batch, str(described.file_name), described.sha256)
            await self._save()

    async def _remember(self, described: DeliveredBatch) -> None:
        if not self._memory.knows(described):
            await asyncio.to_thread(self._journal.append, [described])
            self._memory.add(described)

    def _undeliverable(self, batch: ReadyBatch, text: str) -> None:
        self._queue.undeliverable(batch, text)
        if batch.was_delivered:
            _log_undeliverable(batch.key, batch.batch_number, text)
            self.undeliverable_again.append(f"{batch.key}: {batch.batch_number} again: {text}")
            del self.undeliverable_again[:-REPEATS_LISTED_MAX]

    async def _save(self) -> None:
        positions = await self._feed.positions(self._queue.first_unfinished)
        state = State(positions, self._queue.chains, self._saved.lost_before, self._options)
        if state != self._saved:
            await asyncio.to_thread(self._file.write, state)
            self._saved = state

    def _log_jumps(self, chains: Mapping[str, Chain]) -> None:
        """Names the batches that --continue-at leaves out; `chains` are those without it."""
        for key, chain in self._queue.chains.items():
            before = chains.get(key, chain).last.batch_number
            if chain.last.batch_number > before:
                left_out = {"first": before + 1, "last": chain.last.batch_number}
                log.warning(Event.BATCHES_LEFT_OUT, profile=key, **left_out)

    def _log_codes_without_batches(self) -> None:
        """Each profile once, when the topics have been read to their end."""
        codes = self._request.codes_without_batches(self._queue.keys)
        for code in sorted(codes - self._logged_codes):
            log.warning(Event.PROFILE_NOT_SEEN, profile=code)
        self._logged_codes |= codes

    def _log_standstills(self) -> None:
        """Each standstill once, for as long as its text is the same."""
        standstills = self._queue.standstills
        for key, standstill in standstills.items():
            if self._logged_standstills.get(key) != standstill.text:
                _log_undeliverable(key, standstill.batch_number, standstill.text)
        for key in self._queue.keys:
            self._metrics.delivered.labels(key)  # shown with 0 before the first delivery
            self._metrics.delivery_blocked.labels(key).set(int(key in standstills))
        self._logged_standstills = self.standstills


def _log_undeliverable(key: str, number: int, text: str) -> None:
    log.error(Event.BATCH_NOT_DELIVERED, profile=key, batch_number=number, text=text)
