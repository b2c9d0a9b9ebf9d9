"""Takes batch after batch from the topics to the target, each once, in the order of its profile.

A batch gets its name at one stroke between two states: `started` before, its number after. After a
crash the hidden file tells which side it was on, also if a reader has taken the file away by then.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from aiokafka.errors import KafkaError

from ..export.formats import Format
from ..runtime.crash import crash_point
from ..runtime.problems import Unavailable, describe
from ..runtime.telemetry import Event, Metrics, get_log
from ..runtime.waiting import Backoff, wait_any
from .feed import Feed, Positions, StateLost
from .history import remembered, see_target
from .journal import Journal
from .memory import Memory
from .options import Wanted, continued
from .outcome import Delivered, delivered_of
from .placing import Printed, Refused, Steps, ended, place, printed
from .queue import Due, Queue
from .records import Kind
from .state import Chain, State, StateFile
from .target import Target

log = get_log(__name__)

# Reached again by waiting: target, broker.
AWAY = (Unavailable, KafkaError)
REFUSED_AGAIN_MAX = 100
FORGOTTEN = (
    "batch_number: was delivered before, and nothing tells any more with which content, so it is "
    "not delivered again"
)
RETRY_FIRST_MS = 500
RETRY_MAX_MS = 30_000


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    poll_records_max: int = 100
    poll_wait_ms: int = 500
    waiting_bytes_max: int = 128 * 1024 * 1024  # of one topic, while the other one lags behind


class Delivery:
    """One target's delivery. The state must be held meanwhile (`StateFile.held`)."""

    def __init__(
        self,
        feed: Feed,
        target: Target,
        state_file: StateFile,
        form: Format,
        wanted: Wanted,
        limits: DeliveryLimits | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._feed = feed
        self._target = target
        self._file = state_file
        self._journal = Journal(state_file.journal_path)
        self._memory = Memory()
        self._form = form
        self._wanted = wanted
        self._limits = limits or DeliveryLimits()
        self._metrics = metrics or Metrics()
        self._queue = Queue({}, {})
        self._saved = State()
        self._options = wanted.options(form)
        self._unseen_told: frozenset[str] = frozenset()
        self._told: dict[str, str] = {}
        self._others: Counter[str] = Counter()
        self.refused_again: list[str] = []  # batches delivered before that came again and differ
        self._is_away = True

    @property
    def refusals(self) -> dict[str, str]:
        """Profiles that stand still, and why."""
        return {key: one.text for key, one in self._queue.refusals.items()}

    @property
    def passed_over(self) -> list[str]:
        """Batches of profiles that are not asked for: to this delivery they are done."""
        return [f"passed over, batches of {key}: {n}" for key, n in sorted(self._others.items())]

    @property
    def unseen(self) -> list[str]:
        """What --profile and --continue-at name and no batch has."""
        return self._wanted.unseen(self._queue.keys)

    def problem(self) -> str | None:
        """For readiness: what keeps batches from their target."""
        if self._is_away:
            return "the target or the broker is away"
        names = ", ".join(sorted(self.refusals))
        return f"stands still: {names}" if names else None

    async def open(self) -> None:
        """Reads the state, reaches target and topics, ends what a crash left half done.

        Raises OperatorError and AWAY.
        """
        found = self._file.read()
        saved = continued(
            self._file.path, found or State(), self._options, may_change=self._wanted.may_change
        )
        await self._target.open()
        await self._feed.open(saved.positions)
        self._memory = await remembered(self._journal, self._feed, self._form, saved.chains)
        if found is None and (read_to := await self._read_before()):
            if not self._wanted.continue_at:
                raise StateLost(
                    f"{self._file.path}: there is no state, yet this group has delivered before: "
                    "bring it back, name another --group, or say --continue-at PROFILE=BATCH "
                    "for each profile"
                )
            saved = replace(saved, lost_before=read_to)
        await see_target(self._memory, self._target)
        self._saved = replace(saved, chains={}, options=None)  # until it is written as it is now
        chains = {key: await ended(self._target, chain) for key, chain in saved.chains.items()}
        lost = self._feed.by_kind(saved.lost_before)
        self._queue = Queue(chains, self._wanted.continue_at, lost)
        self._tell_jumps(chains)
        await self._save()

    async def _read_before(self) -> Positions:
        """How far a lost state had read, at most; empty where nothing has been delivered.

        The broker forgets the offsets of a group that is away for some days. The journal remains.
        """
        if committed := await self._feed.committed():
            return committed
        return await self._feed.positions_at_end() if len(self._memory) else {}

    async def close(self) -> None:
        await self._feed.close()
        await self._target.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. A target or a broker that is away is waited for, from the start on."""
        backoff = Backoff(RETRY_FIRST_MS, RETRY_MAX_MS)
        reach = self.open
        while not stop.is_set():
            try:
                if self._is_away:
                    await reach()
                    reach = self._target.open
                await self.run_once(stop)
                self._is_away = False
                backoff.reset()
            except (*AWAY, OSError) as problem:  # OSError: the state's disk
                self._is_away = True
                log.warning(Event.DELIVERY_RETRIES, problem=describe(problem))
                await wait_any((stop,), backoff.next_ms())

    async def run_to_end(
        self, stop: asyncio.Event, told: Callable[[Delivered], None] = lambda _: None
    ) -> None:
        """What the topics hold now. Raises AWAY."""
        await self.open()
        ends = await self._feed.ends()
        while not stop.is_set():
            for one in await self.run_once(stop):
                told(one)
            if await self._feed.is_at(ends):
                break

    async def run_once(self, stop: asyncio.Event) -> list[Delivered]:
        """One look at the topics, and what can be delivered then."""
        halves = await self._feed.poll(
            self._kinds(), self._limits.poll_wait_ms, self._limits.poll_records_max
        )
        for half in halves:
            if self._wanted.has(half.key):
                self._queue.take(half)
            elif half.kind is Kind.BATCH:
                self._others[half.key] += 1
        delivered = []
        while not stop.is_set() and (due := self._queue.due()) is not None:
            if (one := await self._deliver(due)) is not None:
                delivered.append(one)
        self._tell_refusals()
        await self._save()
        if halves:
            await self._feed.tell(self._saved.positions)
        else:
            self._tell_unseen()
        return delivered

    def _kinds(self) -> list[Kind]:
        """Both topics, but of one whose records fill the memory the other one first."""
        held = {kind: self._queue.held_bytes(kind) for kind in Kind}
        most = max(held, key=lambda kind: held[kind])
        full = held[most] > self._limits.waiting_bytes_max
        return [kind for kind in Kind if not (full and kind is most)]

    async def _deliver(self, due: Due) -> Delivered | None:
        try:
            file = await asyncio.to_thread(printed, due, self._form)
            if (conflict := self._memory.conflict(file.batch)) is not None:
                raise Refused(conflict)
            if due.again and self._memory.batch(due.key, due.batch_number) is None:
                raise Refused(FORGOTTEN)
            is_written = await self._place(due, file)
        except Refused as problem:
            self._queue.refuse(due, str(problem))
            if due.again:
                self._tell_refused(due.key, due.batch_number, str(problem))
                self.refused_again.append(f"{due.key}: {due.batch_number} again: {problem}")
                del self.refused_again[:-REFUSED_AGAIN_MAX]
            return None
        for kind, offsets in self._queue.delivered(due, file.batch.sha256).items():
            await self._feed.rewind(kind, offsets)
        await self._save()
        crash_point("delivery_saved")
        self._metrics.delivered.labels(due.key).inc()
        log.info(
            Event.BATCH_DELIVERED,
            profile=due.key,
            batch_number=due.batch_number,
            again=due.again,
            fines=file.manifest["count"],
        )
        return delivered_of(due, file, is_written)

    async def _place(self, due: Due, file: Printed) -> bool:
        async def note() -> None:
            if not self._memory.knows(file.batch):
                await asyncio.to_thread(self._journal.append, [file.batch])
                self._memory.add(file.batch)

        async def start() -> None:
            if not due.again:
                self._queue.start(due, file.file_name, file.batch.sha256)
                await self._save()

        if not due.again and due.chain.started is not None:
            await ended(self._target, due.chain)  # the try before was lost on the way
            return True
        return await place(self._target, file, due.manifest.value, Steps(note, start))

    async def _save(self) -> None:
        positions = await self._feed.positions(self._queue.held)
        lost = self._saved.lost_before
        state = State(positions, self._queue.chains, lost, self._options)
        if state != self._saved:
            await asyncio.to_thread(self._file.write, state)
            self._saved = state

    def _tell_jumps(self, chains: Mapping[str, Chain]) -> None:
        """What --continue-at leaves out, a person should see. `chains`: without it."""
        for key, chain in self._queue.chains.items():
            before = chains.get(key, chain).last.batch_number
            if chain.last.batch_number > before:
                left_out = {"first": before + 1, "last": chain.last.batch_number}
                log.warning(Event.BATCHES_LEFT_OUT, profile=key, **left_out)

    def _tell_unseen(self) -> None:
        """Each once, when the topics are read to their end."""
        unseen = self._wanted.unseen_codes(self._queue.keys)
        for code in sorted(unseen - self._unseen_told):
            log.warning(Event.PROFILE_NOT_SEEN, profile=code)
        self._unseen_told |= unseen

    def _tell_refusals(self) -> None:
        """Each once, for as long as it is the same."""
        refusals = self._queue.refusals
        for key, one in refusals.items():
            if self._told.get(key) != one.text:
                self._tell_refused(key, one.batch_number, one.text)
        for key in self._told.keys() | refusals.keys():
            self._metrics.delivery_refused.labels(key).set(int(key in refusals))
        self._told = {key: one.text for key, one in refusals.items()}

    def _tell_refused(self, key: str, number: int, text: str) -> None:
        log.error(Event.BATCH_NOT_DELIVERED, profile=key, batch_number=number, text=text)
