"""Stops a topic after many bad records in a row (rules.md, 7), inside the commits of the intake.

A commit that has bad records counts them at its end. If a record in its middle stops a topic, the
commit is made again in two parts, so that everything behind the record meets the stop. The records
of a topic that is stopped for all institutions are left in Kafka, and those of a topic that is
stopped for their institution wait in the database.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ..core.breaker import (
    EVERY,
    NOTHING,
    BadCounts,
    Counted,
    Decided,
    Stop,
    StopKey,
    StoppedRecord,
    count_bad,
)
from ..core.events import FailedRecord, FineChanged, Rejection
from ..core.words import Wait
from ..core.workspace import Changes
from ..database import intake_stops
from ..database.session import Connection
from ..runtime.telemetry import Event, get_log
from .isolation import Record
from .poll import HeldPartitions, Part, Parts, Poll, Waited

INTAKE_STOPPED = f"parked:{Wait.INTAKE_STOPPED}"

log = get_log(__name__)


class TopicsStopped(Exception):
    """Records of a poll are of topics that are stopped for all institutions."""

    def __init__(self, topics: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(topics)))
        self.topics = topics


class StopsInside(Exception):
    """A record stops a topic, and other records of the same commit stand behind it.

    `last` is the record that stops the topic.
    """

    def __init__(self, last: Record) -> None:
        super().__init__()
        self.last = last


def divide(
    part: Part[Record], error: Exception, parts: Parts[Record], held: HeldPartitions
) -> bool:
    """Puts what to try instead of a part whose commit has met a stop; False for any other error."""
    if isinstance(error, TopicsStopped):
        held.leave_topics(part.items, error.topics, error)
        parts.put(part.items, is_last_try=part.is_last_try)
    elif isinstance(error, StopsInside):
        end = next(n for n, record in enumerate(part.items, 1) if record is error.last)
        parts.put(part.items[end:], is_last_try=part.is_last_try)
        parts.put(part.items[:end], is_last_try=part.is_last_try)
    else:
        return False
    return True


async def without_stopped(connection: Connection, poll: Poll) -> tuple[Poll, Counter[str]]:
    """Stores the records of a poll that have to wait because their topic is stopped for their
    institution; returns the poll without them, and their outcome.

    Of records that have waited for a stop, those are left out that somebody else has decided
    meanwhile. Raises TopicsStopped.
    """
    topics = {record.origin.topic for record in poll.records}
    stops = await intake_stops.stops_of_topics(connection, topics)
    if stopped := {key.topic for key in stops if key.is_of_topic}:
        raise TopicsStopped(frozenset(stopped))
    if poll.waited is not None:
        return await _still_there(connection, poll, poll.waited), Counter()
    waiting = tuple(_waiting(record) for record in poll.records if _has_to_wait(record, stops))
    if not waiting:
        return poll, Counter()
    await intake_stops.put_stopped(connection, waiting)
    decided = tuple(record for record in poll.records if not _has_to_wait(record, stops))
    return replace(poll, records=decided), Counter({INTAKE_STOPPED: len(waiting)})


async def _still_there(connection: Connection, poll: Poll, waited: Waited) -> Poll:
    arrivals = [waited.arrivals[record.origin[:3]] for record in poll.records]
    taken = await intake_stops.take_stopped(connection, waited.key, arrivals)
    if taken is None:  # the topic is stopped again
        raise TopicsStopped(frozenset((waited.key.topic,)))
    pairs = zip(poll.records, arrivals, strict=True)
    return replace(poll, records=tuple(record for record, arrival in pairs if arrival in taken))


def _has_to_wait(record: Record, stops: frozenset[StopKey]) -> bool:
    """A record on which the program fails waits for a person already."""
    return not isinstance(record, FailedRecord) and _key_of(record) in stops


def _waiting(record: Record) -> StoppedRecord:
    fine_id = record.fine_id if isinstance(record, FineChanged) else None
    return StoppedRecord(record.origin, _key_of(record).institution_id, fine_id)


def _key_of(record: Record) -> StopKey:
    if isinstance(record, Rejection | FailedRecord):
        return StopKey(record.origin.topic, record.institution_id or EVERY)
    return StopKey(record.origin.topic, record.key.institution_id)


async def count_records(
    connection: Connection, records: Sequence[Record], changes: Changes, bad_max: int
) -> tuple[Stop, ...]:
    """Counts the records of a commit, whose `changes` are written; returns the stop that they
    cause, if any.

    Raises StopsInside if the stop is not caused by the last of the records.
    """
    reasons = {value.origin[:3]: value.reason for value in changes.rejections}
    # A record on which the program fails is neither bad nor sound.
    decided = [
        None if isinstance(r, FailedRecord) else Decided(_key_of(r), reasons.get(r.origin[:3]))
        for r in records
    ]
    topics = {each.key.topic for each in decided if each is not None}
    before = await intake_stops.counts_of_topics(connection, topics)
    result = _counted(before, decided, bad_max, records)
    if not result.changed and result.stop is None:
        return ()
    # Nobody else can change the counts from now on.
    locked = await intake_stops.lock_counts(connection, result.changed.keys())
    if locked != before:
        result = _counted(locked, decided, bad_max, records)
    gone = {key: NOTHING for key, count in locked.items() if count == NOTHING}
    await intake_stops.write_counts(connection, {**gone, **result.changed})
    if result.stop is None:
        return ()
    await intake_stops.put_stop(connection, result.stop)
    return (result.stop,)


def _counted(
    before: BadCounts, decided: Sequence[Decided | None], bad_max: int, records: Sequence[Record]
) -> Counted:
    result = count_bad(before, decided, bad_max)
    if result.stop is not None and result.records < len(decided):
        raise StopsInside(records[result.records - 1])
    return result


def alarm(stops: Sequence[Stop]) -> None:
    """Writes a log line for each stop, after its commit."""
    for stop in stops:
        log.error(
            Event.INTAKE_STOPPED,
            topic=stop.key.topic,
            institution_id=stop.key.institution_id or None,
            bad_records=stop.bad_records,
            reason=stop.reason.value,
            see="bursar-bridge intake list",
        )
