"""After an older database was restored, the input topics are read again in the order of the
records' Kafka timestamps; this module merges the partitions in that order. Pure.

Kafka keeps no order between records of different topics, and the lost database had applied the
records in the order in which they arrived. If one topic were read far ahead of another, a record
could be decided too early: a patron pays at the desk after the bursar has refused the fine's export
line, but the payment would be read before the refusal, and rejected. The timestamps in Kafka give
nearly the order in which the records arrived.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from aiokafka import TopicPartition

from ..core.ledger import Origin

Next = tuple[int, int, TopicPartition]  # time of the next record, rank of its topic, its partition


class ReadAgain:
    """Merges the records of the partitions that one member of the group reads again, each partition
    up to the offset that it had reached before the restore (its mark).

    `marks` has for each partition the offset before which its records have to be read again. Of two
    records with the same timestamp, the one whose topic stands first in `topics` comes first. A
    record is returned only when every other partition has shown that its next record is not
    earlier. Records of one partition stay in the order of their offsets, whatever their timestamps
    are.
    """

    def __init__(self, marks: Mapping[TopicPartition, int], topics: Sequence[str]) -> None:
        self._marks = dict(marks)
        self._ranks = {topic: rank for rank, topic in enumerate(topics)}
        self._waiting: dict[TopicPartition, deque[Origin]] = {at: deque() for at in marks}
        self._behind = set(marks)

    @property
    def partitions(self) -> Sequence[TopicPartition]:
        """The partitions that are read again after the restore, sorted."""
        return sorted(self._marks)

    @property
    def is_over(self) -> bool:
        """Whether every partition was read up to its mark and `take` has returned every record."""
        return not self._behind and not any(self._waiting.values())

    def needed(self, positions: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        """Returns the partitions from which records have to be fetched before `take` can return
        any.

        `positions` has the offset that is to be fetched next from each partition. A partition that
        is not in `positions` is now read by another member of the group and is not waited for.
        """
        self._behind = {at for at, mark in self._marks.items() if positions.get(at, mark) < mark}
        return sorted(at for at in self._behind if not self._waiting[at])

    def put(self, at: TopicPartition, records: Sequence[Origin], position: int) -> None:
        """Adds records that were fetched from a partition, in the order of their offsets;
        `position` is the offset behind the last of them.
        """
        self._waiting[at].extend(records)
        if position >= self._marks[at]:
            self._behind.discard(at)

    def drop(self, at: TopicPartition) -> None:
        """Forgets the records of a partition that `take` has not returned; the caller fetches them
        once more.
        """
        if at in self._waiting:
            self._waiting[at].clear()

    def take(self, records_max: int) -> list[Origin]:
        """Removes and returns the next records in the order of their timestamps, at most
        `records_max`; none if a partition that might have an earlier record has not been fetched.
        """
        if any(not self._waiting[at] for at in self._behind):
            return []
        heads = [self._next(at) for at, records in self._waiting.items() if records]
        heapify(heads)
        taken: list[Origin] = []
        while heads and len(taken) < records_max:
            *_, at = heappop(heads)
            taken.append(self._waiting[at].popleft())
            if self._waiting[at]:
                heappush(heads, self._next(at))
            elif at in self._behind:
                break
        return taken

    def _next(self, at: TopicPartition) -> Next:
        record = self._waiting[at][0]
        return record.timestamp_ms or 0, self._ranks[at.topic], at
