"""THE write path: offsets, ledger and outbox move in one commit or not at all (architecture.md)."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import asyncpg
import structlog

from service.core import rules
from service.core.books import Changes
from service.core.events import Event, ExportResponse, Incoming, Refused, institution_of
from service.core.ledger import FineKey, SourceKey
from service.core.words import Wait
from service.crash import crash_point
from service.database import ledger_write, offsets, outbox
from service.database.ledger_store import LedgerStore, Moved
from service.database.pool import Connection, Writes
from service.database.references import References, references
from service.database.rows import pack_headers
from service.database.statements import statements
from service.database.transient import SCHEMA_CHANGED
from service.messages import encode_balance_changed, encode_loan_closed, encode_rejected
from service.poll import Poll, Report, moved, moves_of

log = structlog.get_logger()

R = TypeVar("R")

# The same commit again may go through: a rival was faster, held what we wanted, or migrated.
RETRYABLE: tuple[type[Exception], ...] = (
    Moved,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    asyncpg.LockNotAvailableError,
    *SCHEMA_CHANGED,
)
# The database will not have it, however often. A rival who is still there after all tries is no
# fault of the record's: that is the caller's to wait for.
REFUSED_FOR_GOOD = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.exceptions.ProgramLimitExceededError,
    Moved,
)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the ledger's news goes: full topic names, and the CloudEvents source."""

    balance_changed: str
    loan_closed: str
    rejected: str
    ce_source: str


@dataclass(frozen=True, slots=True)
class ApplyLimits:
    tries_max: int = 8
    # A response weighs as many events as its batch has lines; one alone may weigh more.
    poll_weight_max: int = 20_000


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
        self.retries: Counter[str] = Counter()

    async def apply(self, poll: Poll) -> Report:
        """Applies all of it. What the database refuses for good is parked alone. Raises Fenced."""
        done, records = Report(claims=poll.claims), poll.records
        while records:
            count = await self._light_enough(records)
            part = await self._apply_part(Poll(records[:count], done.claims))
            done, records = done.followed_by(part), records[count:]
        return done

    async def _apply_part(self, poll: Poll) -> Report:
        try:
            report = await self.retried(lambda connection: self._apply_once(connection, poll))
        except REFUSED_FOR_GOOD as error:
            return await self._halve(poll, error)
        self.committed()
        return report

    async def apply_lanes(self, lanes: Sequence[FineKey | SourceKey]) -> Mapping[str, int]:
        """What is parked there is tried again: the sweep's and an operator's way in."""
        behind = {lane for lane in lanes if isinstance(lane, SourceKey)}
        fines = {lane for lane in lanes if isinstance(lane, FineKey)}
        named = References(fines=fines, payments=behind, originals=behind)
        changes = await self.retried(
            lambda connection: self.apply_events(connection, named, (), lanes)
        )
        self.committed()
        return changes.outcomes

    async def retried(self, work: Callable[[Connection], Awaitable[R]]) -> R:
        """`work` in one transaction, the whole of it again while a rival is in the way."""
        for _ in range(self._limits.tries_max - 1):
            try:
                return await self._in_transaction(work)
            except RETRYABLE as error:
                self.retries[type(error).__name__] += 1
                self._retrying(type(error).__name__)
        return await self._in_transaction(work)

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
        events = tuple(r for r in poll.records if not isinstance(r, Refused))
        refused = tuple(r for r in poll.records if isinstance(r, Refused))
        changes = await self.apply_events(connection, references(events), events, (), refused)
        return Report(changes.outcomes, moved(poll.claims, moves), len(changes.transactions))

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
        changes = with_refused(rules.fold(view, events, lanes), refused)
        await self.write(connection, changes, locked.recorded_at)
        return changes

    async def write(self, connection: Connection, changes: Changes, recorded_at: datetime) -> None:
        """The ledger, then the outbox: last, under the locks, so its order is the ledger's."""
        await ledger_write.write(connection, changes, recorded_at)
        crash_point("ledger_written")
        out = self.outputs
        moved = [
            encode_balance_changed(transaction, recorded_at, out.ce_source)
            for transaction in changes.transactions
        ]
        loans = [
            encode_loan_closed(closed, recorded_at, out.ce_source)
            for closed in changes.loans_closed
        ]
        refused = [encode_rejected(value, recorded_at, out.ce_source) for value in changes.refused]
        await outbox.put(connection, out.balance_changed, moved, recorded_at)
        await outbox.put(connection, out.loan_closed, loans, recorded_at)
        await outbox.put(connection, out.rejected, refused, recorded_at)
        crash_point("outbox_put")

    async def _light_enough(self, records: Sequence[Incoming | Refused]) -> int:
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

    async def _halve(self, poll: Poll, error: Exception) -> Report:
        """Until the record that the database refuses stands alone; the rest goes on."""
        if len(poll.records) > 1:
            middle = len(poll.records) // 2
            done = await self._apply_part(replace(poll, records=poll.records[:middle]))
            rest = await self._apply_part(Poll(poll.records[middle:], done.claims))
            return done.followed_by(rest)
        (record,) = poll.records
        if isinstance(record, Refused):
            raise error
        return await self.retried(lambda connection: self._park_error(connection, poll, error))

    async def _park_error(self, connection: Connection, poll: Poll, error: Exception) -> Report:
        """The sound record with its bytes, an alarm, and its partition goes on."""
        (record,) = poll.records
        assert not isinstance(record, Refused)
        moves = moves_of(poll)
        await offsets.advance(connection, moves)
        came = record.origin
        await connection.execute(
            statements("ledger")["put_parked_error"],
            came.topic,
            came.partition,
            came.offset,
            institution_of(record),
            _name(error),
            came.key,
            came.value,
            pack_headers(came.headers),
            came.traceparent,
        )
        log.error(
            "record_parked_internal_error",
            topic=came.topic,
            partition=came.partition,
            offset=came.offset,
            error=_name(error),
        )
        return Report({f"parked:{Wait.INTERNAL_ERROR}": 1}, moved(poll.claims, moves))


def with_refused(changes: Changes, refused: tuple[Refused, ...]) -> Changes:
    """The records that could not be read, beside those that the rules reject."""
    if not refused:
        return changes
    outcomes = Counter(changes.outcomes)
    outcomes.update(f"rejected:{value.reason}" for value in refused)
    return replace(changes, refused=refused + changes.refused, outcomes=outcomes)


def _name(error: Exception) -> str:
    """The error's sort and its constraint, never its message: that may quote a value."""
    constraint = getattr(error, "constraint_name", None)
    return type(error).__name__ + (f" {constraint}" if constraint else "")
