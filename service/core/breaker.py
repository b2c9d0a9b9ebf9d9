"""Bad records in a row, and when they stop a topic (rules.md, 7). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .ledger import Origin
from .words import Reason

# Stands for the institution where a record names none, and where a topic is stopped for all.
EVERY = ""

# The sender and this service do not mean the same by a record. Any other reason shows that the
# record was understood: it is the state of the fine that does not allow it.
BAD = frozenset(
    (
        Reason.INVALID_ENVELOPE,
        Reason.INVALID_JSON,
        Reason.INVALID_SCHEMA,
        Reason.INVALID_AMOUNT,
        Reason.INVALID_CURRENCY,
        Reason.INVALID_TEXT,
        Reason.INVALID_SIZE,
        Reason.FINE_CONFLICT,
        Reason.CHANGE_CONFLICT,
        Reason.PAYMENT_CONFLICT,
        Reason.RESPONSE_CONFLICT,
        Reason.REFERENCE_MISMATCH,
        Reason.CURRENCY_MISMATCH,
        Reason.UNKNOWN_BATCH,
        Reason.UNKNOWN_LINE,
        Reason.CONTROL_TOTAL_MISMATCH,
    )
)


class StopKey(NamedTuple):
    """What can be stopped: a topic for one institution, or for all of them (EVERY)."""

    topic: str
    institution_id: str

    @property
    def is_of_topic(self) -> bool:
        """Whether it is the topic as a whole."""
        return self.institution_id == EVERY


class BadCount(NamedTuple):
    """The bad records of a topic that name one institution, or none (EVERY), in a row.

    `in_a_row` counts them since the last sound record of the institution in the topic, and
    `in_topic` since the last sound record of any institution in the topic. `in_a_row` is below 0
    while a person has allowed more bad records.
    """

    in_a_row: int = 0
    in_topic: int = 0


@dataclass(frozen=True, slots=True)
class StoppedRecord:
    """A record that waits, undecided, because its topic is stopped for its institution.

    `fine_id` is that of a change in the library, and None for other records.
    """

    origin: Origin
    institution_id: str
    fine_id: str | None


BadCounts = Mapping[StopKey, BadCount]
NOTHING = BadCount()


class Decided(NamedTuple):
    """A record that was decided: its topic with the institution that it names, and the reason if it
    was rejected.
    """

    key: StopKey
    reason: Reason | None

    @property
    def is_bad(self) -> bool:
        """Whether the record counts as bad."""
        return self.reason in BAD


class Stop(NamedTuple):
    """A topic is stopped: by how many bad records in a row, and why the last was rejected."""

    key: StopKey
    bad_records: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Counted:
    """What counting has come to: the counts that differ from before, and the stop that ends it.

    `records` is the number of records that were counted: with a stop, all up to the record that has
    caused it.
    """

    changed: BadCounts
    records: int
    stop: Stop | None = None


def count_bad(before: BadCounts, decided: Sequence[Decided | None], bad_max: int) -> Counted:
    """Counts records in their order, up to the first one that stops a topic.

    `before` has the counts of the topics of these records; None stands for a record that counts
    neither as bad nor as sound. `bad_max` bad records in a row cause a
    stop; if it is 0, nothing is counted and all counts become 0.
    """
    if bad_max == 0:
        return Counted(dict.fromkeys(before, NOTHING), len(decided))
    now = dict(before)
    ended: set[StopKey] = set()  # by a sound record since the last bad one
    for place, record in enumerate(decided):
        if record is None:
            continue
        if not record.is_bad:
            if record.key not in ended:
                _end_rows(now, record.key)
                ended.add(record.key)
            continue
        ended.clear()
        count = now.get(record.key, NOTHING)
        now[record.key] = BadCount(count.in_a_row + 1, count.in_topic + 1)
        if (stop := _stop(now, record, bad_max)) is not None:
            return Counted(_changed(before, _without(now, stop.key)), place + 1, stop)
    return Counted(_changed(before, now), len(decided))


def _end_rows(counts: dict[StopKey, BadCount], sound: StopKey) -> None:
    """A sound record ends the row of its institution, and the row of its topic for all."""
    for key, count in counts.items():
        if key == sound or (key.topic == sound.topic and key.is_of_topic):
            counts[key] = NOTHING
        elif key.topic == sound.topic and count.in_topic:
            counts[key] = BadCount(count.in_a_row, 0)


def _stop(counts: BadCounts, record: Decided, bad_max: int) -> Stop | None:
    assert record.reason is not None
    topic = StopKey(record.key.topic, EVERY)
    of_topic = _of_several(counts, topic)
    if of_topic >= bad_max:
        return Stop(topic, of_topic, record.reason)
    in_a_row = counts[record.key].in_a_row
    return Stop(record.key, in_a_row, record.reason) if in_a_row >= bad_max else None


def _of_several(counts: BadCounts, topic: StopKey) -> int:
    """The bad records in a row of a topic, without those of the institution that has most of them:
    the bad records of a single institution never stop the topic.
    """
    named = [c.in_topic for key, c in counts.items() if key.topic == topic.topic and key != topic]
    unnamed = counts.get(topic, NOTHING).in_a_row
    return unnamed + sum(named) - max(named, default=0)


def _without(counts: BadCounts, stopped: StopKey) -> BadCounts:
    """The counts after a stop. A topic that is resumed counts anew; an institution that is stopped
    still counts among those that are bad in the topic.
    """
    if stopped.is_of_topic:
        return {key: NOTHING if key.topic == stopped.topic else c for key, c in counts.items()}
    return {**counts, stopped: BadCount(0, counts[stopped].in_topic)}


def _changed(before: BadCounts, now: BadCounts) -> BadCounts:
    return {key: count for key, count in now.items() if count != before.get(key, NOTHING)}


def allowance(bad_records_max: int, bad_max: int) -> int:
    """Returns the count with which a row begins so that so many bad records do not stop it."""
    return min(0, bad_max - bad_records_max)
