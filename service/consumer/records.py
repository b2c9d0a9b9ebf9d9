"""Records as they were taken: origins, the last record read before, polls below a size. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.ledger import Origin
from ..database.offsets import record_digest
from ..kafka.stops import OtherHistory

RECORD_OVERHEAD_BYTES = 64


class Taken(Protocol):
    """A record as the client hands it out."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class LastRecord:
    """The last record that was read before; `next_offset` is behind it."""

    offset: int
    digest: bytes
    next_offset: int


def origin_of(record: Taken) -> Origin:
    """The record's place and bytes; a header without a value is one with an empty value."""
    headers = tuple((name, value or b"") for name, value in record.headers)
    return Origin(record.topic, record.partition, record.offset, record.key, record.value, headers)


def after_last_record(
    records: Sequence[Taken], last_record: LastRecord
) -> tuple[list[Taken], bool]:
    """The records not read yet, and whether the last record was among them and is the same.

    Raises OtherHistory if another record has its offset.
    """
    found = False
    for record in records:
        if record.offset == last_record.offset:
            if record_digest(record.key, record.value) != last_record.digest:
                raise OtherHistory(
                    f"topic {record.topic}, partition {record.partition}, offset {record.offset}: "
                    "another record than the one that was read there; the topic was made anew. "
                    "Restore it, or read it from its start by deleting its rows of consumer_offset"
                )
            found = True
    return [record for record in records if record.offset >= last_record.next_offset], found


def polls(records: Iterable[Origin], bytes_max: int) -> Iterator[list[Origin]]:
    """Cuts what was taken below a size; a larger record is a poll of its own."""
    poll: list[Origin] = []
    held = 0
    for record in records:
        size = size_of(record)
        if poll and held + size > bytes_max:
            yield poll
            poll, held = [], 0
        poll.append(record)
        held += size
    if poll:
        yield poll


def size_of(record: Origin) -> int:
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + RECORD_OVERHEAD_BYTES
