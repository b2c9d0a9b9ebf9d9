"""The records that were taken from Kafka together (a poll), what became of them, and how a poll is
divided if its commit fails.

If one commit of a whole poll, or of several wait queues, fails, the poll or the queues are applied
in parts. Only the first try of a poll has the usual time limits; its parts have shorter ones, so
that the record that exceeds a limit is found quickly.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

import asyncpg
import structlog

from ..core.breaker import Stop, StopKey
from ..core.events import ExportResponse, FailedRecord, FineCreated, Incoming, Rejection
from ..core.ledger import BatchKey, Origin, record_digest
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
# A response weighs as many events as its batch has lines; a single one may weigh more.
POLL_WEIGHT_MAX = 20_000
ANY = "any"  # the source of fines, which name none
_UNREAD = (Rejection, FailedRecord)


class Sender(NamedTuple):
    """The sender of a record that could be decoded; `topic` has no prefix of the installation."""

    institution_id: str
    topic: str
    source: str


class Waited(NamedTuple):
    """The stopped topic because of which the records of a poll were stored in the database, and the
    number under which each of them was stored, by topic, partition and offset.
    """

    key: StopKey
    arrivals: Mapping[tuple[str, int, int], int]


@dataclass(frozen=True, slots=True)
class Poll:
    """Records in the order in which they were taken from Kafka, and the partitions that this
    process reads. `suspects` are partitions that were paused because their next record alone
    exceeded a time limit, whether this poll has records of them or not. If `waited` is given, the
    records come from the database and not from Kafka: they waited there because their topic was
    stopped, and no offset moves for them.
    """

    records: tuple[Record, ...]
    assignments: tuple[Assignment, ...]
    suspects: frozenset[TopicAndPartition] = frozenset()
    waited: Waited | None = None

    @property
    def events(self) -> tuple[Incoming, ...]:
        """The records that could be decoded."""
        return tuple([r for r in self.records if not isinstance(r, _UNREAD)])

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """The records that could not be decoded and are therefore rejected."""
        return tuple(record for record in self.records if isinstance(record, Rejection))

    @property
    def failed(self) -> tuple[FailedRecord, ...]:
        """The records on which the program or the database has failed; they are parked."""
        return tuple(record for record in self.records if isinstance(record, FailedRecord))

    def senders(self, contracts: Mapping[str, str]) -> set[Sender]:
        """Returns the senders of those records that could be decoded. `contracts` maps each topic's
        full name to its name without the installation's prefix.
        """
        named = {
            (event.facts.institution_id, event.origin.topic, ANY)
            if isinstance(event, FineCreated)
            else (event.key.institution_id, event.origin.topic, event.key.source)
            for event in self.events
        }
        return {Sender(home, contracts[topic], source) for home, topic, source in named}

    def in_parts(self) -> tuple[tuple[Record, ...], ...]:
        """Returns the first record of each partition in `suspects` alone, then all others."""
        first: dict[TopicAndPartition, Record] = {}
        for record in self.records:
            if (place := record.origin[:2]) in self.suspects:
                first.setdefault(place, record)
        others = tuple(r for r in self.records if first.get(r.origin[:2]) is not r)
        return (*((record,) for record in first.values()), others)

    def steps(self) -> list[Step]:
        """Returns the offsets before and after the poll of each partition with records in it."""
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


def light_enough(records: Sequence[Record], lines: Mapping[BatchKey, int]) -> int:
    """Returns how many of the records, from the first on, may be applied in one commit, so that the
    memory of the process stays bounded. A bursar's response counts as many times as its batch has
    export lines; `lines` has that number for each batch that is known.
    """
    weight = 0
    for place, record in enumerate(records):
        weight += lines.get(record.batch, 1) if isinstance(record, ExportResponse) else 1
        if weight > POLL_WEIGHT_MAX and place > 0:
            return place
    return len(records)


def _behind(assignment: Assignment, last: Origin) -> Assignment:
    return replace(
        assignment,
        next_offset=last.offset + 1,
        last_record_offset=last.offset,
        last_record_digest=record_digest(last.key, last.value),
    )


@dataclass(frozen=True, slots=True)
class PartitionHold:
    """Why the next record of a partition cannot be applied yet, and how many milliseconds the last
    try took. If `is_tried` is False, the record was not tried at all, because the poll ended early
    for the sake of other partitions.
    """

    error: Exception
    milliseconds: int
    is_tried: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What one or several commits did: the number of records by outcome, and the offsets of the
    partitions after the commits. `rejected` has the number of rejected records by topic and reason.
    `held` has the partitions of which the next record, and all records after it, were not applied.
    `stops` has the topics that were stopped because of many bad records.
    """

    outcomes: Mapping[str, int] = field(default_factory=dict)
    assignments: tuple[Assignment, ...] = ()
    transactions: int = 0
    rejected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    held: Mapping[TopicAndPartition, PartitionHold] = field(default_factory=dict)
    stops: tuple[Stop, ...] = ()

    def followed_by(self, later: "Report") -> "Report":
        """Returns one report that adds up this report and that of a later commit."""
        outcomes = Counter(self.outcomes) + Counter(later.outcomes)
        rejected = Counter(self.rejected) + Counter(later.rejected)
        transactions = self.transactions + later.transactions
        stops = (*self.stops, *later.stops)
        return Report(outcomes, later.assignments, transactions, rejected, stops=stops)


