"""What a record says, as core values: money, times, texts, conditions (contracts.md, 1-4)."""

from datetime import UTC, datetime, timedelta

import pytest

from service.core.events import BursarPayment, ExportResponse, FineChanged
from service.core.ledger import BatchKey, FineFacts, Item, Owner, Patron, SourceKey
from service.core.words import ChangeKind, PaymentKind, ResponseOutcome
from tests.support.inputs import (
    ABSENT,
    Data,
    bursar_payment,
    export_response,
    fine_changed,
    fine_created,
)
from tests.support.reading import change, fine, patron, payment, rejection, response

CREATED = datetime(2026, 9, 1, 10, tzinfo=UTC)


# --- each contract whole -------------------------------------------------------------------------


def test_a_fine_is_read_whole() -> None:
    result = fine(credit_of="F-0", exportable=False)
    assert result.facts == FineFacts(
        institution_id="6050",
        fine_id="F-1",
        patron_id="P-1",
        type="OVERDUEFINE",
        amount=95_50,
        currency="USD",
        owner=Owner("5867", "MAIN", "Main Library"),
        created_at=CREATED,
        comment="Returned late",
        loan_id="L-1",
        item=Item("Algorithms", due_date=datetime(2026, 8, 25, 3, 59, tzinfo=UTC), barcode="3903"),
        credit_of="F-0",
        exportable=False,
        digest=result.facts.digest,
    )
    seen_at = CREATED + timedelta(seconds=5)
    identifiers = (("02", "A1234567"),)
    assert result.patron == Patron("6050", "P-1", "Doe, Jane", "STUDENT", identifiers, seen_at)
    assert result.origin.offset == 7


def test_every_part_of_an_item_lands_in_its_place() -> None:
    parts = ("title", "call_number", "library", "location", "internal_location")
    item = fine(item={name: name.upper() for name in parts}).facts.item
    assert item == Item("TITLE", "CALL_NUMBER", "LIBRARY", "LOCATION", "INTERNAL_LOCATION")


def test_a_change_is_read_whole() -> None:
    result = change(reason="Cash", comment="Desk 2")
    assert result == FineChanged(
        key=SourceKey("6050", "ALMA", "C-1"),
        fine_id="F-1",
        kind=ChangeKind.PAID,
        amount=10_00,
        currency="USD",
        changed_at=datetime(2026, 9, 2, 10, tzinfo=UTC),
        reason="Cash",
        comment="Desk 2",
        digest=result.digest,
        origin=result.origin,
    )


def test_a_payment_is_read_whole() -> None:
    result = payment(bursar_transaction_id="42", status_code="cleared", comment="Invoice 2")
    assert result == BursarPayment(
        key=SourceKey("6050", "SAP", "PAY-1"),
        kind=PaymentKind.PAYMENT,
        bursar_transaction_id="42",
        fine_id="F-1",
        amount=95_50,
        currency="USD",
        paid_at=datetime(2026, 10, 1, 8, tzinfo=UTC),
        reverses_payment_id=None,
        status_code="cleared",
        comment="Invoice 2",
        digest=result.digest,
        origin=result.origin,
    )


def test_a_response_is_read_whole() -> None:
    result = response(
        outcome="partial",
        reason="Some",
        refused_lines=[{"bursar_transaction_id": "42", "reason": "No\tsuch\nstudent"}],
        control={"count": 3, "total": "-123456789012345.5"},
    )
    assert result == ExportResponse(
        key=SourceKey("6050", "SAP", "R-1"),
        batch=BatchKey("6050", "bursar", 1),
        outcome=ResponseOutcome.PARTIAL,
        reason="Some",
        refused_lines=(("42", "No such student"),),
        control=(3, "-123456789012345.5"),
        responded_at=datetime(2026, 9, 15, 8, tzinfo=UTC),
        digest=result.digest,
        origin=result.origin,
    )


# --- precedence and conditions -------------------------------------------------------------------

REVERSAL: Data = {"kind": "reversal", "reverses_payment_id": "PAY-0"}


STATUS: Data = {"kind": "status", "status_code": "x", "amount": ABSENT, "currency": ABSENT}


@pytest.mark.parametrize(
    ("overrides", "reason", "field"),
    [
        ({"amount": 95.5}, "invalid_amount", "amount"),
        ({"amount": True}, "invalid_amount", "amount"),
        ({"amount": ["1"]}, "invalid_amount", "amount"),
        ({"amount": "0.00"}, "invalid_amount", "amount"),
        ({"amount": "-1"}, "invalid_amount", "amount"),
        ({"amount": "1", "type": "CREDIT"}, "invalid_amount", "amount"),
        ({"amount": "-0", "type": "CREDIT"}, "invalid_amount", "amount"),
        ({"amount": "1.5", "currency": "JPY"}, "invalid_amount", "amount"),
        ({"amount": None}, "invalid_schema", "amount"),
        ({"currency": 840}, "invalid_schema", "currency"),
        ({"currency": None}, "invalid_schema", "currency"),
        ({"currency": "XXX"}, "invalid_currency", "currency"),
        ({"fine_id": "bb-" + "0" * 32}, "invalid_schema", "fine_id"),
        ({"patron": patron(name=None)}, "invalid_schema", "patron.name"),
        ({"item": {"title": "x", "barcode": 1}}, "invalid_schema", "item.barcode"),
        # several faults: the first in the order of precedence
        ({"amount": "1e5", "loan_id": 7}, "invalid_schema", "loan_id"),
        ({"amount": "1e5", "currency": "xxx"}, "invalid_amount", "amount"),
        ({"amount": "-1", "currency": "xxx"}, "invalid_amount", "amount"),
        ({"currency": "xxx", "loan_id": "\x00"}, "invalid_currency", "currency"),
        ({"amount": "1e5", "loan_id": " L"}, "invalid_amount", "amount"),
        ({"loan_id": "\x00", "fine_id": "bb-1"}, "invalid_schema", "fine_id"),
    ],
)
def test_a_faulty_fine_is_refused(overrides: Data, reason: str, field: str) -> None:
    result, detail = rejection("fine-created.v1", fine_created(**overrides))
    assert (result, detail.partition(":")[0]) == (reason, field)


