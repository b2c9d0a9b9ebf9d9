"""An id that is not known says whether any line could have it (rules.md, 3, row 4; 5, row 4)."""

import pytest

from tests.support.bursar import pays, refuses
from tests.support.given import EXPORTED, THREE
from tests.support.in_memory import Ledger, Step

UNKNOWN = "bursar_transaction_id: is not known here"
WRONG_CHECK_DIGIT = f"{UNKNOWN}: its check digit is wrong"
WRONG_LENGTH = f"{UNKNOWN}: it does not have 11 digits, or 16 as earlier ids have"


def only_rejection(ledger: Ledger) -> tuple[str, str]:
    (rejection,) = ledger.store.rejections
    return rejection.reason.value, rejection.detail


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("10000000018", UNKNOWN),  # sound, of a line that is not here
        ("1000000000000012", UNKNOWN),  # an earlier id has no check digit
        ("10000000019", WRONG_CHECK_DIGIT),
        ("1000000001", WRONG_LENGTH),
        ("100000000000012", WRONG_LENGTH),  # an earlier id, cut to 15 digits
        ("1", WRONG_LENGTH),
    ],
)
def test_the_detail_of_a_payment_says_what_is_wrong_with_an_unknown_id(
    line: str, detail: str
) -> None:
    ledger = Ledger(*EXPORTED)
    ledger.take(pays(1_00, None, line=line))
    assert only_rejection(ledger) == ("unknown_line", detail)


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (refuses("1001", "10000000018"), f"refused_lines.1.{UNKNOWN}"),
        (refuses("10000000019", "1001"), f"refused_lines.0.{WRONG_CHECK_DIGIT}"),
        (refuses("1001", "1002", "7"), f"refused_lines.2.{WRONG_LENGTH}"),
    ],
)
def test_the_detail_of_an_answer_names_the_line_and_what_is_wrong(event: Step, detail: str) -> None:
    ledger = Ledger(*THREE)
    ledger.take(event)
    assert only_rejection(ledger) == ("unknown_line", detail)


def test_a_known_line_is_found_whatever_its_id_looks_like() -> None:
    ledger = Ledger(*EXPORTED)  # its line has an id of four digits
    ledger.take(pays(1_00, None, line="1001"))
    assert ledger.payment_state() == "applied"
