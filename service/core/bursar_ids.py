"""Bursar transaction ids: ten digits from a counter and a check digit (contracts.md, 6).

Eleven digits fit into every spreadsheet cell, which keeps 15 digits. The check digit shows that an
id was mistyped or cut off before anybody searches for the line that it would name.
"""

from collections.abc import Iterable
from typing import Final

COUNTER_DIGITS: Final = 10
NUMBER_MIN: Final = 1_000_000_001
NUMBER_MAX: Final = 9_999_999_999
# Releases up to 0.6.0 gave ids of 16 digits without a check digit, which stay valid.
EARLIER_DIGITS: Final = 16
CUT_IDS_MIN: Final = 3


def bursar_id(number: int) -> str:
    """Returns the id of the line that has this number of its institution's counter.

    The number is from NUMBER_MIN to NUMBER_MAX. Ids ascend with their numbers.
    """
    assert NUMBER_MIN <= number <= NUMBER_MAX
    digits = str(number)
    return digits + check_digit(digits)


def check_digit(digits: str) -> str:
    """Returns the check digit of ISO 7064, MOD 11,10 for a text of ASCII digits."""
    product = 10
    for digit in digits:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return str((11 - product) % 10)


def fault_of_unknown_id(text: str) -> str | None:
    """Why no line can have this id, which has only digits; None if a line could have it.

    It is asked for ids that are not known. Zeros in front do not count.
    """
    digits = text.lstrip("0")
    if len(digits) == COUNTER_DIGITS + 1:
        if int(digits[:-1]) < NUMBER_MIN:
            return "it is lower than every id"  # as a rounded id is: 1E+10
        is_sound = check_digit(digits[:-1]) == digits[-1]
        return None if is_sound else "its check digit is wrong"
    if len(digits) == EARLIER_DIGITS:
        return None
    return f"it does not have {COUNTER_DIGITS + 1} digits, or {EARLIER_DIGITS} as earlier ids have"


def are_cut(ids: Iterable[str]) -> bool:
    """Whether the earlier ids among these look as if a spreadsheet had kept 15 digits of each.

    Such an id ends in 0 and may be another line's. Of three or more sound ids hardly ever all end
    in 0.
    """
    earlier = {text for text in ids if len(text) == EARLIER_DIGITS}
    return len(earlier) >= CUT_IDS_MIN and all(text.endswith("0") for text in earlier)
