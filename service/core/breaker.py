"""Counts bad records in a row, and decides when they stop a topic (rules.md, 7). Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .frozen import dataclass
from .ledger import Origin
from .words import Reason

# Stands for the institution where a record names none, and where a topic is stopped for all.
EVERY = ""
# Of so many institutions of a topic a count is kept that is no part of the topic's own row, so that
# a sender of invented names does not fill the table that polls read.
REMEMBERED_MAX = 100

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
    """A topic, and the institution for which it can be stopped; EVERY stands for all of them."""

    topic: str
    institution_id: str

    @property
    def is_of_topic(self) -> bool:
        """Whether the key stands for all institutions of the topic, and not for one of them."""
        return self.institution_id == EVERY


class BadCount(NamedTuple):
    """How many bad records of a topic in a row name one institution, or name none (EVERY).

    `in_a_row` counts these bad records since the institution's last sound record in the topic, and
    `in_topic` counts them since the last sound record of any institution in the topic. `in_a_row`
    starts below 0 if an operator, when resuming the topic, has allowed more bad records than usual.
    """

    in_a_row: int = 0
    in_topic: int = 0


@dataclass(frozen=True, slots=True)
class StoppedRecord:
    """A record that is stored and not decided yet, because its topic is stopped for its
    institution.

    `fine_id` is the fine that the record changes if it is a change in the library; None for other
    records.
    """

    origin: Origin
    institution_id: str
    fine_id: str | None


BadCounts = Mapping[StopKey, BadCount]
NOTHING = BadCount()


class Decided(NamedTuple):
    """A record on which the rules have decided: its topic with the institution that it names, and
    the reason if it was rejected.
    """

    key: StopKey
    reason: Reason | None

    @property
    def is_bad(self) -> bool:
        """Whether the record was rejected for a reason that counts as bad, such as an invalid
        schema.
        """
        return self.reason in BAD


class Stop(NamedTuple):
    """The stop of a topic, with the number of bad records in a row that caused it and the reason
    why the last of them was rejected.
    """

    key: StopKey
    bad_records: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Counted:
    """The result of counting records: the counts that have changed, and the stop if a record has
    caused one.

    `records` is the number of records that were counted: all of them, or those up to the one that
    caused the stop.
    """

    changed: BadCounts
    records: int
    stop: Stop | None = None


def count_bad(
    before: BadCounts,
    decided: Sequence[Decided | None],
    bad_max: int,
    remembered_max: int = REMEMBERED_MAX,
) -> Counted:
    """Counts which records are bad, in their order, up to the first record that causes the stop of
    its topic.

    `before` has the counts so far for the topics of these records. None in `decided` stands for a
    record that is neither bad nor sound. A stop is caused by `bad_max` bad records in a row; if
    `bad_max` is 0, nothing is counted and all counts become 0. If more than `remembered_max`
    institutions of a topic have a count, those with the fewest bad records in a row are forgotten.
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
        if count == NOTHING:
            _forget(now, record.key.topic, remembered_max)
        if (stop := _stop(now, record, bad_max)) is not None:
            return Counted(_changed(before, _without(now, stop.key)), place + 1, stop)
    return Counted(_changed(before, now), len(decided))


def _end_rows(counts: dict[StopKey, BadCount], sound: StopKey) -> None:
    """A sound record ends the row of its institution, and the row of its topic for all."""
    for key, count in counts.items():
        if key == sound or (key.topic == sound.topic and key.is_of_topic):
            counts[key] = NOTHING
        elif key.topic == sound.topic:
            counts[key] = BadCount(count.in_a_row, 0)


def _forget(counts: dict[StopKey, BadCount], topic: str, remembered_max: int) -> None:
    """Leaves so many of the institutions that have no part in the row of the topic. Those that have
    a part are few: together they would stop the topic.
    """
    others = sorted(
        (count.in_a_row, key)
        for key, count in counts.items()
        if key.topic == topic and not (key.is_of_topic or count.in_topic) and count.in_a_row > 0
    )
    for _, key in others[: max(0, len(others) - remembered_max)]:
        counts[key] = NOTHING


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
    """Returns the value at which `in_a_row` starts after an operator has resumed a topic and
    allowed `bad_records_max` bad records; it is negative if that is more than `bad_max`.
    """
    return min(0, bad_max - bad_records_max)
