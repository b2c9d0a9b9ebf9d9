"""Money in integer minor units of an ISO 4217 currency (contracts.md, value rules)."""

import re
from functools import cache

from iso4217 import Currency

MAX_DECIMALS = 3
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,3})?", re.ASCII)
_SUM = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,3})?", re.ASCII)


class InvalidAmount(ValueError):
    """The text is no amount of the currency. The message names the rule, never the value."""


class InvalidCurrency(ValueError):
    """Not an ISO 4217 alphabetic code with 0 to 3 decimals."""


@cache
def _minor_digits() -> dict[str, int]:
    known = ((currency.code, currency.exponent) for currency in Currency)
    return {code: digits for code, digits in known if digits is not None and digits <= MAX_DECIMALS}


def decimals(currency: str) -> int:
    """The currency's decimals, 0 to 3. Raises InvalidCurrency."""
    found = _minor_digits().get(currency)
    if found is None:
        raise InvalidCurrency("must be an ISO 4217 code with 0 to 3 decimals")
    return found


def parse_minor(text: object, currency: str) -> int:
    """Minor units of a wire amount. Raises InvalidAmount or InvalidCurrency."""
    return _parse(text, currency, _AMOUNT)


def parse_sum(text: object, currency: str) -> int:
    """Minor units of a sum: 15 digits before the point. Raises InvalidAmount or InvalidCurrency."""
    return _parse(text, currency, _SUM)


def _parse(text: object, currency: str, form: re.Pattern[str]) -> int:
    digits = decimals(currency)
    if not isinstance(text, str):
        raise InvalidAmount("must be a string")
    if not form.fullmatch(text):
        raise InvalidAmount("must be plain digits with an optional fraction")
    whole, _, fraction = text.partition(".")
    if len(fraction) > digits:
        raise InvalidAmount("has more decimals than the currency")
    minor = int(whole + fraction.ljust(digits, "0"))
    if minor == 0 and text.startswith("-"):
        raise InvalidAmount("must not be minus zero")
    return minor


def format_minor(minor: int, currency: str) -> str:
    """Exactly the currency's decimals: 9500 USD is 95.00, 300 JPY is 300."""
    digits = decimals(currency)
    if digits == 0:
        return str(minor)
    sign = "-" if minor < 0 else ""
    text = str(abs(minor)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}"
