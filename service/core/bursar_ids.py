"""Bursar transaction ids, which number export lines: ten digits from a counter and a check digit
(contracts.md, 6).

An id of eleven digits survives in a spreadsheet, whose cells keep only 15 digits of a number. With
the check digit the service recognises an id that was mistyped or cut off, instead of taking it for
the id of another line.
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
    """Returns the bursar transaction id for a number of an institution's counter. The number must
    be from NUMBER_MIN to NUMBER_MAX. A higher number gives a higher id.
    """
    assert NUMBER_MIN <= number <= NUMBER_MAX
    digits = str(number)
    return digits + check_digit(digits)


def check_digit(digits: str) -> str:
    """Returns the check digit that ISO 7064 (MOD 11,10) gives for a text of ASCII digits."""
    product = 10
    for digit in digits:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return str((11 - product) % 10)


def fault_of_unknown_id(text: str) -> str | None:
    """Returns why an id of digits cannot be that of any export line, such as a wrong check digit;
    None if a line could have it.

    The function is called for ids that the ledger does not have. Leading zeros of the id are
    ignored.
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
    """Whether those of the ids that have 16 digits, as ids of releases up to 0.6.0 do, look as if a
    spreadsheet had kept only 15 digits of each.

    An id of which a spreadsheet kept only 15 digits ends in 0, and may be the id of another export
    line. Three or more ids count as cut if all of them end in 0, because that hardly ever happens
    by chance.
    """
    earlier = {text for text in ids if len(text) == EARLIER_DIGITS}
    return len(earlier) >= CUT_IDS_MIN and all(text.endswith("0") for text in earlier)
