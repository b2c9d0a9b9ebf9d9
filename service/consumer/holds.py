"""Partitions that are held at their next record, because this record alone exceeds a time limit.

A held partition is paused and tried again after longer and longer waits. No later record of the
partition is applied before the record at which it is held.
"""

from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import TopicPartition

from ..runtime.waiting import Backoff

# A wait is at least this many times as long as the try before it, so that the other partitions are
# read at nearly their usual rate, however long the record takes to fail.
TRY_TIMES = 4


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