class HeldPartitions:
    """The partitions whose next record cannot be applied in the current poll; their records are
    left for a later poll, so that the other partitions continue.
    """

    def __init__(self) -> None:
        self.holds: dict[TopicAndPartition, PartitionHold] = {}
        self._locked = 0
        self._late = 0

    def hold(self, record: Record, error: Exception, tried_ms: int) -> None:
        """Leaves the record, on which `error` was raised, and those behind it for a later poll."""
        self.holds[record.origin[:2]] = PartitionHold(error, tried_ms)
        is_lock = isinstance(error, asyncpg.LockNotAvailableError)
        write = log.warning if is_lock else log.error
        write(Event.PARTITION_WAITS, **place_of(record), error=name_of(error))
        self._locked += is_lock
        self._late += not is_lock
        self._last = error

    def leave_rest(self, records: Iterable[Record]) -> None:
        """Leaves these records for a later poll as well, if several partitions of this poll are
        held already. The next poll comes at once, and has no records of the partitions that were
        tried in vain and are paused.
        """
        if self._locked >= PARTITIONS_LOCKED_MAX or self._late >= PARTITIONS_LATE_MAX:
            for record in records:
                hold = PartitionHold(self._last, 0, is_tried=False)
                self.holds.setdefault(record.origin[:2], hold)

    def leave_topics(
        self, records: Iterable[Record], topics: frozenset[str], why: Exception
    ) -> None:
        """Leaves in Kafka those of the records whose topic is one of the stopped `topics`."""
        for record in records:
            if record.origin.topic in topics:
                self.holds.setdefault(record.origin[:2], PartitionHold(why, 0))

    def without_held(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        """Returns those of the records whose partition is not held."""
        return tuple(r for r in records if r.origin[:2] not in self.holds)


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits of a commit for a lock and a statement; None leaves the session's limit."""

    lock_ms: int | None = None
    statement_ms: int | None = None

    async def apply_to(self, connection: Connection) -> None:
        """Limits the open transaction. A lower limit of the session stays in force."""
        limits = {"lock_timeout": self.lock_ms, "statement_timeout": self.statement_ms}
        given = {name: ms for name, ms in limits.items() if ms is not None}
        if given:
            query = statements("ledger")["limit_waits"]
            await connection.fetch(query, list(given), list(given.values()))


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The records, or wait queues, that are applied in one commit. If `is_last_try` is True, the
    statements have the usual time limit of the session instead of the shortened one.
    """

    items: tuple[T, ...]
    patience: Patience
    is_last_try: bool


class Parts(Generic[T]):
    """The parts of a poll, or of a list of wait queues, that still have to be tried; `take` returns
    the part that was added last. With `is_hurried`, waits for locks are short from the first part
    on, because a record has already waited too long in an earlier poll.
    """

    def __init__(self, *, is_hurried: bool = False) -> None:
        self._parts: list[tuple[tuple[T, ...], bool]] = []
        self._lock_ms = SHORT_LOCK_MS if is_hurried else None
        self._statement_ms: int | None = None

    def __bool__(self) -> bool:
        return bool(self._parts)

    def put(self, items: Sequence[T], *, is_last_try: bool = False) -> None:
        """Adds a part with these records or wait queues; adds nothing if there are none."""
        if items:
            self._parts.append((tuple(items), is_last_try))

    def take(self) -> Part[T]:
        """Removes and returns the part that was added last."""
        items, is_last_try = self._parts.pop()
        is_last_try = is_last_try or self._statement_ms is None
        statement_ms = None if is_last_try else self._statement_ms
        return Part(items, Patience(self._lock_ms, statement_ms), is_last_try)

    def hurry(self, error: Exception) -> None:
        """Shortens the time limit that a part has just exceeded (for locks or for statements), for
        all parts that are tried after it.
        """
        if isinstance(error, asyncpg.LockNotAvailableError):
            self._lock_ms = SHORT_LOCK_MS
        else:
            self._statement_ms = SHORT_STATEMENT_MS

    def put_again(self, part: Part[T], error: Exception) -> bool:
        """Adds the two halves of a part that has failed; if the part has a single record or wait
        queue, adds it once more with the usual time limit. Returns False, and adds nothing, if a
        single record or queue has failed with the usual limit too, or on a lock.
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
