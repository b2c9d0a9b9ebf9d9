"""The order in which records are read again after a restore: that of their times. Pure.

Records of different topics have no order of their own, and the lost database had applied them as
they came. If one topic were read far ahead of another one, a payment at the desk that came after a
refusal would be decided before it, and rejected. The times that Kafka keeps come near to the order
in which the records came.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from aiokafka import TopicPartition

from ..core.ledger import Origin

Next = tuple[int, int, TopicPartition]  # time of the next record, rank of its topic, its partition


class ReadAgain:
    """Merges the partitions that one member reads again, each up to its mark.

    `marks` are the offsets up to which partitions have to be read, and `topics` decide between
    records of the same time. A record is given out only when no partition can have an earlier one.
    Within a partition the order is that of the offsets, whatever the times are.
    """

    def __init__(self, marks: Mapping[TopicPartition, int], topics: Sequence[str]) -> None:
        self._marks = dict(marks)
        self._ranks = {topic: rank for rank, topic in enumerate(topics)}
        self._waiting: dict[TopicPartition, deque[Origin]] = {at: deque() for at in marks}
        self._behind = set(marks)

    @property
    def partitions(self) -> Sequence[TopicPartition]:
        """The partitions that are read again."""
        return sorted(self._marks)

    @property
    def is_over(self) -> bool:
        """Whether every mark is reached and every record was given out."""
        return not self._behind and not any(self._waiting.values())

    def needed(self, positions: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        """Returns the partitions of which records are needed before anything can be given out.

        `positions` are the offsets of the records that come next. A partition without a position is
        read by another member now.
        """
        self._behind = {at for at, mark in self._marks.items() if positions.get(at, mark) < mark}
        return sorted(at for at in self._behind if not self._waiting[at])

    def put(self, at: TopicPartition, records: Sequence[Origin], position: int) -> None:
        """Adds records of a partition in their order, and the offset behind all that was read."""
        self._waiting[at].extend(records)
        if position >= self._marks[at]:
            self._behind.discard(at)

    def drop(self, at: TopicPartition) -> None:
        """Forgets the records of a partition, which will be read once more."""
        if at in self._waiting:
            self._waiting[at].clear()

    def take(self, records_max: int) -> list[Origin]:
        """Gives out the records that come next, at most so many; none if one may be missing."""
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
