"""Texts, identifiers and envelopes as libraries really send them.

Each group is a kind of input that people who do this job have met. The expected outcomes are those
of docs/rules.md and docs/contracts.md, and not what some function returns.
"""

from __future__ import annotations

import json

import pytest

from tests.support.inputs import (
    ABSENT,
    Data,
    Headers,
    binary,
    fine_created,
    structured,
    value_of,
)
from tests.support.record_ledger import CREATED, RecordLedger, of_patron

FRAME = b"\x00\x00\x00\x00\x0c"


@pytest.fixture
def ledger() -> RecordLedger:
    return RecordLedger()


def barcodes(*values: str, types: str = "0") -> Data:
    pairs = zip(types * len(values) if len(types) == 1 else types, values, strict=True)
    return of_patron(identifiers=[{"type": kind, "value": value} for kind, value in pairs])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("\u0098\u009c", ""),
        ("\u0098The \u009c", "The"),
        ("\u0088\u0098L'\u009c\u0089\u00c9tranger", "L'\u00c9tranger"),
        ("\x0c\x1f\x0b", ""),
        ("A\x0c \x1f\t\u2029B", "A B"),
        ("A\x00B", "A B"),
        ("A\udfff\ud800B\ud83d", "A B"),
        ("\u202eevil\u202c \u2066x\u2069\u061c", "evil x"),
        ("\u200f\u200e \u200f", ""),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\u200f",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("t" * 999 + " " + "t", "t" * 999),
        ("e\u0301" * 1_000, "\u00e9" * 1_000),
        ("\u0098" * 1_000 + "t" * 1_000, "t" * 1_000),
    ],
    ids=ascii,
)
def test_no_title_keeps_its_fine_from_being_billed(
    ledger: RecordLedger, sent: str, kept: str
) -> None:
    item = {"title": sent}
    assert ledger.fine(item=item, patron=of_patron(name=sent)) == "applied"
    facts = ledger["F-1"].facts
    assert facts.item is not None
    assert facts.item.title == kept
    assert ledger.fine(item={"title": kept}) == "repeat"
    assert ledger.fine(item={"title": kept + "other"[: 1_000 - len(kept)]}) == (
        "rejected:fine_conflict" if len(kept) < 1_000 else "repeat"
    )


def test_a_record_is_read_up_to_64_kib_however_long_its_title_is(ledger: RecordLedger) -> None:
    title = {"title": ""}
    size = len(value_of(fine_created(item=title)))
    assert ledger.fine(item={"title": "t" * (65_536 - size)}) == "applied"
    assert ledger.fine(item={"title": "t" * (65_537 - size)}) == "rejected:invalid_size"


@pytest.mark.parametrize(
    "mark", ["\u200f", "\u200e", "\u202e", "\u0098", "\x0c", "\x00"], ids=ascii
)
@pytest.mark.parametrize("member", ["fine_id", "type", "patron_id", "value"])
def test_ids_are_never_cleaned(ledger: RecordLedger, mark: str, member: str) -> None:
    odd = f"A{mark}B"
    members: dict[str, Data] = {
        "fine_id": {"fine_id": odd},
        "type": {"type": odd},
        "patron_id": {"patron": of_patron(patron_id=odd)},
        "value": {"patron": barcodes(odd)},
    }
    assert ledger.fine(**members[member]) == "rejected:invalid_text"


@pytest.mark.parametrize(
    ("patron", "kept"),
    [
        (barcodes("0012346\u00a0", "0012346"), ["0012346"]),
        (barcodes("\u3000 7\u2003", "8 ", " 7"), ["7", "8"]),
        (barcodes(" 7", "7 ", types="12"), ["7", "7"]),
        (barcodes("00\u00a07"), ["00\u00a07"]),
        (barcodes(" " * 300), [""]),
        (barcodes(" " + "7" * 200 + " "), ["7" * 200]),
    ],
)
def test_blanks_round_a_barcode_do_not_count(
    ledger: RecordLedger, patron: Data, kept: list[str]
) -> None:
    assert ledger.fine(patron=patron) == "applied"
    (snapshot,) = ledger.store.patrons.values()
    assert [value for _, value in snapshot.identifiers] == kept


def test_a_barcode_of_201_characters_is_too_long(ledger: RecordLedger) -> None:
    assert ledger.fine(patron=barcodes("7" * 201)).startswith("rejected:invalid_")


def without_time(contract: str, data: Data) -> tuple[bytes, Headers]:
    value, headers = binary(contract, data)
    return value, tuple(pair for pair in headers if pair[0] != "ce_time")


def test_without_a_time_the_timestamp_of_the_record_says_which_snapshot_is_newer(
    ledger: RecordLedger,
) -> None:
    def named(fine_id: str, name: str, timestamp_ms: int) -> None:
        data = fine_created(fine_id=fine_id, patron=of_patron(name=name))
        outcome = ledger.read(CREATED, *without_time(CREATED, data), timestamp_ms)
        assert outcome == "applied"

    named("F-1", "Newer", 1_790_000_000_000)
    named("F-2", "Older", 1_780_000_000_000)
    (snapshot,) = ledger.store.patrons.values()
    assert snapshot.name == "Newer"
    value, headers = structured(CREATED, fine_created(fine_id="F-3"), time=ABSENT)
    assert ledger.read(CREATED, value, headers, 1_790_000_000_001) == "applied"
    (snapshot,) = ledger.store.patrons.values()
    assert snapshot.name == "Doe, Jane"


@pytest.mark.parametrize("time", ["", "yesterday", "2026-09-01T10:00:00", "1790000000"])
def test_a_time_that_is_none_is_not_replaced(ledger: RecordLedger, time: str) -> None:
    assert ledger.read(CREATED, *binary(CREATED, fine_created(), time)) == (
        "rejected:invalid_envelope"
    )


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (FRAME, "applied"),
        (b"\x00\x7b\x7b\x7b\x7b", "applied"),
        (b"\x00\x00\x00\x00\x00", "applied"),
        (b"\x00\x00\x00\x0c", "rejected:invalid_json"),
        (b"\x01\x00\x00\x00\x0c", "rejected:invalid_json"),
        (FRAME + b"\x00", "rejected:invalid_json"),
        (FRAME + FRAME, "rejected:invalid_json"),
    ],
    ids=str,
)
def test_the_frame_of_a_schema_registry_is_left_out(
    ledger: RecordLedger, frame: bytes, outcome: str
) -> None:
    value, headers = binary(CREATED, fine_created())
    assert ledger.read(CREATED, frame + value, headers) == outcome


def test_a_frame_is_left_out_of_structured_events_and_is_no_content(ledger: RecordLedger) -> None:
    value, _ = structured(CREATED, fine_created())
    assert ledger.read(CREATED, FRAME + value, ()) == "applied"
    assert ledger.fine() == "repeat"
    for body in (b"", b"[]", b"null", b'"{}"'):
        assert ledger.read(CREATED, FRAME + body, ()).startswith("rejected:invalid_")


def test_a_member_that_is_named_twice_is_refused_at_any_depth(ledger: RecordLedger) -> None:
    text = json.dumps(fine_created()).replace('"name":', '"name": "A", "name":')
    value, headers = binary(CREATED, text.encode())
    assert ledger.read(CREATED, value, headers) == "rejected:invalid_json"
