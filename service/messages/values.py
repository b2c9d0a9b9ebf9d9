"""Value rules of the wire (contracts.md, 1): instants, texts, ids, money. Pure.

Each raises Fault; its detail names the field and the rule, never the value.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from unicodedata import category, normalize

from ..core.money import (
    InvalidAmount,
    InvalidCurrency,
    decimals,
    parse_minor,
    rule_broken_by,
)
from ..core.words import Reason

ID_CHARACTERS_MAX = 100

_INSTANT = re.compile(
    r"(?!0000)([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,6})[0-9]*)?([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_INSTANT_CHARACTERS_MAX = 64
INSTANT_RULE = "must be an RFC 3339 date and time with offset"

_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cn"})
_BIDI_CONTROLS = frozenset(
    map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
_BLANKS = str.maketrans("\t\n\r", "   ")

# A currency with the most decimals there are: an amount is judged even where the currency is wrong.
_WIDEST = "KWD"


class Fault(Exception):
    """The record breaks a rule. `detail` is "field: rule"."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def instant(text: object) -> datetime | None:
    """Aware UTC of RFC 3339, finer than microseconds cut off; None if it is not one.

    No leap seconds: neither the database nor the calendar here has a second 60.
    """
    if not isinstance(text, str) or len(text) > _INSTANT_CHARACTERS_MAX:
        return None
    if (match := _INSTANT.fullmatch(text)) is None:
        return None
    day, clock, fraction, offset = match.groups("0")
    try:
        # Hour 24 is sound to some versions of fromisoformat; the clock's own reading is not.
        read = datetime.fromisoformat(f"{day}T{clock}.{fraction:0<6}{offset.upper()}")
        return None if clock.startswith("24") else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def text(field: str, value: str) -> str:
    """NFC; a tab, line feed or carriage return becomes a blank. Raises Fault: invalid_text."""
    if value.isprintable():  # no control, surrogate, unassigned or bidi character is
        return value if value.isascii() else normalize("NFC", value)
    return _checked(field, value.translate(_BLANKS))


def text_or_none(field: str, value: str | None) -> str | None:
    return None if value is None else text(field, value)


def identifier(field: str, value: str) -> str:
    """NFC, no control characters at all. Raises Fault: invalid_text.

    NFC may lengthen: what goes out as an id must keep to the length of one.
    """
    if value.isprintable() and value.isascii():
        return value
    found = _checked(field, value)
    if len(found) > ID_CHARACTERS_MAX:
        raise Fault(Reason.INVALID_TEXT, f"{field}: must have at most 100 characters in NFC")
    return found


def identifier_or_none(field: str, value: str | None) -> str | None:
    return None if value is None else identifier(field, value)


def _checked(field: str, value: str) -> str:
    for character in value:
        if character in _BIDI_CONTROLS or category(character) in _REFUSED_CATEGORIES:
            raise Fault(
                Reason.INVALID_TEXT,
                f"{field}: must not have control, bidi or unassigned characters",
            )
    return normalize("NFC", value)


Rule = Callable[[int], str | None]


def above_zero(minor: int) -> str | None:
    return None if minor > 0 else "must be above zero"


def below_zero(minor: int) -> str | None:
    return None if minor < 0 else "must be below zero for a credit"


def money(value: object, currency: str, rule: Rule) -> int:
    """Minor units of the members `amount` and `currency`. Raises Fault.

    A faulty amount comes before a faulty currency (rules.md, 3: order of precedence).
    """
    known = _is_known(currency)
    try:
        minor = parse_minor(value, currency if known else _WIDEST)
    except InvalidAmount as wrong:
        raise Fault(Reason.INVALID_AMOUNT, f"amount: {wrong}") from None
    if (broken := rule(minor)) is not None:
        raise Fault(Reason.INVALID_AMOUNT, f"amount: {broken}")
    if not known:
        raise unknown_currency(currency)
    return minor


def known_currency(currency: str) -> str:
    """The code itself. Raises Fault: invalid_currency."""
    if not _is_known(currency):
        raise unknown_currency(currency)
    return currency


def unknown_currency(currency: str) -> Fault:
    return Fault(Reason.INVALID_CURRENCY, f"currency: {rule_broken_by(currency)}")


def _is_known(currency: str) -> bool:
    try:
        decimals(currency)
    except InvalidCurrency:
        return False
    return True


_TOTAL = re.compile(r"(?!-0(?:\.0+)?$)-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,3})?", re.ASCII)


def total(field: str, value: object) -> str:
    """A sum as wire text, up to 15 integer digits: its currency is the batch's. Raises Fault."""
    if not isinstance(value, str):
        raise Fault(Reason.INVALID_AMOUNT, f"{field}: must be a string")
    if not _TOTAL.fullmatch(value):
        raise Fault(Reason.INVALID_AMOUNT, f"{field}: must be plain digits, up to 15 and 3")
    return value
