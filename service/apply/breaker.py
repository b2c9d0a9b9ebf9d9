"""Stops a topic after many bad records in a row (rules.md, 7), in the same commit in which the
intake applies these records.

The last step of a commit is to count the bad records in it. If a record stops its topic, and the
same commit has records behind it, the commit is rolled back and made again as two commits: the
first ends with that record, so that the stop is in force for the records of the second. If a topic
is stopped for all institutions, its records are left in Kafka. If a topic is stopped for one
institution, the records of that institution are stored in the database, undecided, until a person
resumes the topic.
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
    """Raised if a poll has records of topics that are stopped for all institutions."""

    def __init__(self, topics: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(topics)))
        self.topics = topics


class StopsInside(Exception):
    """Raised to roll a commit back if one of its records stops a topic and is not the last record
    of the commit.

    `last` is the record that stops the topic.
    """

    def __init__(self, last: Record) -> None:
        super().__init__()
        self.last = last


class StoppedMeanwhile(Exception):
    """Raised to roll a commit back and make it again, if another session has stopped a topic of its
    records since the commit has asked for stops.
    """


def divide(
    part: Part[Record], error: Exception, parts: Parts[Record], held: HeldPartitions
) -> bool:
    """Adds to `parts` the records to try next, after a commit has failed because a topic is stopped
    or because one of its records stops a topic.

    Returns False, and adds nothing, if `error` has nothing to do with the stop of a topic.
    """
    if isinstance(error, TopicsStopped):
        held.leave_topics(part.items, error.topics, error)
        parts.put(part.items, is_last_try=part.is_last_try)
    elif isinstance(error, StoppedMeanwhile):
        parts.put(part.items, is_last_try=part.is_last_try)
    elif isinstance(error, StopsInside):
        end = next(n for n, record in enumerate(part.items, 1) if record is error.last)
        parts.put(part.items[end:], is_last_try=part.is_last_try)
        parts.put(part.items[:end], is_last_try=part.is_last_try)
    else:
        return False
    return True


async def without_stopped(connection: Connection, poll: Poll) -> tuple[Poll, Counter[str]]:
    """Stores those records of a poll whose topic is stopped for their institution, undecided.
    Returns the poll without these records, and their number under the outcome
    `parked:intake_stopped`.

    If the records of the poll come from the database, where they waited for the end of a stop,
    those that another session has decided meanwhile are left out. Raises TopicsStopped.
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
    connection: Connection, poll: Poll, changes: Changes, bad_max: int
) -> tuple[Stop, ...]:
    """Counts which records of a commit are bad, after its `changes` were written. If their number
    in a row reaches `bad_max`, stores the stop of their topic and returns it.

    Raises StopsInside if a record before the last one of the commit stops the topic, and
    StoppedMeanwhile if one of the records, which are not those of a stop that was resumed, has to
    wait for the end of a stop by now.
    """
    records, has_waited = poll.records, poll.waited is not None
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
    if not has_waited and await _is_stopped_by_now(connection, topics, decided):
        raise StoppedMeanwhile
    if locked != before:
        result = _counted(locked, decided, bad_max, records)
    gone = {key: NOTHING for key, count in locked.items() if count == NOTHING}
    await intake_stops.write_counts(connection, {**gone, **result.changed})
    if result.stop is None:
        return ()
    await intake_stops.put_stop(connection, result.stop)
    return (result.stop,)


async def _is_stopped_by_now(
    connection: Connection, topics: set[str], decided: Sequence[Decided | None]
) -> bool:
    stops = await intake_stops.stops_made_meanwhile(connection, topics)
    keys = {each.key for each in decided if each is not None}
    return any(key in keys or (key.is_of_topic and key.topic in topics) for key in stops)


def _counted(
    before: BadCounts, decided: Sequence[Decided | None], bad_max: int, records: Sequence[Record]
) -> Counted:
    result = count_bad(before, decided, bad_max)
    if result.stop is not None and result.records < len(decided):
        raise StopsInside(records[result.records - 1])
    return result


def alarm(stops: Sequence[Stop]) -> None:
    """Writes an error to the log for each topic that was stopped; called after the commit that
    stored the stop.
    """
    for stop in stops:
        log.error(
            Event.INTAKE_STOPPED,
            topic=stop.key.topic,
            institution_id=stop.key.institution_id or None,
            bad_records=stop.bad_records,
            reason=stop.reason.value,
            see="bursar-bridge intake list",
        )
