"""THE write path: offsets, ledger and outbox move in one commit or not at all (architecture.md)."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import structlog

from ..core import rules
from ..core.events import Event, ExportResponse, FailedRecord, Incoming, ParkedKey, Rejection
from ..core.ledger import FineKey, SourceKey
from ..core.words import Wait
from ..core.workspace import Changes
from ..database import ledger_write, offsets, outbox
from ..database.failed_records import longest_row, put_parked_errors
from ..database.ledger_read import LedgerReader
from ..database.offsets import Assignment
from ..database.references import Queue, References, references, references_of_queues
from ..database.session import Connection, Writes, run_in_thread
from ..runtime.crash import crash_point
from ..runtime.problems import describe
from ..settings import ApplyLimits
from .committing import Committer, Work
from .isolation import (
    InternalErrors,
    alarm,
    failed,
    is_in_the_way,
    is_of_a_record,
    is_of_the_program,
    may_be_a_time_limit,
    name_of,
)
from .isolation_parked import raise_for_parked
from .isolation_waits import HeldPartitions
from .outputs import Outputs
from .parts import Part, Parts
from .poll import Poll, Report, moved, moves_of
from .tally import Tally, TallySink

log = structlog.get_logger()

# A response weighs as many events as its batch has lines; one alone may weigh more.
POLL_WEIGHT_MAX = 20_000

R = TypeVar("R")
Record = Incoming | Rejection | FailedRecord
QueueItems = tuple[Queue, ...]


class Applier:
    """One poll, one commit. Connection errors are the caller's: it reloads and polls again."""

    def __init__(
        self,
        writer: Writes,
        store: LedgerReader,
        outputs: Outputs,
        limits: ApplyLimits | None = None,
        committed: Callable[[], None] = lambda: None,
        counting: TallySink | None = None,
    ) -> None:
        self.writer = writer
        self.store = store
        self.outputs = outputs
        self._limits = limits or ApplyLimits()
        self.committed = committed
        self._internal_errors = InternalErrors(self._limits.internal_errors_in_a_row_max)
        self._committer = Committer(
            writer, self._limits.commit_tries_max, self._internal_errors, counting
        )

    async def apply(self, poll: Poll) -> Report:
        """Applies all of it, in as few commits as go through.

        A record on which the program or the database fails for good is parked alone, with an
        alarm. One that alone is too much for a time limit is left, with what is behind it in its
        partition; the report names the partition. Raises Fenced, TooManyInternalErrors.
        """
        done, holding = Report(assignments=poll.assignments), HeldPartitions()
        parts: Parts[Record] = Parts(is_hurried=bool(poll.suspects))
        for records in reversed(poll.in_parts()):
            parts.put(records, is_last_try=len(records) == 1)
        while parts:
            part = await self._next_part(parts, holding)
            if not part.items:
                continue
            started_ns = time.monotonic_ns()
            try:
                done = done.followed_by(await self._apply_part(part, done.assignments))
            except Exception as error:  # noqa: BLE001 - raised again unless a record is the cause
                took_ms = (time.monotonic_ns() - started_ns) // 1_000_000
                await self._divide(part, error, parts, holding, took_ms)
        return replace(done, held=holding.held)

    async def _next_part(self, parts: Parts[Record], holding: HeldPartitions) -> Part[Record]:
        part = parts.take()
        holding.leave_rest(part.items)
        records = holding.without_held(part.items)
        count = await self._light_enough(records)
        parts.put(records[count:], is_last_try=part.is_last_try)
        return replace(part, items=records[:count])

    async def _apply_part(self, part: Part[Record], assignments: tuple[Assignment, ...]) -> Report:
        poll = Poll(part.items, assignments)
        in_a_row = self._internal_errors.after(poll.records)
        report = await self._committer.run(
            lambda connection: self._apply_once(connection, poll), patience=part.patience
        )
        self._internal_errors.in_a_row = in_a_row
        self.committed()
        alarm(poll.records)
        return report

    async def _divide(
        self,
        part: Part[Record],
        error: Exception,
        parts: Parts[Record],
        holding: HeldPartitions,
        took_ms: int,
    ) -> None:
        """What to apply instead goes to `parts`. Raises `error` if no record is the cause."""
        is_its_own = is_of_a_record(error)
        if not is_its_own:
            if not (may_be_a_time_limit(error) and await self._committer.answers()):
                raise error
            parts.hurry(error)
            if parts.put_again(part, error):
                log.warning("poll_halved", records=len(part.items), error=name_of(error))
            else:
                holding.hold(part.items[0], error, took_ms)
        elif len(part.items) > 1:
            parts.put_again(part, error)
            log.warning("poll_halved", records=len(part.items), error=name_of(error))
        elif isinstance(record := part.items[0], FailedRecord):
            raise error
        else:
            log.warning("poll_failed", records=1, problem=describe(error))
            parts.put((failed(record, error),))

    async def apply_queues(
        self,
        queues: Sequence[QueueItems],
        failed: Callable[[QueueItems, Exception], None],
    ) -> Mapping[str, int]:
        """What is parked there is tried again; how many records had which outcome.

        Each of `queues` is what is to be tried of one queue. `failed` is called with each that
        cannot be tried, which stops none of the others.
        """
        outcomes: Counter[str] = Counter()
        parts: Parts[QueueItems] = Parts()
        parts.put(queues)
        while parts:
            part = parts.take()
            try:
                outcomes.update(await self._apply_queues(part))
            except Exception as error:
                is_of_a_queue = is_of_a_record(error) or is_in_the_way(error)
                if not (is_of_a_queue and await self.answers()):
                    raise
                if may_be_a_time_limit(error):
                    parts.hurry(error)
                if not parts.put_again(part, error):
                    failed(part.items[0], error)
        return outcomes

    async def _apply_queues(self, part: Part[QueueItems]) -> Mapping[str, int]:
        items = [item for queue in part.items for item in queue]
        named = references_of_queues(items)
        lanes = list(dict.fromkeys(item.lane for item in items))
        changes = await self._committer.run(
            lambda connection: self.apply_events(connection, named, (), lanes),
            patience=part.patience,
        )
        self.committed()
        return changes.outcomes

    async def run_in_transaction(self, work: Work[R], spared: Collection[ParkedKey] = ()) -> R:
        """`work` in one transaction, the whole of it again while a rival is in the way.

        A parked record on which the program fails, or that the database refuses, is set apart
        first; for one of `spared` ParkedFailure is raised.
        """
        return await self._committer.run(work, spared)

    async def answers(self) -> bool:
        """Whether the database is there at all."""
        return await self._committer.answers()

    @property
    def tally(self) -> Tally:
        """What the transaction that is open counts."""
        return self._committer.tally

    @property
    def counting(self) -> TallySink:
        """Who counts what has committed."""
        return self._committer.counting

    @property
    def retries(self) -> Counter[str]:
        """Commits that were made again, by the error."""
        return self._committer.retries

    async def _apply_once(self, connection: Connection, poll: Poll) -> Report:
        moves = moves_of(poll)
        await offsets.advance(connection, moves)  # first: a stale owner stops here
        crash_point("offsets_moved")
        events = tuple(r for r in poll.records if not isinstance(r, Rejection | FailedRecord))
        rejections = tuple(r for r in poll.records if isinstance(r, Rejection))
        broken = tuple(r for r in poll.records if isinstance(r, FailedRecord))
        changes = await self.apply_events(connection, references(events), events, (), rejections)
        await put_parked_errors(connection, broken)
        more = self._internal_errors.in_a_row_max + 1
        if broken and await longest_row(connection, broken, more) == more:
            raise self._internal_errors.too_many(broken[-1].error)
        outcomes = {f"parked:{Wait.INTERNAL_ERROR}": len(broken)} if broken else {}
        done = moved(poll.assignments, moves)
        rejected = Counter((value.origin.topic, value.reason.value) for value in changes.rejections)
        outcomes = {**changes.outcomes, **outcomes}
        return Report(outcomes, done, len(changes.transactions), rejected)

    async def apply_events(
        self,
        connection: Connection,
        named: References,
        events: Sequence[Event],
        lanes: Sequence[FineKey | SourceKey] = (),
        rejections: tuple[Rejection, ...] = (),
    ) -> Changes:
        """Lock, read, decide, write and publish, inside the caller's transaction."""
        locked = await self.store.lock(connection, named)  # the ledger is read after this only
        view = await self.store.view(connection, named, locked)
        size = len(events) + len(view.parked)
        folded = await run_in_thread(connection, size, lambda: rules.fold(view, events, lanes))
        changes = folded.with_rejections(rejections)
        await self.write(connection, changes, locked.recorded_at)
        return changes

    async def write(self, connection: Connection, changes: Changes, recorded_at: datetime) -> None:
        """The ledger, then the outbox: last, under the locks, so its order is the ledger's.

        Raises ParkedFailure where the program fails on what a parked record has caused.
        """
        self._committer.note_freed(changes)
        try:
            await self._write(connection, changes, recorded_at)
        except Exception as problem:
            if is_of_the_program(problem):
                await raise_for_parked(connection, changes, self.outputs, recorded_at)
            raise
        self.tally.add_changes(changes)

    async def _write(self, connection: Connection, changes: Changes, recorded_at: datetime) -> None:
        changes = await ledger_write.with_missing_profiles(connection, changes)
        await ledger_write.write(connection, changes, recorded_at)
        crash_point("ledger_written")
        size = len(changes.transactions) + len(changes.rejections)
        others = await ledger_write.places_of_others(connection, changes.rejections)
        messages = await run_in_thread(
            connection, size, lambda: self.outputs.encoded(changes, recorded_at, others)
        )
        for topic, encoded in messages:
            await outbox.put(connection, topic, encoded, recorded_at)
        crash_point("outbox_put")

    async def _light_enough(self, records: Sequence[Record]) -> int:
        """How many records, from the first on, one commit can hold in bounded memory."""
        batches = {r.batch for r in records if isinstance(r, ExportResponse)}
        if not batches:
            return len(records)
        async with self.writer.pool.acquire() as connection:
            lines = await self.store.batch_sizes(connection, batches)
        weight = 0
        for place, record in enumerate(records):
            weight += lines.get(record.batch, 1) if isinstance(record, ExportResponse) else 1
            if weight > POLL_WEIGHT_MAX and place > 0:
                return place
        return len(records)
