"""Ids of lines and late changes as libraries and bursars really send them."""

from __future__ import annotations

import pytest

from tests.support.inputs import ABSENT, Data, export_response
from tests.support.record_ledger import ANSWERED, LINE, RecordLedger, by


@pytest.mark.parametrize("line", [LINE, LINE.rjust(20, "0"), "0" + LINE])
def test_a_padded_id_is_the_same_id(exported: RecordLedger, line: str) -> None:
    assert exported.pay(**by(line)) == "applied"
    assert exported.pay(**by("00" + LINE)) == "repeat"
    assert exported.balances() == (0, 0)


def test_a_padded_id_is_the_same_in_an_answer(exported: RecordLedger) -> None:
    lines = [{"bursar_transaction_id": "0000" + LINE, "reason": "unknown"}]
    answer = export_response(profile="BOTH", outcome="partial", refused_lines=lines)
    assert exported.take(ANSWERED, answer) == "applied"
    assert exported.balances() == (95_50, 0)


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("0" * 20, "rejected:unknown_line"),
        (LINE.rjust(21, "0"), "rejected:invalid_schema"),
        (LINE + "0", "rejected:unknown_line"),
        (LINE[:-1], "rejected:unknown_line"),
        (LINE[:-1] + "9", "rejected:unknown_line"),
        ("10000000081", "rejected:unknown_line"),
        ("1E+10", "rejected:invalid_schema"),
        ("1.0000000018E10", "rejected:invalid_schema"),
        (" " + LINE, "rejected:invalid_schema"),
        ("+" + LINE, "rejected:invalid_schema"),
        ("\u0661" * 11, "rejected:invalid_schema"),
        (int(LINE), "rejected:invalid_schema"),
        (float(LINE), "rejected:invalid_schema"),
    ],
)
def test_an_id_that_a_spreadsheet_has_changed_is_never_another_line(
    exported: RecordLedger, line: object, outcome: str
) -> None:
    assert exported.pay(**by(line)) == outcome
    assert exported.balances() == (0, 95_50)


def test_an_id_of_16_digits_that_was_cut_to_15_meets_no_other_line(ledger: RecordLedger) -> None:
    for number in range(1, 4):
        ledger.fine(fine_id=f"F-{number}")
        ledger.export(f"F-{number}", str(10**15 + number))
    assert ledger.pay(**by("1000000000000000")) == "rejected:unknown_line"
    assert ledger.pay(**by("100000000000000")) == "rejected:payment_conflict"
    assert ledger.pay(payment_id="PAY-2", **by("100000000000000")) == "rejected:unknown_line"


def test_an_id_of_zeros_beside_a_fine_lets_the_fine_decide(exported: RecordLedger) -> None:
    assert exported.pay(bursar_transaction_id="00000") == "applied"


def moved(kind: str, number: int, at_: str) -> Data:
    named = {"kind": kind, "change_id": f"C-{number}", "changed_at": at_}
    return {**named, "amount": ABSENT, "currency": ABSENT}


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (("restored", "10:05:00Z"), ("disputed", "10:00:00Z"), "Active"),
        (("restored", "10:05:00Z"), ("disputed", "12:05:00+02:00"), "In dispute"),
        (("restored", "10:05:00Z"), ("disputed", "12:04:59+02:00"), "Active"),
        (("disputed", "10:05:00Z"), ("restored", "10:05:00Z"), "Active"),
        (("disputed", "10:05:00.0000009Z"), ("restored", "10:05:00.0000001Z"), "Active"),
        (("disputed", "10:05:00.000002Z"), ("restored", "10:05:00.000001Z"), "In dispute"),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_the_latest_dispute_or_end_of_one_counts(
    ledger: RecordLedger,
    first: tuple[str, str],
    second: tuple[str, str],
    status: str,
    is_known: bool,
) -> None:
    if is_known:
        ledger.fine()
    for number, (kind, time) in enumerate((first, second)):
        ledger.change(**moved(kind, number, f"2026-09-02T{time}"))
    if not is_known:
        ledger.fine()
    assert ledger["F-1"].status.value == status


def grows(amount: str, number: int = 1, day: int = 2) -> Data:
    at_ = f"2026-09-{day:02}T10:00:00Z"
    return {"kind": "adjusted", "change_id": f"C-{number}", "amount": amount, "changed_at": at_}


def test_an_overdue_fine_grows_until_its_export(ledger: RecordLedger) -> None:
    ledger.fine(amount="5.00")
    assert ledger.change(**grows("7.50", 1, 3)) == "applied"
    assert ledger.change(**grows("6.00", 2, 2)) == "rejected:overtaken"
    assert ledger.change(change_id="C-3", amount="2.50") == "applied"
    assert ledger.change(**grows("2.49", 4, 5)) == "rejected:exceeds_remaining"
    assert ledger.change(**grows("8.00", 5, 4)) == "applied"
    ledger.export()
    assert ledger.balances() == (0, 5_50)
    assert ledger.change(**grows("9.00", 6, 6)) == "rejected:already_exported"
    assert ledger.fine(amount="5.00") == "repeat"
    assert ledger.fine(amount="8.00") == "rejected:fine_conflict"


def test_a_fine_that_is_adjusted_to_what_was_paid_is_closed(ledger: RecordLedger) -> None:
    ledger.fine(amount="5.00")
    ledger.change(change_id="C-1", amount="2.50")
    assert ledger.change(**grows("2.50", 2)) == "applied"
    assert ledger.change(**grows("7.50", 3, 9)) == "rejected:already_closed"
    assert ledger.fine(amount="5.00") == "repeat:already_closed"
    assert ledger.balances() == (0, 0)


@pytest.mark.parametrize(
    "amount", ["0.00", "0", "-1.00", "-0", "1.001", "+1.00", "1e2", "01.00", 1]
)
def test_no_adjustment_is_to_nothing_or_to_what_is_no_amount(
    ledger: RecordLedger, amount: object
) -> None:
    ledger.fine()
    assert ledger.change(**grows("1.00") | {"amount": amount}) in (
        "rejected:invalid_amount",
        "rejected:invalid_schema",
    )
    assert ledger.balances() == (95_50, 0)