@pytest.mark.parametrize(
    ("overrides", "reason", "field"),
    [
        ({"fine_id": ABSENT}, "invalid_schema", "bursar_transaction_id"),
        (
            {"fine_id": None, "bursar_transaction_id": None},
            "invalid_schema",
            "bursar_transaction_id",
        ),
        (STATUS | {"fine_id": ABSENT}, "invalid_schema", "bursar_transaction_id"),
        ({"amount": ABSENT}, "invalid_schema", "amount"),
        ({"currency": ABSENT}, "invalid_schema", "currency"),
        ({"kind": "write_off", "amount": None}, "invalid_schema", "amount"),
        (STATUS | {"amount": "1"}, "invalid_schema", "amount"),
        (STATUS | {"currency": "USD"}, "invalid_schema", "currency"),
        (STATUS | {"status_code": None}, "invalid_schema", "status_code"),
        (STATUS | {"amount": "1e5"}, "invalid_schema", "amount"),
        ({"kind": "reversal"}, "invalid_schema", "reverses_payment_id"),
        ({"reverses_payment_id": "PAY-0"}, "invalid_schema", "reverses_payment_id"),
        (REVERSAL | {"reverses_payment_id": "PAY-1"}, "invalid_schema", "reverses_payment_id"),
        (
            REVERSAL | {"reverses_payment_id": "e\u0301", "payment_id": "\u00e9"},
            "invalid_schema",
            "reverses_payment_id",
        ),
        (REVERSAL | {"currency": ABSENT}, "invalid_schema", "currency"),
        (REVERSAL | {"amount": "0"}, "invalid_amount", "amount"),
        (REVERSAL | {"amount": ABSENT, "currency": "xxx"}, "invalid_currency", "currency"),
        ({"amount": 1}, "invalid_amount", "amount"),
        ({"amount": "-1"}, "invalid_amount", "amount"),
        ({"source": "S\x00"}, "invalid_text", "source"),
        ({"payment_id": "S\n"}, "invalid_text", "payment_id"),
    ],
)
def test_a_faulty_payment_is_refused(overrides: Data, reason: str, field: str) -> None:
    result, detail = rejection("bursar-payment.v1", bursar_payment(**overrides))
    assert (result, detail.partition(":")[0]) == (reason, field)


def test_a_reversal_needs_neither_amount_nor_reference() -> None:
    result = payment(**REVERSAL, amount=ABSENT, currency=ABSENT, fine_id=ABSENT)
    assert (result.amount, result.currency, result.line_key) == (None, None, None)
    assert result.original == SourceKey("6050", "SAP", "PAY-0")
    assert payment(**REVERSAL, amount=None).currency == "USD"


def test_a_status_has_no_money() -> None:
    result = payment(**STATUS)
    assert (result.kind, result.amount, result.status_code) == (PaymentKind.STATUS, None, "x")


@pytest.mark.parametrize("kind", ["cancelled", "disputed", "restored"])
def test_a_change_without_money_has_no_money(kind: str) -> None:
    assert change(kind=kind, amount=ABSENT, currency=None).amount is None
    for money in ({"amount": None}, {"currency": None}, {}):
        reason, _ = rejection("fine-changed.v1", fine_changed(kind=kind, **money))
        assert reason == "invalid_schema"


@pytest.mark.parametrize("kind", ["paid", "waived", "adjusted"])
def test_a_change_with_money_has_all_of_it(kind: str) -> None:
    assert change(kind=kind).amount == 10_00
    for money in ({"amount": None}, {"currency": None}):
        reason, _ = rejection("fine-changed.v1", fine_changed(kind=kind, **money))
        assert reason == "invalid_schema"


LINES = [{"bursar_transaction_id": "42", "reason": "no"}]


@pytest.mark.parametrize(
    ("overrides", "reason", "field"),
    [
        ({"outcome": "refused"}, "invalid_schema", "reason"),
        ({"outcome": "partial"}, "invalid_schema", "refused_lines"),
        ({"outcome": "partial", "refused_lines": []}, "invalid_schema", "refused_lines"),
        ({"refused_lines": LINES}, "invalid_schema", "refused_lines"),
        ({"refused_lines": []}, "invalid_schema", "refused_lines"),
        ({"profile": "a-b"}, "invalid_schema", "profile"),
        ({"control": {"count": 1}}, "invalid_schema", "control.total"),
        ({"control": {"count": -1, "total": "1"}}, "invalid_schema", "control.count"),
        ({"control": {"count": 1, "total": 1}}, "invalid_amount", "control.total"),
        ({"control": {"count": 1, "total": "-0.00"}}, "invalid_amount", "control.total"),
        ({"control": {"count": 1, "total": "1" * 16}}, "invalid_amount", "control.total"),
        ({"response_id": "\x00"}, "invalid_text", "response_id"),
        ({"response_id": "R "}, "invalid_text", "response_id"),
        (
            {"outcome": "partial", "refused_lines": [*LINES, LINES[0] | {"reason": ""}]},
            "invalid_schema",
            "refused_lines.1.reason",
        ),
    ],
)
def test_a_faulty_response_is_refused(overrides: Data, reason: str, field: str) -> None:
    result, detail = rejection("export-response.v1", export_response(**overrides))
    assert (result, detail.partition(":")[0]) == (reason, field)
