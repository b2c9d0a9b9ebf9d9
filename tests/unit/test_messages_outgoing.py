"""What goes out: against the schemas, header by header (contracts.md, 5-7)."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.events import Rejection
from service.core.ledger import (
    Account,
    AccountKey,
    Cause,
    ExportRef,
    Fine,
    FineFacts,
    LibraryRef,
    LoanClosed,
    Origin,
    PaymentRef,
    Transaction,
)
from service.core.money import format_minor
from service.core.words import Considered, Kind, Mode, Reason, Status
from service.export.batch import Sum
from service.export.encode import encode_batch, encode_manifest
from service.export.manifest import Manifest, ManifestLine
from service.export.selection import Exclusion
from service.messages import Message, encode_balance_changed, encode_loan_closed, encode_rejected
from tests.contracts import examples
from tests.support.inputs import TRACEPARENT, Headers

SOURCE = "urn:bursar-bridge"
RECORDED = datetime(2026, 9, 12, 19, 22, 6, 512_345, tzinfo=UTC)
OCCURRED = datetime(2026, 9, 12, 19, 22, 6, tzinfo=UTC)
KEY = AccountKey("6050", "P-1", "USD")
EXPORT = ExportRef("bursar", 7, "42")
LIBRARY = LibraryRef("ALMA", "C-1")
PAYMENT = PaymentRef("SAP", "PAY-1")


def fine_of(key: AccountKey = KEY, amount: int = 95_50) -> Fine:
    kind = "CREDIT" if amount < 0 else "OVERDUEFINE"
    facts = FineFacts(
        key.institution_id, "F-1", key.patron_id, kind, amount, key.currency, None, OCCURRED
    )
    return Fine(facts, Status.ACTIVE, Considered.ACTIVE, amount)


def transaction(kind: Kind, cause: Cause = None, amount: int = 95_50) -> Transaction:
    before = Account(KEY, active=0, transferred=0, sequence=1)
    after = replace(before, active=amount, sequence=2)
    own = fine_of(amount=-1 if kind is Kind.CREDIT else 95_50)
    return Transaction(before, after, own, kind, "A label", amount, None, cause, OCCURRED)


def body(message: Message) -> Any:  # Any: JSON, as a reader sees it
    assert message.value is not None
    return json.loads(message.value)


def headers_of(message: Message) -> dict[str, str]:
    named = {name: value.decode() for name, value in message.headers}
    assert len(named) == len(message.headers), "a header given twice"
    return named


def sound(name: str, message: Message) -> Any:
    assert message.value is not None
    assert examples.faults(name, message.value) == []
    return body(message)


# --- balance-changed -----------------------------------------------------------------------------

CAUSES: dict[Kind, Cause] = {
    Kind.FINE: None,
    Kind.CREDIT: None,
    Kind.DESK_PAYMENT: LIBRARY,
    Kind.WAIVER: replace(LIBRARY, reason="Goodwill"),
    Kind.CANCELLATION: LIBRARY,
    Kind.DISPUTED: LIBRARY,
    Kind.RESTORED: LIBRARY,
    Kind.EXPORT: EXPORT,
    Kind.EXPORT_AND_PAID: EXPORT,
    Kind.PAYMENT: replace(PAYMENT, comment="Invoice", status_code="cleared"),
    Kind.WRITE_OFF: PAYMENT,
    Kind.REVERSAL: replace(PAYMENT, reverses_payment_id="PAY-0"),
    Kind.PAYMENT_NOTED: PAYMENT,
    Kind.REVERSAL_NOTED: replace(PAYMENT, reverses_payment_id="PAY-0"),
    Kind.STATUS_NOTED: replace(PAYMENT, status_code="invoiced"),
    Kind.EXPORT_REJECTED: EXPORT,
    Kind.CREDIT_CANCELLED: None,
}


@pytest.mark.parametrize("kind", Kind)
def test_a_transaction_of_every_kind_keeps_to_the_schema(kind: Kind) -> None:
    amount = -1 if kind is Kind.CREDIT else 95_50
    message = encode_balance_changed(transaction(kind, CAUSES[kind], amount), RECORDED, SOURCE)
    assert sound("balance-changed", message)["transaction"]["kind"] == kind.value


def a_full_transaction() -> Transaction:
    cause = PaymentRef("SAP", "PAY-2", "PAY-1", "storno", "Bounced")
    facts = replace(fine_of().facts, credit_of="F-0", amount=95_50)
    own = Fine(
        facts,
        Status.TRANSFERRED,
        Considered.ACTIVE,
        remaining=0,
        outstanding=95_50,
        bursar_transaction_id="42",
        status_code="storno",
    )
    return Transaction(
        before=Account(KEY, active=10_00, transferred=-5, sequence=3, epoch=2),
        after=Account(KEY, active=10_00, transferred=95_45, sequence=4, epoch=2),
        fine=own,
        kind=Kind.REVERSAL,
        label="Payment reversed",
        amount=95_50,
        comment="Bursar",
        cause=cause,
        occurred_at=OCCURRED,
        traceparent=TRACEPARENT,
    )


def test_a_transaction_is_told_whole() -> None:
    given = a_full_transaction()
    message = encode_balance_changed(given, RECORDED, SOURCE)
    assert sound("balance-changed", message) == {
        "institution_id": "6050",
        "patron_id": "P-1",
        "currency": "USD",
        "epoch": 2,
        "sequence": 4,
        "balance": {"active": "10.00", "transferred": "95.45", "total": "105.45"},
        "previous": {"active": "10.00", "transferred": "-0.05", "total": "9.95"},
        "change": {"active": "0.00", "transferred": "95.50"},
        "transaction": {
            "transaction_id": given.transaction_id,
            "type": "Payment reversed",
            "kind": "reversal",
            "amount": "95.50",
            "comment": "Bursar",
        },
        "payment": {
            "source": "SAP",
            "payment_id": "PAY-2",
            "reverses_payment_id": "PAY-1",
            "status_code": "storno",
            "comment": "Bounced",
        },
        "fine": {
            "fine_id": "F-1",
            "type": "OVERDUEFINE",
            "amount": "95.50",
            "credit_of": "F-0",
            "status": "Transferred",
            "remaining": "0.00",
            "outstanding_at_bursar": "95.50",
            "considered": "active",
            "bursar_transaction_id": "42",
            "status_code": "storno",
        },
        "occurred_at": "2026-09-12T19:22:06Z",
        "recorded_at": "2026-09-12T19:22:06.512345Z",
    }


def test_the_headers_of_a_transaction_are_complete() -> None:
    given = a_full_transaction()
    message = encode_balance_changed(given, RECORDED, SOURCE)
    assert message.key == b"6050/P-1"
    assert headers_of(message) == {
        "ce_specversion": "1.0",
        "ce_id": given.transaction_id,
        "ce_source": SOURCE,
        "ce_type": "org.bursar-bridge.balance-changed.v1",
        "ce_time": "2026-09-12T19:22:06.512345Z",
        "ce_subject": "6050/P-1/USD",
        "ce_partitionkey": "6050/P-1",
        "content-type": "application/json",
        "traceparent": TRACEPARENT,
    }


@pytest.mark.parametrize(
    ("cause", "member", "said"),
    [
        (EXPORT, "export", {"profile": "bursar", "batch_number": 7, "bursar_transaction_id": "42"}),
        (LIBRARY, "library", {"source": "ALMA", "change_id": "C-1"}),
        (
            replace(LIBRARY, reason="Goodwill"),
            "library",
            {"source": "ALMA", "change_id": "C-1", "reason": "Goodwill"},
        ),
        (PAYMENT, "payment", {"source": "SAP", "payment_id": "PAY-1"}),
    ],
)
def test_a_cause_is_told_in_its_own_member(cause: Cause, member: str, said: object) -> None:
    event = body(encode_balance_changed(transaction(Kind.WAIVER, cause), RECORDED, SOURCE))
    assert {
        name: event.get(name) for name in ("export", "library", "payment") if name in event
    } == {member: said}


def test_what_is_not_known_is_absent_and_not_null() -> None:
    message = encode_balance_changed(transaction(Kind.FINE), RECORDED, SOURCE)
    assert message.value is not None
    assert b"null" not in message.value
    assert "traceparent" not in headers_of(message)
    assert not {"export", "payment", "library"} & body(message).keys()


MINOR = st.integers(-(10**14), 10**14)  # their sums have up to 15 digits, as the contract says


@given(
    st.sampled_from(["JPY", "USD", "KWD"]), MINOR, MINOR, MINOR, MINOR, st.characters(codec="utf-8")
)
def test_any_balances_keep_to_the_schema_and_add_up(
    currency: str, active: int, transferred: int, change: int, remaining: int, letter: str
) -> None:
    key = AccountKey("6050", f"P{letter}" if letter.isprintable() else "P", currency)
    after = Account(key, active // 2, transferred // 2, sequence=2)
    before = Account(key, active // 2 - change // 4, transferred // 2 + change // 4, sequence=1)
    own = replace(fine_of(key, 100), remaining=remaining)
    given_one = Transaction(
        before, after, own, Kind.PAYMENT, "x", abs(change), None, PAYMENT, OCCURRED
    )
    event = sound("balance-changed", encode_balance_changed(given_one, RECORDED, SOURCE))
    assert event["balance"]["total"] == format_minor(after.active + after.transferred, currency)
    assert event["previous"]["active"] == format_minor(before.active, currency)
    assert event["change"]["transferred"] == format_minor(-(change // 4), currency)
    assert event["fine"]["remaining"] == format_minor(remaining, currency)
    assert event["patron_id"] == key.patron_id


# --- loan-closed ---------------------------------------------------------------------------------


def test_a_closed_loan_is_told() -> None:
    closed = LoanClosed("6050", "P-1", "L-1", "F-1", 7, OCCURRED)
    message = encode_loan_closed(closed, RECORDED, SOURCE)
    assert sound("loan-closed", message) == {
        "institution_id": "6050",
        "patron_id": "P-1",
        "loan_id": "L-1",
        "fine_id": "F-1",
        "batch_number": 7,
        "closed_at": "2026-09-12T19:22:06Z",
        "reason": "lost_fine_exported",
    }
    assert message.key == b"6050/P-1"
    assert headers_of(message) == {
        "ce_specversion": "1.0",
        "ce_id": "6050/L-1",
        "ce_source": SOURCE,
        "ce_type": "org.bursar-bridge.loan-closed.v1",
        "ce_time": "2026-09-12T19:22:06.512345Z",
        "ce_subject": "6050/L-1",
        "ce_partitionkey": "6050/P-1",
        "content-type": "application/json",
    }


# --- export-batch and export-manifest ------------------------------------------------------------

MANIFEST = Manifest(
    institution_id="6050",
    profile="bursar",
    mode=Mode.EXPORT_IMPORT,
    batch_number=7,
    export_number=100_000_000_000_007,
    run_id="run-1",
    part=1,
    last=True,
    cutoff=OCCURRED.replace(microsecond=123_000),
    sealed_at=RECORDED,
    currency="USD",
    count=2,
    total=94_50,
    debits=Sum(1, 95_50),
    credits=Sum(1, -1_00),
    by_type=(("CREDIT", Sum(1, -1_00)), ("OVERDUEFINE", Sum(1, 95_50))),
    by_owner=(("institution", Sum(2, 94_50)),),
    patrons=1,
    size_bytes=1000,
    sha256="a" * 64,
    previous_sha256="b" * 64,
    file_name="bursar-100000000000007-1789240926123.xml",
    held_back=((Exclusion.IN_DISPUTE, 3),),
    lines=(
        ManifestLine("42", "F-1", 95_50, Status.TRANSFERRED),
        ManifestLine("43", "F-2", -1_00, Status.CLOSED),
    ),
)


def test_a_batch_is_its_bytes_with_the_control_totals_in_the_headers() -> None:
    message = encode_batch(MANIFEST, b"<xml/>", SOURCE)
    assert (message.key, message.value) == (b"6050/bursar", b"<xml/>")
    assert headers_of(message) == {
        "ce_specversion": "1.0",
        "ce_id": "6050/bursar/7",
        "ce_source": SOURCE,
        "ce_type": "org.bursar-bridge.export-batch.v1",
        "ce_time": "2026-09-12T19:22:06.512345Z",
        "ce_subject": "6050/bursar/7",
        "ce_partitionkey": "6050/bursar",
        "content-type": "application/xml",
        "bursar-fine-count": "2",
        "bursar-total": "94.50",
        "bursar-sha256": "a" * 64,
        "bursar-file-name": "bursar-100000000000007-1789240926123.xml",
    }


def test_a_manifest_is_told_whole() -> None:
    message = encode_manifest(MANIFEST, SOURCE)
    assert sound("export-manifest", message) == {
        "institution_id": "6050",
        "profile": "bursar",
        "mode": "export_import",
        "batch_number": 7,
        "export_number": "100000000000007",
        "run_id": "run-1",
        "part": 1,
        "last": True,
        "cutoff": "2026-09-12T19:22:06.123000Z",
        "sealed_at": "2026-09-12T19:22:06.512345Z",
        "currency": "USD",
        "count": 2,
        "total": "94.50",
        "debits": {"count": 1, "total": "95.50"},
        "credits": {"count": 1, "total": "-1.00"},
        "by_type": [
            {"code": "CREDIT", "count": 1, "total": "-1.00"},
            {"code": "OVERDUEFINE", "count": 1, "total": "95.50"},
        ],
        "by_owner": [{"code": "institution", "count": 2, "total": "94.50"}],
        "patrons": 1,
        "size_bytes": 1000,
        "sha256": "a" * 64,
        "previous_sha256": "b" * 64,
        "file_name": "bursar-100000000000007-1789240926123.xml",
        "held_back": [{"reason": "in_dispute", "count": 3}],
        "lines": [
            {
                "bursar_transaction_id": "42",
                "fine_id": "F-1",
                "amount": "95.50",
                "status": "Transferred",
            },
            {
                "bursar_transaction_id": "43",
                "fine_id": "F-2",
                "amount": "-1.00",
                "status": "Closed",
            },
        ],
    }
    assert message.key == b"6050/bursar"
    named = headers_of(message)
    assert named["ce_id"] == "6050/bursar/7/manifest"
    assert named["ce_subject"] == "6050/bursar/7"
    assert named["ce_type"] == "org.bursar-bridge.export-manifest.v1"
    assert named["content-type"] == "application/json"


def test_the_first_manifest_has_no_predecessor_and_says_so() -> None:
    first = replace(MANIFEST, batch_number=1, previous_sha256=None, last=False, held_back=())
    event = sound("export-manifest", encode_manifest(first, SOURCE))
    assert event["previous_sha256"] is None


# --- rejected ------------------------------------------------------------------------------------


def rejected(
    value: bytes | None = b"\xff\x00",
    headers: Headers = (),
    key: bytes | None = b"6050/P-1",
    traceparent: str | None = None,
    is_another: bool = False,
) -> Message:
    origin = Origin("library.bursar-payment.v1", 3, 1042, key, value, headers, traceparent)
    refused = Rejection(Reason.INVALID_JSON, "record: must be one JSON value", origin, "6050")
    return encode_rejected(refused, RECORDED, SOURCE, is_another=is_another)


def header_faults(message: Message) -> list[str]:
    return examples.faults("rejected", json.dumps(headers_of(message)).encode())


def test_a_rejected_record_goes_out_as_it_came_with_the_reason_in_the_headers() -> None:
    message = rejected(
        headers=(("content-type", b"application/json"), ("ce_id", b"1"), ("secret", b"x")),
        traceparent=TRACEPARENT,
    )
    assert (message.key, message.value) == (b"6050/P-1", b"\xff\x00")
    assert header_faults(message) == []
    assert headers_of(message) == {
        "ce_specversion": "1.0",
        "ce_id": "library.bursar-payment.v1/3/1042",
        "ce_source": SOURCE,
        "ce_type": "org.bursar-bridge.rejected.v1",
        "ce_time": "2026-09-12T19:22:06.512345Z",
        "ce_subject": "6050",
        "ce_partitionkey": "6050/P-1",
        "content-type": "application/json",
        "traceparent": TRACEPARENT,
        "bursar-reason": "invalid_json",
        "bursar-detail": "record: must be one JSON value",
        "bursar-topic": "library.bursar-payment.v1",
        "bursar-partition": "3",
        "bursar-offset": "1042",
        "bursar-rejected-at": "2026-09-12T19:22:06.512345Z",
    }


def test_another_record_at_the_same_place_has_another_id() -> None:
    ids = {headers_of(rejected(value=value, is_another=True))["ce_id"] for value in (b"1", b"2")}
    assert len(ids | {headers_of(rejected())["ce_id"]}) == 3


def test_a_rejected_record_without_key_value_or_text_keeps_to_the_contract() -> None:
    for message in (
        rejected(value=None, key=None),
        rejected(key=b"\xff", headers=(("content-type", b"\xff"),)),
    ):
        assert header_faults(message) == []
        assert not {"ce_partitionkey", "content-type"} & headers_of(message).keys()
    assert rejected(value=None).value is None
    assert rejected(key=b"\xff").key == b"\xff"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(512 * 1024, 512 * 1024), (512 * 1024 + 1, 64 * 1024), (3 * 1024 * 1024, 64 * 1024)],
)
def test_of_a_value_over_512_kib_the_first_64_go_out(sent: int, kept: int) -> None:
    value = bytes(range(256)) * (sent // 256) + b"x" * (sent % 256)
    assert rejected(value=value).value == value[:kept]


def test_a_structured_event_is_rejected_in_binary_mode_all_the_same() -> None:
    message = rejected(headers=(("Content-Type", b"application/cloudevents+json; charset=UTF-8"),))
    assert headers_of(message)["content-type"] == "application/json"


def test_a_time_goes_out_in_utc_without_an_empty_fraction() -> None:
    local = OCCURRED.astimezone(timezone(timedelta(hours=2)))
    closed = LoanClosed("6050", "P-1", "L-1", "F-1", 7, OCCURRED)
    printed = headers_of(encode_loan_closed(closed, local, SOURCE))["ce_time"]
    assert printed == "2026-09-12T19:22:06Z"
