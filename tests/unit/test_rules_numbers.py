"""Money at its edges: cents, the largest amount, currencies, sequences (contracts.md, 1 and 5)."""

from datetime import date, timedelta

import pytest

from service.core import money
from service.core.money import InvalidAmount, InvalidCurrency, format_minor, parse_minor, parse_sum
from tests.support.bursar import pays, refuses, reverses
from tests.support.given import CREDIT_ID, creates, exports, table
from tests.support.in_memory import Ledger, Now, now, outcome_of_event, transferred
from tests.support.view_store import sound

LARGEST = 9_999_999_999_99


@table(
    "text currency minor",
    ("1 a cent", "0.01", "USD", 1),
    ("1 one decimal of two", "95.5", "USD", 95_50),
    ("1 no decimals of two", "95", "USD", 95_00),
    ("1 negative", "-3.25", "USD", -3_25),
    ("1 zero", "0", "USD", 0),
    ("1 zero with decimals", "0.00", "USD", 0),
    ("1 the largest", "9999999999.99", "USD", LARGEST),
    ("1 the largest negative", "-9999999999.99", "USD", -LARGEST),
    ("1 yen", "300", "JPY", 300),
    ("1 the most yen", "9999999999", "JPY", 9_999_999_999),
    ("1 dinar", "1.234", "KWD", 1_234),
    ("1 dinar with one decimal", "1.2", "KWD", 1_200),
    ("1 the most dinar", "9999999999.999", "KWD", 9_999_999_999_999),
)
def test_an_amount_is_read_as_minor_units(text: str, currency: str, minor: int) -> None:
    assert parse_minor(text, currency) == minor


@table(
    "text currency",
    ("1 one more than the largest", "10000000000.00", "USD"),
    ("1 one more than the largest, negative", "-10000000000", "USD"),
    ("1 three decimals of two", "0.001", "USD"),
    ("1 a zero too many", "1.000", "USD"),
    ("1 four decimals of three", "0.0001", "KWD"),
    ("1 decimals of a yen", "300.0", "JPY"),
    ("1 minus zero", "-0", "USD"),
    ("1 minus zero with decimals", "-0.00", "USD"),
    ("1 leading zero", "01.00", "USD"),
    ("1 no whole part", ".50", "USD"),
    ("1 no fraction after the point", "5.", "USD"),
    ("1 plus", "+1", "USD"),
    ("1 blank", " 1", "USD"),
    ("1 line feed at the end", "1\n", "USD"),
    ("1 empty", "", "USD"),
    ("1 exponent", "1e2", "USD"),
    ("1 separator", "1,000.00", "USD"),
    ("1 other digits", "١", "USD"),
    ("1 underscore", "1_0", "USD"),
    ("1 hyphen that is no minus", "−1", "USD"),
    ("1 infinity", "Infinity", "USD"),
    ("1 not a number", "NaN", "USD"),
    ("1 a number", 1, "USD"),
    ("1 nothing", None, "USD"),
    ("1 a truth", True, "USD"),
)
def test_anything_else_is_no_amount_and_the_error_does_not_repeat_it(
    text: object, currency: str
) -> None:
    with pytest.raises(InvalidAmount) as problem:
        parse_minor(text, currency)
    assert str(problem.value) in {
        "must be a string",
        "must be plain digits with an optional fraction",
        "has more decimals than the currency",
        "must not be minus zero",
    }


@table(
    "text minor",
    ("1 fifteen digits before the point", "999999999999999.99", 99_999_999_999_999_999),
    ("1 negative", "-10000000000.5", -1_000_000_000_050),
)
def test_a_sum_may_be_longer_than_an_amount(text: str, minor: int) -> None:
    assert parse_sum(text, "USD") == minor


