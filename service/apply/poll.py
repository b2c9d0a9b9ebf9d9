"""Records that were taken from Kafka together, what became of them, and how they are divided.

A poll, or a number of queues, is applied in parts if one commit of all of it fails. The usual time
limits are spent once; after that the parts are tried for a short time only, so that it is soon
known which record has to wait.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

import asyncpg
import structlog

from ..core.breaker import Stop, StopKey
from ..core.events import FailedRecord, FineCreated, Incoming, Rejection
from ..core.ledger import Origin, record_digest
from ..database.offsets import Assignment, Step, TopicAndPartition
from ..database.session import Connection, statements
from ..runtime.telemetry import Event
from .isolation import Record, name_of, place_of

T = TypeVar("T")

log = structlog.get_logger()

# After so many records that have to wait, the rest of a poll is left for the next poll.
PARTITIONS_LATE_MAX = 3
PARTITIONS_LOCKED_MAX = 8
# Ordinary commits hold a lock for a shorter time. A lock that is held longer is waited for later.
SHORT_LOCK_MS = 100
SHORT_STATEMENT_MS = 5_000
ANY = "any"  # the source of fines, which name none


class Sender(NamedTuple):
    """Who has sent a sound record; `topic` is the contract, without the installation's prefix."""

    institution_id: str
    topic: str
    source: str


class Waited(NamedTuple):
    """The stop for which the records of a poll have waited in the database, and their numbers of
    arrival by topic, partition and offset.
    """

    key: StopKey
    arrivals: Mapping[tuple[str, int, int], int]


@dataclass(frozen=True, slots=True)
class Poll:
    """Records in the order in which they were taken, and the partitions that this process reads.

    `suspects` are partitions that were held at their next record, whether the poll has records of
    them or not. Records that have `waited` for the end of a stop are of no partition that is read.
    """

    records: tuple[Record, ...]
    assignments: tuple[Assignment, ...]
    suspects: frozenset[TopicAndPartition] = frozenset()
    waited: Waited | None = None

    @property
    def events(self) -> tuple[Incoming, ...]:
        """The records that could be read."""
        return tuple(r for r in self.records if not isinstance(r, Rejection | FailedRecord))

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """The records that could not be read."""
        return tuple(record for record in self.records if isinstance(record, Rejection))

    @property
    def failed(self) -> tuple[FailedRecord, ...]:
        """The records on which the program has failed."""
        return tuple(record for record in self.records if isinstance(record, FailedRecord))

    def senders(self, contracts: Mapping[str, str]) -> set[Sender]:
        """Returns the senders of the records that could be read.

        `contracts` has the contract of each full topic name.
        """
        return {
            Sender(event.facts.institution_id, contracts[event.origin.topic], ANY)
            if isinstance(event, FineCreated)
            else Sender(event.key.institution_id, contracts[event.origin.topic], event.key.source)
            for event in self.events
        }

    def in_parts(self) -> tuple[tuple[Record, ...], ...]:
        """Returns the next record of each suspect by itself, and then the other records."""
        first: dict[TopicAndPartition, Record] = {}
        for record in self.records:
            if (place := record.origin[:2]) in self.suspects:
                first.setdefault(place, record)
        others = tuple(r for r in self.records if first.get(r.origin[:2]) is not r)
        return (*((record,) for record in first.values()), others)

    def steps(self) -> list[Step]:
        """Returns each assignment that has records in the poll, as it is before and after them."""
        if self.waited is not None:
            return []
        origins = sorted((record.origin for record in self.records), key=attrgetter("offset"))
        last = {origin[:2]: origin for origin in origins}
        steps = [
            (before, _behind(before, last[before.topic, before.partition]))
            for before in self.assignments
            if (before.topic, before.partition) in last
        ]
        assert len(steps) == len(last), "every record is of a partition that this process reads"
        return steps


def _behind(assignment: Assignment, last: Origin) -> Assignment:
    return replace(
        assignment,
        next_offset=last.offset + 1,
        last_record_offset=last.offset,
        last_record_digest=record_digest(last.key, last.value),
    )


