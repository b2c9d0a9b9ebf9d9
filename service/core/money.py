"""Money in integer minor units of an ISO 4217 currency (contracts.md, 1)."""

import re
from datetime import date
from functools import cache

from iso4217 import Currency

MAX_DECIMALS = 3
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,3})?", re.ASCII)
_SUM = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,3})?", re.ASCII)


class InvalidAmount(ValueError):
    """The text is no amount of the currency. The message names the rule, never the value."""


class InvalidCurrency(ValueError):
    """Not an ISO 4217 alphabetic code with 0 to 3 decimals."""


# The decimals of every currency that a release has taken. The standard drops a code when its money
# goes (BGN, HRK); what the ledger holds in it keeps its meaning all the same.
_LISTED = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN"
    " BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD"
    " FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW"
    " KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR"
    " MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG"
    " SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD"
    " USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
}
# Decimals, and the last month in which the money was in use: that of the standard's list of
# historic codes, or the last one in which the old and the new money were legal tender together.
_WITHDRAWN = {
    "ANG": (2, (2025, 6)),
    "BGN": (2, (2026, 1)),
    "BYR": (0, (2017, 1)),
    "CUC": (2, (2021, 6)),
    "EEK": (2, (2011, 1)),
    "HRK": (2, (2023, 1)),
    "LTL": (2, (2015, 1)),
    "LVL": (2, (2014, 1)),
    "MRO": (2, (2018, 6)),
    "SKK": (2, (2009, 1)),
    "SLL": (2, (2023, 12)),
    "STD": (2, (2018, 6)),
    "TMM": (2, (2009, 1)),
    "VEB": (2, (2008, 1)),
    "VEF": (2, (2018, 8)),
    "ZMK": (2, (2012, 12)),
    "ZWL": (2, (2024, 8)),
}
_DECIMALS = {code: digits for digits, codes in _LISTED.items() for code in codes.split()} | {
    code: digits for code, (digits, _) in _WITHDRAWN.items()
}


@cache
def _current() -> dict[str, int]:
    """The standard's list as it is now, as far as its currencies have 0 to 3 decimals."""
    known = ((currency.code, currency.exponent) for currency in Currency)
    return {code: digits for code, digits in known if digits is not None and digits <= MAX_DECIMALS}


def is_in_use(currency: str, day: date) -> bool:
    """Whether a fine that was created on `day` may be in the currency.

    A code that the standard has dropped counts up to the last month of its money; one of which no
    such month is known here, not at all.
    """
    if currency in _WITHDRAWN:
        _, last_month = _WITHDRAWN[currency]
        return (day.year, day.month) <= last_month
    return currency in _current()


def decimals(currency: str) -> int:
    """The currency's decimals, 0 to 3, also of one that was withdrawn. Raises InvalidCurrency."""
    digits = _DECIMALS.get(currency)
    if digits is None:
        digits = _current().get(currency)
    if digits is None:
        raise InvalidCurrency(rule_broken_by(currency))
    return digits


def rule_broken_by(currency: str) -> str:
    """For a code that is not taken: which rule it breaks, the nearest one first."""
    code = currency.strip()
    if code.upper() != code and code.upper() in _DECIMALS:
        return "must be in upper case"
    if code != currency and code in _DECIMALS:
        return "must not have blanks around it"
    return "must be an ISO 4217 code with 0 to 3 decimals"


def whole_units(count: int, currency: str) -> int:
    """So many whole units of the currency in minor units: 100 USD is 10000. Raises
    InvalidCurrency.
    """
    minor: int = count * 10 ** decimals(currency)
    return minor


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
