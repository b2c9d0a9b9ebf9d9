"""How many records a poll takes, and from which partitions none are taken for a while. Pure.

A partition is held at a record that alone exceeds a time limit: it is paused and tried again after
longer and longer waits. No later record of it is applied before that record.
"""

from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import TopicPartition

from ..runtime.waiting import Backoff

RECORDS_MIN = 10
# A commit that takes longer than this share of the group's session is too long: what runs into a
# time limit, or is repeated for a rival, must still end within the session.
SESSION_SHARE = 5
# A wait is at least this many times as long as the try before it, so that the other partitions are
# read at nearly their usual rate, however long the record takes to fail.
TRY_TIMES = 4


@dataclass(slots=True)
class PollSize:
    """How many records the next poll takes: fewer after a long poll, more again after short ones.

    `records` is the number to ask for, at most `records_max`; `target_ms` is how long a poll may
    take until it counts as long.
    """

    records_max: int
    target_ms: int
    records: int = 0

    def __post_init__(self) -> None:
        self.records = self.records_max

    def took(self, records: int, milliseconds: int) -> None:
        """Notes that a poll of `records` records was applied in `milliseconds`."""
        if milliseconds > self.target_ms:
            fitting = records * self.target_ms // milliseconds
            self.records = min(self.records, max(self._least, fitting))
        elif milliseconds * 2 < self.target_ms and records >= self.records:
            # Only a full poll tells that a larger one would fit.
            self.records = min(self.records_max, self.records * 2)

    def failed(self) -> None:
        """Notes that a poll exceeded a time limit, or that the session with the group ended
        meanwhile.
        """
        self.records = max(self._least, self.records // 2)

    @property
    def _least(self) -> int:
        return min(RECORDS_MIN, self.records_max)


@dataclass(slots=True)
class _Hold:
    backoff: Backoff
    due_ns: int = 0
    is_paused: bool = True


class Holds:
    """The partitions that one member of the group holds."""

    def __init__(self, first_ms: int, max_ms: int) -> None:
        self._first_ms = first_ms
        self._max_ms = max_ms
        self._holds: dict[TopicPartition, _Hold] = {}

    @property
    def partitions(self) -> Collection[TopicPartition]:
        """The partitions that are paused, or are about to be tried again."""
        return self._holds.keys()

    def is_paused(self, at: TopicPartition) -> bool:
        """Whether nothing of the partition may be applied for now."""
        hold = self._holds.get(at)
        return hold is not None and hold.is_paused

    def put(self, at: TopicPartition, tried_ms: int, now_ns: int) -> None:
        """Notes that a partition is paused, after its next record was tried for `tried_ms`
        milliseconds.
        """
        hold = self._holds.setdefault(at, _Hold(Backoff(self._first_ms, self._max_ms)))
        wait_ms = max(hold.backoff.next_ms(), TRY_TIMES * tried_ms)
        hold.due_ns = now_ns + wait_ms * 1_000_000
        hold.is_paused = True

    def take_due(self, now_ns: int) -> list[TopicPartition]:
        """Returns the partitions whose wait is over, so that they are to be resumed now."""
        due = [at for at, hold in self._holds.items() if hold.is_paused and hold.due_ns <= now_ns]
        for at in due:
            self._holds[at].is_paused = False
        return due

    def end(self, at: TopicPartition) -> None:
        """Ends the hold of a partition, because its next record was applied."""
        self._holds.pop(at, None)

    def keep(self, assigned: Collection[TopicPartition]) -> None:
        """Ends the holds of all partitions that are not in `assigned`, because another member reads
        them.
        """
        self._holds = {at: hold for at, hold in self._holds.items() if at in assigned}
