"""Amounts of money as integers in minor units (such as cents) of an ISO 4217 currency
(contracts.md, 1).
"""

import re
from collections.abc import Callable
from datetime import date
from functools import cache, lru_cache

from iso4217 import Currency

MAX_DECIMALS = 3
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,3})?", re.ASCII)
_SUM = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,3})?", re.ASCII)


class InvalidAmount(ValueError):
    """Raised if a text is not a valid amount in the given currency. The message names the rule that
    the text breaks, and never quotes the text.
    """


class InvalidCurrency(ValueError):
    """Raised if a text is not the ISO 4217 code of a currency with 0 to 3 decimals."""


# The decimals of every currency that a release has accepted. The standard drops a code when its
# money is withdrawn (BGN, HRK), but amounts in the ledger must keep their meaning.
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
# The decimals, and the last month in which the money was in use: the month of the standard's list
# of historic codes, or the last one in which old and new money were both legal tender.
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
    """The decimals of the currencies of the standard as it is now, up to 3 decimals."""
    known = ((currency.code, currency.exponent) for currency in Currency)
    return {code: digits for code, digits in known if digits is not None and digits <= MAX_DECIMALS}


def is_in_use(currency: str, day: date) -> bool:
    """Whether a fine that was created on `day` may have an amount in this currency.

    A withdrawn currency is accepted for fines up to the last month in which its money was in use. A
    currency that ISO 4217 has dropped, and whose last month this module does not list, is not
    accepted.
    """
    if currency in _WITHDRAWN:
        _, last_month = _WITHDRAWN[currency]
        return (day.year, day.month) <= last_month
    return currency in _current()


def decimals(currency: str) -> int:
    """Returns the number of decimals of a currency, 0 to 3, even if it was withdrawn. Raises
    InvalidCurrency.
    """
    digits = _DECIMALS.get(currency)
    if digits is None:
        digits = _current().get(currency)
    if digits is None:
        raise InvalidCurrency(rule_broken_by(currency))
    return digits


def rule_broken_by(currency: str) -> str:
    """Returns the rule that an invalid currency code breaks, for example that it must be in upper
    case.
    """
    code = currency.strip()
    if code in _DECIMALS:
        return "must not have blanks around it"
    if code.upper() in _DECIMALS:
        return "must be in upper case"
    return "must be an ISO 4217 code with 0 to 3 decimals"


def whole_units(count: int, currency: str) -> int:
    """Returns `count` whole units of the currency in minor units: for 100 USD it returns 10000.

    Raises InvalidCurrency.
    """
    minor: int = count * 10 ** decimals(currency)
    return minor


def parse_minor(text: object, currency: str) -> int:
    """Converts the text of an amount to minor units: "95.00" in USD gives 9500. Raises
    InvalidAmount or InvalidCurrency.
    """
    return _parse_amount(text, currency) if type(text) is str else _parse(text, currency, _AMOUNT)


@lru_cache(maxsize=4_096)  # fines have few amounts; a text that is refused is not kept
def _parse_amount(text: str, currency: str) -> int:
    return _parse(text, currency, _AMOUNT)


def parse_sum(text: object, currency: str) -> int:
    """Converts the text of a total, which may have up to 15 digits before the point, to minor
    units.

    Raises InvalidAmount or InvalidCurrency.
    """
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
    """Returns minor units as text with all the currency's decimals: 9500 in USD is "95.00", 300 in
    JPY is "300".
    """
    return format_of(currency)(minor)


@cache
def format_of(currency: str) -> Callable[[int], str]:
    """Returns the function that formats minor units of this currency as text. Raises
    InvalidCurrency.

    The function is made once for each currency, to save time, because every published event has a
    dozen amounts.
    """
    digits = decimals(currency)
    if digits == 0:
        return str
    scale: int = 10**digits
    form = f"%d.%0{digits}d"
    zero = form % (0, 0)

    @lru_cache(maxsize=4_096)  # an event says most of its amounts several times
    def amount(minor: int) -> str:
        if minor < 0:
            return "-" + form % divmod(-minor, scale)
        return form % divmod(minor, scale) if minor else zero  # every other amount of an event

    return amount