@dataclass(frozen=True, slots=True)
class PartitionHold:
    """Why the next record of a partition has to wait, and how long its last try took.

    Without `is_tried` the poll ended before it was the record's turn: nothing is wrong with it.
    """

    error: Exception
    milliseconds: int
    is_tried: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What one or several commits did: outcomes by name, and the assignments after them.

    `rejected` counts all rejected records by topic and reason. `held` are the partitions whose next
    record, and everything behind it, was not applied. `stops` are what bad records have stopped.
    """

    outcomes: Mapping[str, int] = field(default_factory=dict)
    assignments: tuple[Assignment, ...] = ()
    transactions: int = 0
    rejected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    held: Mapping[TopicAndPartition, PartitionHold] = field(default_factory=dict)
    stops: tuple[Stop, ...] = ()

    def followed_by(self, later: "Report") -> "Report":
        """Returns one report of two commits, of which `later` is the second one."""
        outcomes = Counter(self.outcomes) + Counter(later.outcomes)
        rejected = Counter(self.rejected) + Counter(later.rejected)
        transactions = self.transactions + later.transactions
        stops = (*self.stops, *later.stops)
        return Report(outcomes, later.assignments, transactions, rejected, stops=stops)


class HeldPartitions:
    """The partitions whose next record one poll has to leave, so that the other ones continue."""

    def __init__(self) -> None:
        self.holds: dict[TopicAndPartition, PartitionHold] = {}
        self._locked = 0
        self._late = 0

    def hold(self, record: Record, error: Exception, tried_ms: int) -> None:
        """Leaves the record, whose last try ended with `error`, and what is behind it."""
        self.holds[record.origin[:2]] = PartitionHold(error, tried_ms)
        is_lock = isinstance(error, asyncpg.LockNotAvailableError)
        write = log.warning if is_lock else log.error
        write(Event.PARTITION_WAITS, **place_of(record), error=name_of(error))
        self._locked += is_lock
        self._late += not is_lock
        self._last = error

    def leave_rest(self, records: Iterable[Record]) -> None:
        """Leaves these records as well, if many records of the poll have to wait already.

        The next poll has no records of the partitions that are held, so it continues at once.
        """
        if self._locked >= PARTITIONS_LOCKED_MAX or self._late >= PARTITIONS_LATE_MAX:
            for record in records:
                hold = PartitionHold(self._last, 0, is_tried=False)
                self.holds.setdefault(record.origin[:2], hold)

    def leave_topics(
        self, records: Iterable[Record], topics: frozenset[str], why: Exception
    ) -> None:
        """Leaves the records of these topics."""
        for record in records:
            if record.origin.topic in topics:
                self.holds.setdefault(record.origin[:2], PartitionHold(why, 0))

    def without_held(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        """Returns the records of other partitions."""
        return tuple(r for r in records if r.origin[:2] not in self.holds)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a lock and a statement may take, in milliseconds; None stands for the limit of the
    session.
    """

    lock_ms: int | None = None
    statement_ms: int | None = None

    async def apply_to(self, connection: Connection) -> None:
        """Limits the open transaction. A limit of the session that is lower stays."""
        limits = {"lock_timeout": self.lock_ms, "statement_timeout": self.statement_ms}
        given = {name: ms for name, ms in limits.items() if ms is not None}
        if given:
            query = statements("ledger")["limit_waits"]
            await connection.fetch(query, list(given), list(given.values()))


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The items that a commit is tried with. In the last try statements have their usual time."""

    items: tuple[T, ...]
    patience: Patience
    is_last_try: bool


class Parts(Generic[T]):
    """The parts that are left; `take` returns the part that was put last.

    With `is_hurried` it is known from the start that a session holds a lock for long.
    """

    def __init__(self, *, is_hurried: bool = False) -> None:
        self._parts: list[tuple[tuple[T, ...], bool]] = []
        self._lock_ms = SHORT_LOCK_MS if is_hurried else None
        self._statement_ms: int | None = None

    def __bool__(self) -> bool:
        return bool(self._parts)

    def put(self, items: Sequence[T], *, is_last_try: bool = False) -> None:
        """Adds a part, unless it has no items."""
        if items:
            self._parts.append((tuple(items), is_last_try))

    def take(self) -> Part[T]:
        """Removes and returns the part that comes next."""
        items, is_last_try = self._parts.pop()
        is_last_try = is_last_try or self._statement_ms is None
        statement_ms = None if is_last_try else self._statement_ms
        return Part(items, Patience(self._lock_ms, statement_ms), is_last_try)

    def hurry(self, error: Exception) -> None:
        """Shortens the time limit that a part has just exceeded, for all parts that follow."""
        if isinstance(error, asyncpg.LockNotAvailableError):
            self._lock_ms = SHORT_LOCK_MS
        else:
            self._statement_ms = SHORT_STATEMENT_MS

    def put_again(self, part: Part[T], error: Exception) -> bool:
        """Adds the halves of the part, or its only item with more time.

        Returns False, and adds nothing, if the only item has had its last try.
        """
        if len(part.items) > 1:
            middle = len(part.items) // 2
            self.put(part.items[middle:])
            self.put(part.items[:middle])
            return True
        if part.is_last_try or isinstance(error, asyncpg.LockNotAvailableError):
            return False
        self.put(part.items, is_last_try=True)
        return True
