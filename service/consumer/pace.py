"""Decides how many records the next poll takes from Kafka, and which partitions are paused for a
while. Pure.

If a single record exceeds a time limit of the database, its partition is held: the partition is
paused, and the record is tried again after longer and longer waits. No later record of a held
partition is applied before the record at which it is held.
"""

from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import TopicPartition

from ..apply.isolation import is_too_much
from ..apply.poll import PartitionHold
from ..runtime.waiting import Backoff

RECORDS_MIN = 10
BACKLOG_SHARE = 2  # a poll that was at least this share of its size was taken from a backlog
# A commit that takes longer than this share of the group's session is too long: what runs into a
# time limit, or is repeated for a rival, must still end within the session.
SESSION_SHARE = 5
# A wait is at least this many times as long as the try before it, so that the other partitions are
# read at nearly their usual rate, however long the record takes to fail.
TRY_TIMES = 4


@dataclass(slots=True)
class PollSize:
    """Decides how many records the next poll takes: fewer after a poll that took long to apply, and
    more again after quick ones.

    `records` is the number of records to take next, at most `records_max`; a poll that takes more
    than `target_ms` milliseconds to apply counts as long.
    """

    records_max: int
    target_ms: int
    records: int = 0

    def __post_init__(self) -> None:
        self.records = self.records_max

    def took(self, records: int, milliseconds: int) -> None:
        """Adapts the next poll's size after `records` records took `milliseconds` to apply."""
        if milliseconds > self.target_ms:
            fitting = records * self.target_ms // milliseconds
            self.records = min(self.records, max(self._least, fitting))
        elif milliseconds * 2 < self.target_ms and records >= self.records:
            # Only a full poll tells that a larger one would fit.
            self.records = min(self.records_max, self.records * 2)

    def applied(self, records: int, milliseconds: int, held: Collection[PartitionHold]) -> None:
        """Adapts the size to a poll that was applied, with its held partitions. A poll that waited
        for another session's lock changes nothing, because a smaller poll would wait just as long.
        """
        if any(is_too_much(hold.error) for hold in held):
            self.failed()
        elif not held:
            self.took(records, milliseconds)

    def failed(self) -> None:
        """Halves the size, because a poll exceeded a time limit or this process lost its partitions
        during it.
        """
        self.records = max(self._least, self.records // 2)

    def is_of_backlog(self, records: int) -> bool:
        """Whether a poll with this number of records was so full that more records are probably
        waiting in Kafka.
        """
        return records * BACKLOG_SHARE >= self.records

    @property
    def _least(self) -> int:
        return min(RECORDS_MIN, self.records_max)


@dataclass(slots=True)
class _Hold:
    backoff: Backoff
    due_ns: int = 0
    is_paused: bool = True


class Holds:
    """The partitions that this process has paused, and when each is to be tried again."""

    def __init__(self, first_ms: int, max_ms: int) -> None:
        self._first_ms = first_ms
        self._max_ms = max_ms
        self._holds: dict[TopicPartition, _Hold] = {}

    @property
    def partitions(self) -> Collection[TopicPartition]:
        """The partitions that are paused, and those that were resumed and whose next record is
        being tried again.
        """
        return self._holds.keys()

    def is_paused(self, at: TopicPartition) -> bool:
        """Whether the partition is paused, so that none of its records may be applied for now."""
        hold = self._holds.get(at)
        return hold is not None and hold.is_paused

    def put(self, at: TopicPartition, tried_ms: int, now_ns: int) -> None:
        """Pauses a partition, after a try to apply its next record has failed that took `tried_ms`
        milliseconds; the longer the try, the longer the pause.
        """
        hold = self._holds.setdefault(at, _Hold(Backoff(self._first_ms, self._max_ms)))
        wait_ms = max(hold.backoff.next_ms(), TRY_TIMES * tried_ms)
        hold.due_ns = now_ns + wait_ms * 1_000_000
        hold.is_paused = True

    def take_due(self, now_ns: int) -> list[TopicPartition]:
        """Returns the paused partitions whose waiting time is over, so that the caller resumes
        them.
        """
        due = [at for at, hold in self._holds.items() if hold.is_paused and hold.due_ns <= now_ns]
        for at in due:
            self._holds[at].is_paused = False
        return due

    def end(self, at: TopicPartition) -> None:
        """Ends the hold of a partition after the record at which it was held was applied."""
        self._holds.pop(at, None)

    def keep(self, assigned: Collection[TopicPartition]) -> None:
        """Ends the holds of all partitions that are not in `assigned`, because other processes read
        them now.
        """
        self._holds = {at: hold for at, hold in self._holds.items() if at in assigned}
