"""Which batch a record names, and that what names none is no batch."""

from __future__ import annotations

import pytest

from service.delivery.records import (
    BatchRecord,
    InvalidBatchRecord,
    RecordKind,
    batch_record,
    manifest_of,
)
from service.delivery.state import Place

DAILY, WEEKLY = "972/DAILY", "972/WEEKLY"


B, M = RecordKind.BATCH, RecordKind.MANIFEST


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (B, b"972/DAILY"),
        (B, b"972/DAILY/0"),
        (B, b"972/DAILY/1/manifest"),
        (B, b"972/../1"),
        (B, b"972/DAILY/1\n"),
        (M, b"972/DAILY/1"),
        (M, b"\xff"),
        (M, None),
    ],
)
def test_a_record_without_the_name_of_a_batch_is_none(kind: RecordKind, name: bytes | None) -> None:
    headers = [] if name is None else [("ce_id", name)]
    with pytest.raises(InvalidBatchRecord, match="ce_id"):
        batch_record(kind, Place(0, 0), headers, b"")


def test_a_deleted_value_is_no_batch() -> None:
    with pytest.raises(InvalidBatchRecord, match="value"):
        batch_record(B, Place(0, 0), [("ce_id", b"972/DAILY/1")], None)


NAME = b'"file_name": "DAILY-100000000000001-1.xml"'


STATE = b'"institution_id": "972", "profile": "DAILY", "batch_number": 1'


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"{%b, %b}" % (STATE.replace(b"972", b"973"), NAME), "of its ce_id"),
        (b"{%b, %b}" % (STATE.replace(b": 1", b": 2"), NAME), "of its ce_id"),
        (b"{%b}" % STATE, "file_name"),
        (b'{%b, "file_name": "../DAILY-100000000000001-1.xml"}' % STATE, "file_name"),
        (b"{%b, %b}" % (STATE, NAME.replace(b"DAILY", b"OTHER")), "file_name"),
        (b"{%b, %b}" % (STATE, NAME), "the manifest's export number"),
    ],
)
def test_a_manifest_names_its_batch_and_a_file_in_the_folder(value: bytes, rule: str) -> None:
    with pytest.raises(InvalidBatchRecord, match=rule):
        manifest_of(BatchRecord(DAILY, 1, M, Place(0, 0), value))
