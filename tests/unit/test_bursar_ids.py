"""Bursar transaction ids: ten digits and a check digit of ISO 7064, MOD 11,10."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.bursar_ids import (
    NUMBER_MAX,
    NUMBER_MIN,
    are_cut,
    bursar_id,
    check_digit,
    fault_of_unknown_id,
)
from service.export.batch import is_bursar_id

WRONG = "its check digit is wrong"
LENGTH = "it does not have 11 digits, or 16 as earlier ids have"

NUMBERS = st.integers(NUMBER_MIN, NUMBER_MAX)

# The example of the standard, numbers that the manuals of German tax numbers and of German and
# Croatian VAT numbers print, and a serial number of python-stdnum.
PUBLISHED = ("07945", "36574261809", "136695976", "33392005961", "002006673085")


@pytest.mark.parametrize("number", PUBLISHED)
def test_the_check_digit_is_that_of_published_numbers(number: str) -> None:
    assert check_digit(number[:-1]) == number[-1]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (NUMBER_MIN, "10000000018"),
        (NUMBER_MIN + 1, "10000000026"),
        (NUMBER_MAX, "99999999994"),
    ],
)
def test_an_id_is_its_number_and_the_check_digit(number: int, expected: str) -> None:
    assert bursar_id(number) == expected


@given(NUMBERS)
def test_every_id_has_eleven_digits_and_no_fault(number: int) -> None:
    text = bursar_id(number)
    assert len(text) == 11
    assert is_bursar_id(text)
    assert fault_of_unknown_id(text) is None
    assert fault_of_unknown_id(f"000{text}") is None


@given(st.lists(NUMBERS, min_size=2, max_size=20, unique=True))
def test_ids_ascend_with_their_numbers(numbers: list[int]) -> None:
    ids = [bursar_id(number) for number in sorted(numbers)]
    assert all(int(first) < int(second) for first, second in pairwise(ids))
    assert sorted(ids) == ids


@given(NUMBERS, st.integers(0, 10), st.integers(1, 9))
def test_a_wrong_digit_is_always_noticed(number: int, place: int, more: int) -> None:
    text = bursar_id(number)
    digit = str((int(text[place]) + more) % 10)
    mistyped = text[:place] + digit + text[place + 1 :]
    assert fault_of_unknown_id(mistyped) is not None


def test_nearly_every_exchange_of_two_neighbours_is_noticed() -> None:
    exchanged = [
        text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        for text in map(bursar_id, range(NUMBER_MIN, NUMBER_MAX, 9_999_991))
        for place in range(10)
        if text[place] != text[place + 1]
    ]
    unnoticed = [text for text in exchanged if fault_of_unknown_id(text) is None]
    assert len(exchanged) > 5_000
    assert len(unnoticed) < len(exchanged) * 3 / 100


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("10000000019", WRONG),  # of another number
        ("00000000010000000019", WRONG),  # padded
        ("10000000000", "it is lower than every id"),  # 1E+10, though its check digit is right
        ("1000000001", LENGTH),  # without its check digit
        ("100000000182", LENGTH),
        ("100000000000012", LENGTH),  # an earlier id that was cut to 15 digits
        ("7", LENGTH),
        ("0", LENGTH),
        ("99999999999999999999", LENGTH),
        ("1000000000000012", None),  # earlier ids have no check digit
        ("10000000018", None),
    ],
)
def test_an_unknown_id_that_no_line_can_have_is_named(text: str, fault: str | None) -> None:
    assert fault_of_unknown_id(text) == fault


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((10, 20, 30), True),
        ((10, 10, 20, 30), True),
        ((10, 20, 20), False),  # two ids: that may be
        ((10, 20, 30, 41), False),
        ((1, 2, 3), False),
        ((), False),
    ],
)
def test_earlier_ids_that_a_spreadsheet_has_cut_are_recognised(
    numbers: tuple[int, ...], expected: bool
) -> None:
    ids = [str(10**15 + number) for number in numbers]
    assert are_cut(ids) is expected
    assert are_cut([*ids, bursar_id(NUMBER_MIN)]) is expected
