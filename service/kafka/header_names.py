"""Makes records readable that have a header name which is not UTF-8; the Kafka client alone cannot
read such records.

Kafka brokers accept any bytes as the name of a header. The client decodes header names as UTF-8,
and raises an error at the first record that has another name. The record and all behind it in the
same producer's batch could then never be read, because each new fetch begins with the start of that
batch. Therefore this module decodes a batch again on which the client raises an error. In header
names it replaces each byte that is not UTF-8 by a lone surrogate, as Python does in file names
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
    """From the call on, every consumer of this process can read records whose header names are not
    UTF-8.

    The client has no option for how records are decoded, so this function replaces a class in the
    client's module by its own. The version of the client is pinned, and a test on a real broker
    fails if a newer version no longer has the replaced class.
    """
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords:
    """The producers' batches in one fetch of a partition; has the same methods as the client's
    class that it replaces.
    """

    def __init__(self, fetched: bytes) -> None:
        self._fetched = memoryview(fetched)
        self._batches = MemoryRecords(fetched)
        self._position = 0

    def size_in_bytes(self) -> int:
        """The number of bytes that were fetched."""
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another batch that `next_batch` has not returned yet."""
        return bool(self._batches.has_next())

    def next_batch(self) -> "TolerantBatch | None":
        """Returns the next batch; None after the last one."""
        batch = self._batches.next_batch()
        if batch is None:
            return None
        start = self._position
        (length,) = struct.unpack_from(">i", self._fetched, start + 8)
        self._position = start + _LOG_OVERHEAD_BYTES + length
        return TolerantBatch(batch, self._fetched[start : self._position])


class TolerantBatch:
    """One batch of a producer: the client's object for it, and the batch's bytes, which are decoded
    again if that object raises an error.
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
