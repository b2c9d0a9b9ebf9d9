"""One database commit writes the Kafka offsets, the ledger and the outbox together, or nothing.

The methods up to `_put_failed` follow one commit in the steps of architecture.md, "One poll". The
methods from `apply` on divide a poll, or a list of wait queues, whose commit fails, so that one
failing record does not keep the other records from being applied.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from ..core import rules
from ..core.events import (
    Event,
    ExportResponse,
    FailedRecord,
    Rejection,
    WaitQueue,
    parked_key,
)
from ..core.shares import LumpRule
from ..core.words import Wait
from ..core.workspace import Changes
from ..database import ledger_write, offsets, outbox
from ..database.failed_records import longest_row, put_parked_errors
from ..database.ledger_read import LedgerReader
from ..database.outbox import Outputs
from ..database.references import QueueEntry, References, references_of, references_of_queues
from ..database.session import Connection, Writes, run_in_thread
from ..runtime.failures import IN_THE_WAY, TIME_LIMITS
from ..runtime.problems import describe
from ..runtime.process import crash_point
from ..settings.parts import ApplyLimits
from . import breaker
from .committing import Committer
from .isolation import (
    InternalErrors,
    Record,
    alarm,
    failed,
    is_of_a_record,
    is_of_the_program,
    name_of,
    raise_for_parked,
)
from .poll import HeldPartitions, Part, Parts, Poll, Report, light_enough
from .tally import TallySink

log = structlog.get_logger()

INTERNAL_ERROR = f"parked:{Wait.INTERNAL_ERROR}"
QueueEntries = tuple[QueueEntry, ...]
Seal = Callable[[], Awaitable[None]] | None


class Applier(Committer):
    """Applies polls, wait queues of parked records, exports and operators' commands to the ledger.
    `store` reads the ledger, and `outputs` encodes the records that are published. `committed` is
    called after each commit that applied records or a decision. `lump_rules` has each institution's
    rule for bursar payments that name only a patron; without a rule they are parked until a person
    decides. If the connection to the database fails, the error is raised.
    """

    def __init__(
        self,
        writer: Writes,
        store: LedgerReader,
        outputs: Outputs,
        limits: ApplyLimits | None = None,
        committed: Callable[[], None] = lambda: None,
        tally_sink: TallySink | None = None,
        lump_rules: Mapping[str, LumpRule] | None = None,
    ) -> None:
        limits = limits or ApplyLimits()
        internal_errors = InternalErrors(limits.internal_errors_in_a_row_max)
        super().__init__(writer, limits.commit_tries_max, internal_errors, tally_sink)
        self.store = store
        self.outputs = outputs
        self.committed = committed
        self._lump_rules = lump_rules or {}
        self._bad_max = limits.bad_records_in_a_row_max

    async def _apply_once(self, connection: Connection, poll: Poll) -> Report:
        steps, waiting = poll.steps(), Counter[str]()
        # The offsets come first, so that a process which no longer owns a partition stops here.
        marks = await offsets.advance(connection, steps, len(poll.records))
        crash_point("offsets_moved")
        if marks.has_stops:
            poll, waiting = await breaker.without_stopped(connection, poll)
        events = poll.events
        if any(event.cuts for event in events):
            self.tally.add_cuts(events)
        references = references_of(events)
        changes = await self.apply_events(connection, references, events, (), poll.rejections)
        await self._put_failed(connection, poll.failed)
        is_counted = marks.has_counts or changes.rejections
        count, bad_max = breaker.count_records, self._bad_max
        stops = await count(connection, poll, changes, bad_max) if is_counted else ()
        after = dict(steps)
        return Report(
            Counter(changes.outcomes) + waiting + Counter({INTERNAL_ERROR: len(poll.failed)}),
            tuple(after.get(assignment, assignment) for assignment in poll.assignments),
            len(changes.transactions),
            Counter((value.origin.topic, value.reason.value) for value in changes.rejections),
            stops=stops,
        )

    async def apply_events(
        self,
        connection: Connection,
        references: References,
        events: Sequence[Event],
        queues: Sequence[WaitQueue] = (),
        rejections: tuple[Rejection, ...] = (),
    ) -> Changes:
        """Applies the events, and tries the parked records of the wait queues `queues` again,
        inside the caller's database transaction. `references` has the keys of the accounts, fines,
        payments and lines to which the events and the queues refer. `rejections` are records that
        could not be decoded; they are stored and published as rejected, and change nothing else.
        Returns what has changed.
        """
        # Nothing of the ledger is read before the accounts are locked: what is read after that
        # cannot change until the commit, because whoever changes a fine holds its account.
        locked = await self.store.lock(connection, references)
        view = await self.store.view(connection, references, locked)
        if references.sums:
            view = replace(view, lump_rules=self._lump_rules)
        size = len(events) + len(view.parked)
        folded = await run_in_thread(connection, size, lambda: rules.fold(view, events, queues))
        changes = folded.with_rejections(rejections)
        await self.write(connection, changes, locked.recorded_at)
        return changes

    async def write(
        self, connection: Connection, changes: Changes, recorded_at: datetime, seal: Seal = None
    ) -> None:
        """Writes the changes to the ledger and to the outbox, inside the caller's database
        transaction. In an export, `seal` is called right before the export lines are written, and
        writes the batch to which these lines refer. Raises ParkedFailure if the program cannot
        encode or write the effects of a record that was parked and is now applied.
        """
        self._freed |= dict.fromkeys(changes.parked.removed)
        waiting = (item for item in changes.parked.changed if item.arrival is not None)
        self._freed |= dict.fromkeys(parked_key(item.event) for item in waiting)
        try:
            await self._write(connection, changes, recorded_at, seal)
        except Exception as problem:
            if is_of_the_program(problem):
                await raise_for_parked(connection, changes, self.outputs, recorded_at)
            raise
        credits_of_excess = [entry for entry in changes.transactions if entry.is_excess]
        self.tally.add_changes(changes.rejections, credits_of_excess, changes.outcomes)

    async def _write(
        self, connection: Connection, changes: Changes, recorded_at: datetime, seal: Seal
    ) -> None:
        changes = await ledger_write.with_missing_profiles(connection, changes)
        await ledger_write.write(connection, changes, recorded_at, has_batches=seal is None)
        if seal is not None:
            await seal()
            await ledger_write.write_lines(connection, changes, recorded_at)
        crash_point("ledger_written")
        size = len(changes.transactions) + len(changes.rejections)
        others = await ledger_write.places_of_others(connection, changes.rejections)
        messages = await run_in_thread(
            connection, size, lambda: self.outputs.encoded(changes, recorded_at, others)
        )
        # The outbox comes last, while the accounts are locked, so that its order for each account
        # is the order of the ledger.
        for topic, encoded in messages:
            await outbox.put_packed(connection, topic, encoded, recorded_at)
        crash_point("outbox_put")

    async def _put_failed(self, connection: Connection, records: Sequence[FailedRecord]) -> None:
        await put_parked_errors(connection, records)
        too_many = self._internal_errors.in_a_row_max + 1
        if await longest_row(connection, records, too_many) == too_many:
            raise self._internal_errors.too_many(records[-1].error)

    async def apply(self, poll: Poll) -> Report:
        """Applies a poll: in one commit, or in several if that commit fails. Returns what the
        commits did. A record on which the program or the database always fails is parked as an
        internal error and logged as an alarm, and the other records are applied. If a record alone
        exceeds a time limit, neither that record nor any later one of its partition is applied, and
        the returned report names the partition. Raises Fenced, TooManyInternalErrors.
        """
        report, held = Report(assignments=poll.assignments), HeldPartitions()
        parts: Parts[Record] = Parts(is_hurried=bool(poll.suspects))
        for records in reversed(poll.in_parts()):
            parts.put(records, is_last_try=len(records) == 1)
        while parts:
            part = await self._next_part(parts, held)
            if not part.items:
                continue
            started_ns = time.monotonic_ns()
            try:
                whole = replace(poll, assignments=report.assignments)
                report = report.followed_by(await self._apply_part(part, whole))
            except Exception as error:  # noqa: BLE001 - raised again unless a record is the cause
                tried_ms = (time.monotonic_ns() - started_ns) // 1_000_000
                await self._divide(part, error, parts, held, tried_ms)
        return replace(report, held=held.holds)

    async def _next_part(self, parts: Parts[Record], held: HeldPartitions) -> Part[Record]:
        part = parts.take()
        held.leave_rest(part.items)
        records = held.without_held(part.items)
        count = await self._light_enough(records)
        parts.put(records[count:], is_last_try=part.is_last_try)
        return replace(part, items=records[:count])

    async def _light_enough(self, records: Sequence[Record]) -> int:
        """How many records, from the first on, one commit can hold in bounded memory."""
        if not (batches := {r.batch for r in records if isinstance(r, ExportResponse)}):
            return len(records)
        async with self.writer.pool.acquire() as connection:
            lines = await self.store.batch_sizes(connection, batches)
        return light_enough(records, lines)

    async def _apply_part(self, part: Part[Record], whole: Poll) -> Report:
        poll = replace(whole, records=part.items)
        errors = self._internal_errors
        in_a_row = errors.after(poll.records) if poll.failed or errors.in_a_row else 0
        report = await self.run_in_transaction(
            lambda connection: self._apply_once(connection, poll), patience=part.patience
        )
        errors.in_a_row = in_a_row
        self.committed()
        alarm(poll.failed)
        if report.stops:
            breaker.alarm(report.stops)
        return report

    async def _divide(
        self,
        part: Part[Record],
        error: Exception,
        parts: Parts[Record],
        held: HeldPartitions,
        tried_ms: int,
    ) -> None:
        """Puts what to try instead of the part. Raises `error` if no record is the cause."""
        if breaker.divide(part, error, parts, held):
            return
        record = part.items[0]
        is_of_record = is_of_a_record(error)
        if not is_of_record:
            if not (isinstance(error, TIME_LIMITS) and await self.answers()):
                raise error
            parts.hurry(error)
        if is_of_record and len(part.items) == 1:
            if isinstance(record, FailedRecord):
                raise error
            log.warning("poll_failed", records=1, problem=describe(error))
            parts.put((failed(record, error),))
        elif parts.put_again(part, error):
            log.warning("poll_halved", records=len(part.items), error=name_of(error))
        else:
            held.hold(record, error, tried_ms)

    async def apply_queues(
        self,
        queues: Sequence[QueueEntries],
        failed: Callable[[QueueEntries, Exception], None],
    ) -> Mapping[str, int]:
        """Tries parked records again, and returns the number of records for each outcome. Each item
        of `queues` has the parked records of one wait queue. `failed` is called with the records of
        each wait queue on which the commit fails, and the other queues are tried all the same.
        """
        outcomes: Counter[str] = Counter()
        parts: Parts[QueueEntries] = Parts()
        parts.put(queues)
        while parts:
            part = parts.take()
            try:
                outcomes.update(await self._apply_queues(part))
            except Exception as error:
                is_of_a_queue = is_of_a_record(error) or isinstance(error, IN_THE_WAY)
                if not (is_of_a_queue and await self.answers()):
                    raise
                if isinstance(error, TIME_LIMITS):
                    parts.hurry(error)
                if not parts.put_again(part, error):
                    failed(part.items[0], error)
        return outcomes

    async def _apply_queues(self, part: Part[QueueEntries]) -> Mapping[str, int]:
        entries = [entry for queue in part.items for entry in queue]
        references = references_of_queues(entries)
        queues = list(dict.fromkeys(entry.queue for entry in entries))
        changes = await self.run_in_transaction(
            lambda connection: self.apply_events(connection, references, (), queues),
            patience=part.patience,
        )
        self.committed()
        return changes.outcomes
