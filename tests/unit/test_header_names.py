"""Batches with header names that are not UTF-8 are read as any other, but for the names."""

import gzip
from collections.abc import Sequence

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

import service.kafka.clients  # noqa: F401 - it installs the reading
from service.kafka.header_names import TolerantRecords

HEADER_BYTES = 61  # before the records, which alone are compressed
GZIP = 1
NAME, BAD = b"marked-name", b"marked\xffname"
Fields = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]
SOUND: tuple[Fields, ...] = (
    (b"k0", b"v0", [("ce_id", b"1"), ("empty", b""), ("none", None)]),
    (None, b"v1", []),
    (b"k2", None, [("marked-name", b"x"), ("ü", b"\x00\xff")]),
    (b"k3", b"v3" * 200, [("ce_id", b"2")]),
)


def batch(records: Sequence[Fields], base_offset: int, name: bytes, codec: int) -> bytes:
    """One producer's batch, with `name` in the place of the marked one."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000_000)
    for place, (key, value, headers) in enumerate(records):
        builder.append(place, 1_700_000_000_000 + place, key, value, headers)
    raw = bytearray(builder.build())
    body = bytes(raw[HEADER_BYTES:]).replace(NAME, name)
    raw[HEADER_BYTES:] = gzip.compress(body) if codec == GZIP else body
    raw[0:8] = base_offset.to_bytes(8, "big")
    raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
    raw[21:23] = codec.to_bytes(2, "big")
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


def read(records: TolerantRecords | MemoryRecords) -> list[tuple[object, ...]]:
    result: list[tuple[object, ...]] = []
    while records.has_next():
        item = records.next_batch()
        assert item is not None
        assert item.validate_crc()
        rows = [
            (r.offset, r.timestamp, r.timestamp_type, r.key, r.value, list(r.headers)) for r in item
        ]
        result += rows
        assert item.next_offset == rows[-1][0] + 1
    return result


@pytest.mark.parametrize("codec", [0, GZIP])
def test_sound_batches_are_read_as_the_client_reads_them(codec: int) -> None:
    fetched = batch(SOUND, 5, NAME, codec) + batch(SOUND, 100, NAME, codec)
    assert read(TolerantRecords(fetched)) == read(MemoryRecords(fetched))
    assert TolerantRecords(fetched).size_in_bytes() == len(fetched)


@pytest.mark.parametrize("codec", [0, GZIP])
def test_a_bad_name_changes_nothing_but_itself(codec: int) -> None:
    sound = read(MemoryRecords(batch(SOUND, 5, NAME, codec) + batch(SOUND, 100, NAME, codec)))
    fetched = batch(SOUND, 5, BAD, codec) + batch(SOUND, 100, NAME, codec)
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(fetched))
    result = read(TolerantRecords(fetched))
    bad = [("marked\udcffname", b"x"), ("ü", b"\x00\xff")]
    assert result == [*sound[:2], (*sound[2][:5], bad), *sound[3:]]


def test_a_batch_that_was_cut_off_by_the_fetch_is_left_for_the_next_one() -> None:
    whole, cut = batch(SOUND, 5, BAD, 0), batch(SOUND, 9, BAD, 0)[:-7]
    assert len(read(TolerantRecords(whole + cut))) == len(SOUND)


def test_the_client_reads_by_it() -> None:
    assert fetcher.MemoryRecords is TolerantRecords