@pytest.mark.parametrize("text", ["1000000000000000", "-0", "-0.00", "1e3", "+1", "1.001"])
def test_a_sum_is_no_looser_otherwise(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_sum(text, "USD")


@pytest.mark.parametrize("code", ["usd", "US", "USDX", "ZZZ", "", "840", "XAU", "CLF"])
def test_a_currency_is_a_code_with_at_most_three_decimals(code: str) -> None:
    with pytest.raises(InvalidCurrency):
        parse_minor("1", code)


@table(
    "minor currency text",
    ("1 two decimals", 95_00, "USD", "95.00"),
    ("1 a cent", 1, "USD", "0.01"),
    ("1 minus a cent", -1, "USD", "-0.01"),
    ("1 zero", 0, "USD", "0.00"),
    ("1 yen", 300, "JPY", "300"),
    ("1 minus yen", -300, "JPY", "-300"),
    ("1 dinar", 1_234, "KWD", "1.234"),
    ("1 a thousandth", -1, "KWD", "-0.001"),
)
def test_money_goes_out_with_exactly_the_currencys_decimals(
    minor: int, currency: str, text: str
) -> None:
    assert format_minor(minor, currency) == text
    assert parse_minor(text, currency) == minor


def test_every_currency_of_the_standard_has_its_decimals_in_the_table() -> None:
    """An update of the package that adds one, or changes it, has to be looked at."""
    assert {code: money._DECIMALS.get(code) for code in money._current()} == money._current()


def test_a_currency_is_current_or_has_the_last_month_of_its_money() -> None:
    """An update of the package that drops a currency fails here until the table says since when."""
    assert money._DECIMALS.keys() - money._current().keys() == money._WITHDRAWN.keys()


@pytest.mark.parametrize("code", sorted(money._WITHDRAWN))
def test_a_withdrawn_currency_keeps_its_decimals(code: str) -> None:
    text = "195" if code == "BYR" else "1.95"
    assert parse_minor(text, code) == 195
    assert format_minor(195, code) == text


WITHDRAWN = {  # the first day on which no fine can be created in the currency
    "ANG": date(2025, 7, 1),
    "BGN": date(2026, 2, 1),
    "BYR": date(2017, 2, 1),
    "CUC": date(2021, 7, 1),
    "EEK": date(2011, 2, 1),
    "HRK": date(2023, 2, 1),
    "LTL": date(2015, 2, 1),
    "LVL": date(2014, 2, 1),
    "MRO": date(2018, 7, 1),
    "SKK": date(2009, 2, 1),
    "SLL": date(2024, 1, 1),
    "STD": date(2018, 7, 1),
    "TMM": date(2009, 2, 1),
    "VEB": date(2008, 2, 1),
    "VEF": date(2018, 9, 1),
    "ZMK": date(2013, 1, 1),
    "ZWL": date(2024, 9, 1),
}


@pytest.mark.parametrize("code", sorted(money._WITHDRAWN))
def test_a_fine_may_be_in_a_withdrawn_currency_up_to_the_last_day_of_its_money(code: str) -> None:
    first = WITHDRAWN[code]
    assert money.is_in_use(code, first - timedelta(days=1))
    assert not money.is_in_use(code, first)


def test_a_currency_of_the_standard_is_in_use_on_every_day() -> None:
    assert money.is_in_use("EUR", date(1990, 1, 1))
    assert not money.is_in_use("XXX", date(2020, 1, 1))


def test_three_cents_are_paid_cent_by_cent() -> None:
    ledger = Ledger(creates(3), exports())
    left = []
    for n in range(3):
        ledger.take(pays(1, payment_id=f"p{n}"))
        left.append((now(ledger).outstanding, now(ledger).considered))
    assert left == [(2, "active"), (1, "active"), (0, "closed")]
    sound(ledger.store)


def test_an_overpayment_by_a_cent_leaves_a_credit_of_a_cent() -> None:
    ledger = Ledger(creates(3), exports(), pays(4))
    assert now(ledger) == transferred(0, active=-1)
    assert ledger.fine(CREDIT_ID).remaining == -1


def test_the_largest_amount_goes_the_whole_way() -> None:
    ledger = Ledger(creates(LARGEST), exports(), pays(LARGEST), reverses(), refuses())
    assert now(ledger) == Now("Active", "active", LARGEST, 0, LARGEST, 0)
    sound(ledger.store)


def test_a_thousand_of_the_largest_fit_into_one_account() -> None:
    ledger = Ledger()
    ledger.store.fold(*(creates(LARGEST, f"F{n}") for n in range(1_000)))
    assert ledger.account().active == 1_000 * LARGEST < 2**63
    assert len(str(ledger.account().active // 100)) <= 15


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_minor_units_are_the_currencys_own(currency: str) -> None:
    ledger = Ledger(creates(1_234, currency=currency), exports(currency=currency))
    ledger.take(pays(1_235, currency=currency))
    account = ledger.account(currency=currency)
    assert (account.active, account.transferred) == (-1, 0)
    assert ledger.account(currency="USD").sequence == 0


def test_one_patron_has_an_account_per_currency() -> None:
    ledger = Ledger(creates(1), creates(2, "F2", currency="EUR"), creates(3, "F3"))
    assert (ledger.account().active, ledger.account().sequence) == (4, 2)
    assert (ledger.account(currency="EUR").active, ledger.account(currency="EUR").sequence) == (
        2,
        1,
    )


def test_a_reversal_of_a_wholly_excess_payment_cancels_its_credit_alone() -> None:
    ledger = Ledger(creates(3), exports(), pays(3, payment_id="p0"), pays(2))
    assert ledger.fine().payments_live == 2
    done = ledger.take(reverses())
    assert [line.kind.value for line in done.transactions] == ["credit_cancelled"]
    assert now(ledger) == transferred(0)
    assert ledger.fine().payments_live == 1


def test_a_refused_line_that_was_paid_in_part_stays() -> None:
    ledger = Ledger(creates(3), exports(), pays(1))
    assert outcome_of_event(ledger.take(refuses("1001"))) == "rejected:already_paid"
    assert now(ledger) == transferred(2)


def test_an_accounts_sequence_has_no_gaps_and_each_line_ends_where_the_next_begins() -> None:
    ledger = Ledger(
        creates(95_00),
        creates(5_00, "F2"),
        creates(1_00, "F9", patron="P2"),
        pays(1, currency="EUR", payment_id="p9"),
        exports("F1", "F2"),
        pays(100_00),
        reverses(),
        refuses("1002"),
    )
    lines = [line for line in ledger.store.transactions if line.fine.facts.patron_id == "P1"]
    assert [line.after.sequence for line in lines] == list(range(1, len(lines) + 1))
    assert [line.before for line in lines[1:]] == [line.after for line in lines[:-1]]
    assert len({line.transaction_id for line in ledger.store.transactions}) == len(lines) + 1
    sound(ledger.store)


def test_a_transactions_id_depends_on_its_account_epoch_and_number_alone() -> None:
    item = Ledger(creates(95_00)).store.transactions[0]
    other = Ledger(creates(1_00, "F2")).store.transactions[0]
    assert item.transaction_id == other.transaction_id
    assert len(item.transaction_id) == 32
    elsewhere = Ledger(creates(95_00, patron="P2")).store.transactions[0]
    assert elsewhere.transaction_id != item.transaction_id


@table(
    "code rule",
    ("1 in small letters", "usd", "must be in upper case"),
    ("1 with a blank", " USD", "must not have blanks around it"),
    ("1 no code", "XXQ", "must be an ISO 4217 code with 0 to 3 decimals"),
    ("1 no code in small letters", "xxq", "must be an ISO 4217 code with 0 to 3 decimals"),
    ("1 no code with a blank", "XXQ ", "must be an ISO 4217 code with 0 to 3 decimals"),
)
def test_a_code_that_is_no_currency_is_told_the_rule_that_it_breaks(code: str, rule: str) -> None:
    with pytest.raises(InvalidCurrency) as problem:
        money.decimals(code)
    assert str(problem.value) == rule


@table("currency minor", ("1 cents", "USD", 100_00), ("1 yen", "JPY", 100), ("1", "KWD", 100_000))
def test_whole_units_are_so_many_minor_units(currency: str, minor: int) -> None:
    assert money.whole_units(100, currency) == minor
