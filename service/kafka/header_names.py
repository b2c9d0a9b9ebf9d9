"""Records whose header names are not UTF-8, which the Kafka client cannot read by itself.

Kafka allows any bytes as a header's name. The client decodes names as UTF-8 and raises in the
middle of a producer's batch; the records behind it in that batch can then never be read, because
each fetch begins with the whole batch. So a batch that raises is read again here, and its bad names
come out as Python keeps undecodable file names: each bad byte as a lone surrogate
(`surrogateescape`).
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

_LOG_OVERHEAD_BYTES = 12  # base offset and length, before what the length counts


def install() -> None:
    """Makes every consumer of this process read such records from now on.

    The client offers no way to choose how records are read, so a name in its module is replaced.
    The version of the client is fixed, and a test on a real broker fails if a newer version does
    not have that name.
    """
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords:
    """The batches of one fetched partition, with the methods of the client's own class."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = memoryview(fetched)
        self._batches = MemoryRecords(fetched)
        self._position = 0

    def size_in_bytes(self) -> int:
        """The size of what was fetched."""
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another batch."""
        return bool(self._batches.has_next())

    def next_batch(self) -> "TolerantBatch | None":
        """The next batch of a producer; None after the last one."""
        batch = self._batches.next_batch()
        if batch is None:
            return None
        start = self._position
        (length,) = struct.unpack_from(">i", self._fetched, start + 8)
        self._position = start + _LOG_OVERHEAD_BYTES + length
        return TolerantBatch(batch, self._fetched[start : self._position])


class TolerantBatch:
    """One batch of a producer: the client's own object, and the bytes that are read again if that
    object raises.
    """

    def __init__(self, batch: Any, encoded: memoryview) -> None:
        self._batch = batch
        self._encoded = encoded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        count = 0
        try:
            for record in self._batch:
                yield record
                count += 1
        except UnicodeDecodeError:
            pass
        else:
            return
        for place, record in enumerate(_Batch(self._encoded)):
            if place >= count:
                yield record


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # the client has no types
    """The client's batch in Python, but for the names of headers."""

    _pos: int

    def _read_msg(self, *_more: object) -> _DefaultRecordPy:
        length, position = decode_varint(self._buffer, self._pos)
        end = position + length
        _, position = decode_varint(self._buffer, position)  # attributes
        timestamp_delta, position = decode_varint(self._buffer, position)
        offset_delta, position = decode_varint(self._buffer, position)
        key, position = self._bytes_at(position)
        value, position = self._bytes_at(position)
        header_count, position = decode_varint(self._buffer, position)
        headers = []
        for _ in range(header_count):
            name, position = self._bytes_at(position)
            content, position = self._bytes_at(position)
            if name is None:
                raise CorruptRecordException("a header has no name")
            headers.append((name.decode(errors="surrogateescape"), content))
        if position != end:
            raise CorruptRecordException("a record is not as long as it says")
        self._pos = end
        is_log_append_time = self.timestamp_type == self.LOG_APPEND_TIME
        return _DefaultRecordPy(
            self.base_offset + offset_delta,
            self.max_timestamp if is_log_append_time else self.first_timestamp + timestamp_delta,
            self.timestamp_type,
            key,
            value,
            headers,
        )

    def _bytes_at(self, position: int) -> tuple[bytes | None, int]:
        """Bytes with their length before them, and where they end; a negative length: none."""
        length, position = decode_varint(self._buffer, position)
        if length < 0:
            return None, position
        end = position + length
        return bytes(self._buffer[position:end]), end
