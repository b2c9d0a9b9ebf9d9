"""Records as the client returns them, and the number of records in one poll; uses no input or
output.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.ledger import Origin
from ..database.offsets import Assignment, record_digest
from ..runtime.problems import OtherHistory

RECORD_OVERHEAD_BYTES = 64
RECORDS_MIN = 10
# A commit that takes longer than this share of the group's session is too long: what runs into a
# time limit, or is repeated for a rival, must still end within the session.
SESSION_SHARE = 5


class KafkaRecord(Protocol):
    """A record of an input topic, as the client returns it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def origin_of(record: KafkaRecord) -> Origin:
    """Returns the record's topic, partition and offset with its bytes; a header without a value
    gets an empty value.
    """
    headers = tuple((name, value or b"") for name, value in record.headers)
    return Origin(record.topic, record.partition, record.offset, record.key, record.value, headers)


def has_last_record(records: Iterable[KafkaRecord], assignment: Assignment) -> bool:
    """Whether the last record that was read of the partition is among `records`.

    Raises OtherHistory if another record has its offset.
    """
    for record in records:
        if record.offset == assignment.last_record_offset:
            if record_digest(record.key, record.value) != assignment.last_record_digest:
                raise OtherHistory(
                    f"topic {record.topic}, partition {record.partition}, offset {record.offset}: "
                    "another record than the one that was read there; the topic was made anew. "
                    "Restore it, or read it from its start by deleting its rows of consumer_offset"
                )
            return True
    return False


def polls(records: Iterable[Origin], bytes_max: int) -> Iterator[list[Origin]]:
    """Cuts `records` into polls of at most `bytes_max` bytes; a larger record is alone in one."""
    poll: list[Origin] = []
    poll_bytes = 0
    for record in records:
        size = size_of(record)
        if poll and poll_bytes + size > bytes_max:
            yield poll
            poll, poll_bytes = [], 0
        poll.append(record)
        poll_bytes += size
    if poll:
        yield poll


def size_of(record: Origin) -> int:
    """About how many bytes the record takes in memory."""
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + RECORD_OVERHEAD_BYTES


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
