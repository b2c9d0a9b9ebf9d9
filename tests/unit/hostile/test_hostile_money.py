"""Payments, charge-backs, sums and repeats as libraries and bursars really send them."""

from __future__ import annotations

import pytest

from service.core.terms import Terms
from tests.support.given import BOTH, CREDITS, ONLY
from tests.support.inputs import ABSENT, Data, export_response
from tests.support.record_ledger import ANSWERED, LINE, RecordLedger, a_sum, back


@pytest.mark.parametrize(
    ("terms", "amounts", "outcomes"),
    [
        (BOTH, ["95.50"], ["rejected:already_exported"]),
        (ONLY, ["95.50"], ["rejected:already_exported"]),
        (CREDITS, ["95.51", "95.50"], ["rejected:exceeds_remaining", "applied"]),
        (CREDITS, ["50.00", "45.50", "0.01"], ["applied", "applied", "rejected:exceeds_remaining"]),
    ],
    ids=["both", "only", "credits", "in parts"],
)
def test_what_is_paid_at_the_desk_after_the_transfer_goes_by_the_profile(
    ledger: RecordLedger, terms: Terms, amounts: list[str], outcomes: list[str]
) -> None:
    ledger.fine()
    ledger.export(terms=terms)
    result = [ledger.change(change_id=f"C-{n}", amount=each) for n, each in enumerate(amounts)]
    assert result == outcomes
    credited = 95_50 if "applied" in outcomes else 0
    assert ledger.balances()[0] == -credited


def test_the_desk_and_the_bursar_cannot_both_be_paid_in_full(ledger: RecordLedger) -> None:
    ledger.fine()
    ledger.export(terms=CREDITS)
    assert ledger.pay(amount="60.00") == "applied"
    assert ledger.change(amount="40.00") == "rejected:exceeds_remaining"
    back = {"kind": "reversal", "reverses_payment_id": "PAY-1", "amount": "5.00"}
    assert ledger.pay(payment_id="R-1", **back) == "applied"
    assert ledger.change(change_id="C-2", amount="40.50") == "applied"
    assert ledger.balances() == (-40_50, 40_50)


def test_parts_of_a_payment_are_charged_back_until_nothing_is_left(exported: RecordLedger) -> None:
    exported.pay(amount="25.00")
    parts = [
        back(1, "10.00"),
        back(2, "10.00"),
        back(3, "5.01"),
        back(4),
        back(5),
        back(1, "10.00"),
    ]
    assert [exported.pay(**part) for part in parts] == [
        *("applied", "applied", "rejected:amount_mismatch", "applied"),
        *("rejected:already_reversed", "repeat"),
    ]
    assert exported.balances() == (0, 95_50)


def test_parts_that_are_charged_back_before_the_payment_comes_wait_for_it(
    exported: RecordLedger,
) -> None:
    assert exported.pay(**back(1, "20.00")) == "parked:unknown_original"
    assert exported.pay(**back(2, "20.00")) == "parked:unknown_original"
    assert exported.pay(amount="25.00") == "applied"
    assert exported.balances() == (0, 95_50 - 25_00 + 20_00)
    assert [each.reason.value for each in exported.store.rejections] == ["amount_mismatch"]


def test_a_part_of_a_write_off_or_of_a_noted_payment_is_charged_back(ledger: RecordLedger) -> None:
    ledger.fine(type="LOSTITEMFINE")
    ledger.fine(fine_id="F-2")
    ledger.export(line="1")
    ledger.export("F-2", "2")
    assert ledger.pay(amount="25.00") == "noted"
    assert ledger.pay(**back(1, "10.00")) == "noted"
    assert (
        ledger.pay(payment_id="W-1", fine_id="F-2", amount="25.00", kind="write_off") == "applied"
    )
    assert ledger.pay(**back(2, "10.00", reverses_payment_id="W-1")) == "applied"
    assert ledger.balances() == (0, 80_50)
    for number, fine_id in ((1, "LOSTITEMFINE"), (2, "OVERDUEFINE")):
        lines = [{"bursar_transaction_id": str(number), "reason": "no"}]
        answer = export_response(
            response_id=f"A-{number}",
            profile="BOTH",
            batch_number=number,
            outcome="partial",
            refused_lines=lines,
        )
        assert ledger.take(ANSWERED, answer) == "rejected:already_paid", fine_id


def test_a_sum_of_another_currency_waits_and_one_of_another_patron_is_not_taken(
    exported: RecordLedger,
) -> None:
    assert exported.pay(**a_sum("60.00", currency="EUR")) == "parked:unallocated"
    assert exported.pay(**a_sum("60.00", payment_id="S-2", patron_id="P-2")) == "parked:unallocated"
    wrong = a_sum("60.00", payment_id="S-3", patron_id="P-2", fine_id="F-1")
    assert exported.pay(**wrong) == "rejected:reference_mismatch"
    line = a_sum("60.00", payment_id="S-4", patron_id="P-2", bursar_transaction_id=LINE)
    assert exported.pay(**line) == "rejected:reference_mismatch"
    assert exported.balances() == (0, 95_50)


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "write_off"},
        {"kind": "status", "amount": ABSENT, "currency": ABSENT, "status_code": "invoiced"},
        {"kind": "reversal", "reverses_payment_id": "S-0"},
        {"patron_id": ABSENT},
        {"patron_id": ""},
        {"patron_id": None},
    ],
)
def test_only_a_payment_may_name_a_patron_alone(exported: RecordLedger, members: Data) -> None:
    assert exported.pay(**(a_sum("60.00") | members)).startswith("rejected:invalid_")


def test_a_sum_is_reversed_whole_and_names_no_line(exported: RecordLedger) -> None:
    exported.pay(**a_sum("60.00"))
    of_sum = {"reverses_payment_id": "S-1"}
    assert exported.pay(**back(1, "10.00", **of_sum)) == "rejected:amount_mismatch"
    assert exported.pay(**back(2, fine_id="F-1", **of_sum)) == "rejected:reference_mismatch"
    named = back(3, bursar_transaction_id=LINE, **of_sum)
    assert exported.pay(**named) == "rejected:reference_mismatch"
    assert exported.pay(**back(4, "60.00", **of_sum)) == "applied"
    assert exported.pay(**back(5, **of_sum)) == "rejected:already_reversed"
    assert exported.balances() == (0, 95_50)


@pytest.mark.parametrize("kind", ["cancelled", "waived", "paid", "adjusted"])
def test_a_closed_fine_that_is_sent_again_is_not_owed_again(
    ledger: RecordLedger, kind: str
) -> None:
    ledger.fine()
    if kind == "adjusted":
        ledger.change(change_id="C-0", amount="10.00")
    amount = {"cancelled": ABSENT, "adjusted": "10.00"}.get(kind, "95.50")
    currency = ABSENT if amount is ABSENT else "USD"
    assert ledger.change(kind=kind, amount=amount, currency=currency) == "applied"
    assert ledger.fine() == "repeat:already_closed"
    assert ledger.fine(comment="again") == "rejected:fine_conflict"
    assert ledger.balances() == (0, 0)


def test_a_fine_that_closed_at_the_bursar_is_a_plain_repeat(ledger: RecordLedger) -> None:
    ledger.fine(type="LOSTITEMFINE")
    ledger.export()
    assert ledger.fine(type="LOSTITEMFINE") == "repeat"


def test_one_loan_that_is_billed_under_two_ids_is_taken_twice(ledger: RecordLedger) -> None:
    assert [ledger.fine(fine_id=each) for each in ("F-1", "f-1", "F-01")] == ["applied"] * 3
    assert ledger.balances() == (3 * 95_50, 0)
