"""What goes out: against the schemas, header by header (contracts.md, 5-7)."""

from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.amendment import Amendment
from service.core.batches import LoanClosed
from service.core.changes import Transaction
from service.core.ledger import (
    Account,
    AccountKey,
    Cause,
    ExportRef,
    Fine,
    FineFacts,
    LibraryRef,
    PaymentRef,
)
from service.core.money import format_minor
from service.core.words import Considered, Kind, Status
from service.messages.encode import encode_balance_changed, encode_loan_closed
from tests.support.inputs import TRACEPARENT
from tests.support.outgoing import OCCURRED, RECORDED, SOURCE, body, headers_of, sound

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
    fine = fine_of(amount=-1 if kind is Kind.CREDIT else 95_50)
    return Transaction(before, after, fine, kind, "A label", amount, None, cause, OCCURRED)


# --- balance-changed -----------------------------------------------------------------------------

CAUSES: dict[Kind, Cause] = {
    Kind.FINE: None,
    Kind.CREDIT: None,
    Kind.DESK_PAYMENT: LIBRARY,
    Kind.WAIVER: replace(LIBRARY, reason="Goodwill"),
    Kind.CANCELLATION: LIBRARY,
    Kind.ADJUSTMENT: LIBRARY,
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


@pytest.mark.parametrize(
    ("adjusted", "amount", "created"),
    [(None, "95.50", None), (120_00, "120.00", "95.50"), (95_50, "95.50", None)],
)
def test_the_fine_has_its_amount_as_adjusted_and_the_first_one_where_it_differs(
    adjusted: int | None, amount: str, created: str | None
) -> None:
    given = transaction(Kind.ADJUSTMENT, LIBRARY, 24_50)
    fine = replace(given.fine, amendment=Amendment(adjusted, OCCURRED))
    message = encode_balance_changed(replace(given, fine=fine), RECORDED, SOURCE)
    fine_of_event = sound("balance-changed", message)["fine"]
    assert (fine_of_event["amount"], fine_of_event.get("amount_created")) == (amount, created)


def a_full_transaction() -> Transaction:
    cause = PaymentRef("SAP", "PAY-2", "PAY-1", "storno", "Bounced")
    facts = replace(fine_of().facts, credit_of="F-0", amount=95_50)
    fine = Fine(
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
        fine=fine,
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
    ("cause", "member", "content"),
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
def test_a_cause_is_told_in_its_own_member(cause: Cause, member: str, content: object) -> None:
    event = body(encode_balance_changed(transaction(Kind.WAIVER, cause), RECORDED, SOURCE))
    assert {
        name: event.get(name) for name in ("export", "library", "payment") if name in event
    } == {member: content}


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
    fine = replace(fine_of(key, 100), remaining=remaining)
    payment = Transaction(
        before, after, fine, Kind.PAYMENT, "x", abs(change), None, PAYMENT, OCCURRED
    )
    event = sound("balance-changed", encode_balance_changed(payment, RECORDED, SOURCE))
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


def test_a_time_goes_out_in_utc_without_an_empty_fraction() -> None:
    local = OCCURRED.astimezone(timezone(timedelta(hours=2)))
    closed = LoanClosed("6050", "P-1", "L-1", "F-1", 7, OCCURRED)
    printed = headers_of(encode_loan_closed(closed, local, SOURCE))["ce_time"]
    assert printed == "2026-09-12T19:22:06Z"
