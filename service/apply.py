"""THE write path: offsets, ledger and outbox move in one commit or not at all (architecture.md)."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import asyncpg
import structlog

from service.core import rules
from service.core.books import Changes, ParkedFailure, ParkedKey
from service.core.events import Event, ExportResponse, Failed, Incoming, Refused
from service.core.ledger import FineKey, SourceKey
from service.core.words import Wait
from service.crash import crash_point
from service.database import ledger_write, offsets, outbox
from service.database.aside import aside
from service.database.ledger_store import LedgerStore, Moved
from service.database.parked_errors import longest_row, put_parked_errors, put_parked_failures
from service.database.pool import Connection, Writes
from service.database.references import References, references
from service.database.statements import statements
from service.database.transient import SCHEMA_CHANGED, TRANSIENT
from service.isolation import (
    InternalErrors,
    Waiting,
    alarm,
    failed,
    is_of_a_record,
    is_of_the_program,
    may_be_a_time_limit,
    name_of,
)
from service.isolation_parked import raise_for_parked
from service.outputs import Outputs
from service.poll import Poll, Report, moved, moves_of
from service.problems import describe

log = structlog.get_logger()

R = TypeVar("R")
Records = tuple[Incoming | Refused | Failed, ...]

# The same commit again may go through: a rival was faster, held what we wanted, or migrated.
RETRYABLE: tuple[type[Exception], ...] = (
    Moved,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    asyncpg.LockNotAvailableError,
    *SCHEMA_CHANGED,
)


@dataclass(frozen=True, slots=True)
class ApplyLimits:
    tries_max: int = 8
    # A response weighs as many events as its batch has lines; one alone may weigh more.
    poll_weight_max: int = 20_000
    internal_errors_in_a_row_max: int = 20


class Applier:
    """One poll, one commit. Connection errors are the caller's: it reloads and polls again."""

    def __init__(
        self,
        writer: Writes,
        store: LedgerStore,
        outputs: Outputs,
        limits: ApplyLimits | None = None,
        committed: Callable[[], None] = lambda: None,
        retrying: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.writer = writer
        self.store = store
        self.outputs = outputs
        self._limits = limits or ApplyLimits()
        self.committed = committed
        self._retrying = retrying
        self._internal_errors = InternalErrors(self._limits.internal_errors_in_a_row_max)
        self.retries: Counter[str] = Counter()

    async def apply(self, poll: Poll) -> Report:
        """Applies all of it, in as few commits as go through.

        A record on which the program or the database fails for good is parked alone, with an
        alarm. One that alone is too much for a time limit is left, with what is behind it in its
        partition, and its error is raised once the rest is applied. Raises Fenced,
        TooManyInternalErrors.
        """
        done, waiting, parts = Report(claims=poll.claims), Waiting(), [poll.records]
        is_late = False  # the time for locks was spent once: it is not spent on each half again
        while parts:
            records = waiting.without(parts.pop())
            if not records:
                continue
            count = await self._light_enough(records)
            if count < len(records):
                parts.append(records[count:])
            part = Poll(records[:count], done.claims)
            try:
                done = done.followed_by(await self._apply_part(part, not is_late))
            except Exception as error:  # noqa: BLE001 - raised again unless a record is the cause
                parts += await self._divided(part.records, error, waiting)
                is_late = is_late or may_be_a_time_limit(error)
        waiting.end()
        return done

    async def _apply_part(self, poll: Poll, waits_for_locks: bool) -> Report:
        in_a_row = self._internal_errors.after(poll.records)
        report = await self.retried(
            lambda connection: self._apply_once(connection, poll), waits_for_locks=waits_for_locks
        )
        self._internal_errors.in_a_row = in_a_row
        self.committed()
        alarm(poll.records)
        return report

    async def _divided(
        self, records: Records, error: Exception, waiting: Waiting
    ) -> Sequence[Records]:
        """What to apply instead, the last part first. Raises `error` if no record is the cause."""
        is_its_own = is_of_a_record(error)
        if not is_its_own and not (may_be_a_time_limit(error) and await self._answers()):
            raise error
        if len(records) > 1:
            log.warning("poll_halved", records=len(records), error=name_of(error))
            middle = len(records) // 2
            return records[middle:], records[:middle]
        if not is_its_own:
            waiting.add(records[0], error)
            return ()
        if isinstance(records[0], Failed):
            raise error
        log.warning("poll_failed", records=1, problem=describe(error))
        return ((failed(records[0], error),),)

    async def _answers(self) -> bool:
        """Whether the database is there at all."""
        try:
            async with self.writer.pool.acquire() as connection:
                await connection.fetchval(statements("ledger")["clock"])
        except TRANSIENT:
            return False
        return True

    async def apply_lanes(self, lanes: Sequence[FineKey | SourceKey]) -> Mapping[str, int]:
        """What is parked there is tried again; a queue that fails stops none of the others."""
        outcomes: Counter[str] = Counter()
        parts = [lanes]
        while parts:
            part = parts.pop()
            try:
                outcomes.update(await self._apply_lanes(part))
            except Exception as error:
                is_of_a_queue = is_of_a_record(error) or may_be_a_time_limit(error)
                if not (is_of_a_queue and await self._answers()):
                    raise
                if len(part) > 1:
                    middle = len(part) // 2
                    parts += (part[middle:], part[:middle])
                else:
                    log.error("sweep_failed", problem=describe(error))  # noqa: TRY400 - no values
        return outcomes

    async def _apply_lanes(self, lanes: Sequence[FineKey | SourceKey]) -> Mapping[str, int]:
        behind = {lane for lane in lanes if isinstance(lane, SourceKey)}
        fines = {lane for lane in lanes if isinstance(lane, FineKey)}
        named = References(fines=fines, payments=behind, originals=behind)
        changes = await self.retried(
            lambda connection: self.apply_events(connection, named, (), lanes)
        )
        self.committed()
        return changes.outcomes

    async def retried(
        self,
        work: Callable[[Connection], Awaitable[R]],
        spared: Collection[ParkedKey] = (),
        waits_for_locks: bool = True,
    ) -> R:
        """`work` in one transaction, the whole of it again while a rival is in the way.

        A parked record on which the program fails is set apart first; for one of `spared`
        ParkedFailure is raised. Without `waits_for_locks` the first lock timeout comes out.
        """
        tries = 1
        while True:
            try:
                return await self._in_transaction(work)
            except RETRYABLE as error:
                is_lock = isinstance(error, asyncpg.LockNotAvailableError)
                if tries == self._limits.tries_max or (is_lock and not waits_for_locks):
                    raise
                tries += 1
                self.retries[type(error).__name__] += 1
                self._retrying(type(error).__name__)
            except ParkedFailure as failure:
                if any(key in spared for key in failure.keys):
                    raise
                await self._set_apart(failure)

    async def _set_apart(self, failure: ParkedFailure) -> None:
        """Parked records on which the program fails wait for a person from now on.

        Each is counted, marked by this process or not: so the tries come to an end.
        """
        cause = failure.__cause__ or failure
        self._internal_errors.require_room(len(failure.keys), name_of(cause))
        await self._in_transaction(
            lambda connection: put_parked_failures(connection, failure.keys, name_of(cause))
        )
        self._internal_errors.in_a_row += len(failure.keys)
        count, name = len(failure.keys), name_of(cause)
        log.error("parked_record_failed", records=count, error=name, problem=describe(cause))

    async def _in_transaction(self, work: Callable[[Connection], Awaitable[R]]) -> R:
        async with self.writer.transaction() as connection:
            done = await work(connection)
            crash_point("before_commit")
        crash_point("after_commit")
        return done

    async def _apply_once(self, connection: Connection, poll: Poll) -> Report:
        moves = moves_of(poll)
        await offsets.advance(connection, moves)  # first: a stale owner stops here
        crash_point("offsets_moved")
        events = tuple(r for r in poll.records if not isinstance(r, Refused | Failed))
        refused = tuple(r for r in poll.records if isinstance(r, Refused))
        broken = tuple(r for r in poll.records if isinstance(r, Failed))
        changes = await self.apply_events(connection, references(events), events, (), refused)
        await put_parked_errors(connection, broken)
        more = self._internal_errors.in_a_row_max + 1
        if broken and await longest_row(connection, broken, more) == more:
            raise self._internal_errors.too_many(broken[-1].error)
        outcomes = {f"parked:{Wait.INTERNAL_ERROR}": len(broken)} if broken else {}
        done = moved(poll.claims, moves)
        rejected = Counter((value.origin.topic, value.reason.value) for value in changes.refused)
        outcomes = {**changes.outcomes, **outcomes}
        return Report(outcomes, done, len(changes.transactions), rejected)

    async def apply_events(
        self,
        connection: Connection,
        named: References,
        events: Sequence[Event],
        lanes: Sequence[FineKey | SourceKey] = (),
        refused: tuple[Refused, ...] = (),
    ) -> Changes:
        """Lock, read, decide, write and publish, inside the caller's transaction."""
        locked = await self.store.lock(connection, named)  # the ledger is read after this only
        view = await self.store.view(connection, named, locked)
        size = len(events) + len(view.parked)
        folded = await aside(connection, size, lambda: rules.fold(view, events, lanes))
        changes = folded.with_refused(refused)
        await self.write(connection, changes, locked.recorded_at)
        return changes

    async def write(self, connection: Connection, changes: Changes, recorded_at: datetime) -> None:
        """The ledger, then the outbox: last, under the locks, so its order is the ledger's.

        Raises ParkedFailure where the program fails on what a parked record has caused.
        """
        try:
            await self._write(connection, changes, recorded_at)
        except Exception as problem:
            if is_of_the_program(problem):
                await raise_for_parked(connection, changes, self.outputs, recorded_at)
            raise

    async def _write(self, connection: Connection, changes: Changes, recorded_at: datetime) -> None:
        changes = await ledger_write.explained(connection, changes)
        await ledger_write.write(connection, changes, recorded_at)
        crash_point("ledger_written")
        size = len(changes.transactions) + len(changes.refused)
        others = await ledger_write.places_of_others(connection, changes.refused)
        messages = await aside(
            connection, size, lambda: self.outputs.encoded(changes, recorded_at, others)
        )
        for topic, encoded in messages:
            await outbox.put(connection, topic, encoded, recorded_at)
        crash_point("outbox_put")

    async def _light_enough(self, records: Records) -> int:
        """How many records, from the first on, one commit can hold in bounded memory."""
        batches = {r.batch for r in records if isinstance(r, ExportResponse)}
        if not batches:
            return len(records)
        async with self.writer.pool.acquire() as connection:
            lines = await self.store.batch_sizes(connection, batches)
        weight = 0
        for place, record in enumerate(records):
            weight += lines.get(record.batch, 1) if isinstance(record, ExportResponse) else 1
            if weight > self._limits.poll_weight_max and place > 0:
                return place
        return len(records)
