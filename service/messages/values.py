"""The rules for the values of incoming records (contracts.md, 1).

Models check types, lengths and patterns; what they do not accept is `invalid_schema`. Members that
a model does not define are ignored, and null for an optional member is the same as an absent one.
The functions check what a type cannot say: what members require of each other, then amounts and
currencies, then texts, in the order of precedence of rules.md, 3. They raise Fault, whose detail
names the member and the rule, never the value.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, NoReturn

from jiter import LosslessFloat
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from ..core.money import (
    InvalidAmount,
    InvalidCurrency,
    decimals,
    parse_minor,
    parse_sum,
    rule_broken_by,
)
from ..core.words import Reason

ID_CHARACTERS_MAX = 100
TRIMMED_ID_CHARACTERS_MAX = 200
NAME_CHARACTERS_MAX = 300
TITLE_CHARACTERS_MAX = 1_000
COMMENT_CHARACTERS_MAX = 2_000
REASON_CHARACTERS_MAX = 500

_INSTANT = re.compile(
    r"(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?!24)[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_INSTANT_CHARACTERS_MAX = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LINE_MAX = 2**64 - 1
_COUNT_MAX = 2**63 - 1
INSTANT_RULE = "must be an RFC 3339 date and time with offset"

# A currency with the most decimals: amounts are checked even if the currency is not known.
_WIDEST = "KWD"


class Fault(Exception):
    """A record breaks a rule. `reason` says which sort of rule, `detail` is "member: rule"."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def instant(text: object) -> datetime | None:
    """The aware UTC time of an RFC 3339 text, cut off after microseconds; None for other texts.

    Leap seconds are not accepted: neither PostgreSQL nor Python has a second 60.
    """
    if not isinstance(text, str) or len(text) > _INSTANT_CHARACTERS_MAX:
        return None
    # Some versions of fromisoformat accept the hour 24; the format does not.
    if _INSTANT.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def time_of_record(timestamp_ms: int | None) -> datetime:
    """The aware UTC time of a record's timestamp in Kafka, in milliseconds since 1970.

    A record without a timestamp is older than any other. Producers may set it to what they like: an
    instant beyond all calendars is the last one that there is, and lies in the future like others.
    """
    if timestamp_ms is None or timestamp_ms < 0:
        return datetime.min.replace(tzinfo=UTC)
    try:
        return _EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _raise_rule(rule: str) -> NoReturn:
    """Raises an error that pydantic reports with the path of the member and this text."""
    raise PydanticCustomError("rule", "{rule}", {"rule": rule})


def _instant(value: object) -> datetime:
    time = instant(value)
    return _raise_rule(INSTANT_RULE) if time is None else time


def _present(value: object) -> object:
    return _raise_rule("is required") if value is None else value


def bursar_id(digits: str) -> str:
    """Returns a bursar transaction id without leading zeros, which do not count.

    No line has the id "0", which is what is left of zeros alone.
    """
    return digits.lstrip("0") or "0"


def may_be_a_line(digits: str) -> bool:
    """Whether the digits may be a line's number as it was printed: up to 64 bits, no leading zero.

    Releases up to 0.3.0 read nothing else as a bursar transaction id.
    """
    return digits[:1] != "0" and int(digits) <= _LINE_MAX


def _whole_from(least: int) -> PlainValidator:
    """Accepts a JSON integer from `least` on; 1.0 is one by draft-07, true is not."""

    def whole(value: object) -> int:
        exact: int | Decimal = least - 1
        if type(value) is int:
            exact = value
        elif isinstance(value, LosslessFloat):
            exact = _decimal(value, otherwise=least - 1)
        if not least <= exact <= _COUNT_MAX or exact != int(exact):
            _raise_rule(f"must be a whole number from {least} to {_COUNT_MAX}")
        return int(exact)

    return PlainValidator(whole)


def _decimal(value: LosslessFloat, otherwise: int) -> int | Decimal:
    try:
        return Decimal(str(value))
    except ArithmeticError:  # an exponent beyond what a Decimal can hold
        return otherwise


class Wire(BaseModel):
    """What all models of incoming JSON have in common."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


# Lengths count characters as they were sent; those of a TrimmedId without what was cut off. Free
# texts have no length here: they are cut to so many characters when they are read (texts.py).
Institution = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,9}$")]
Id = Annotated[str, Field(min_length=1, max_length=ID_CHARACTERS_MAX)]
LibraryId = Annotated[str, Field(pattern=r"^[0-9]{1,100}$")]
# The parser cuts off the characters with the property White_Space.
TrimmedId = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=TRIMMED_ID_CHARACTERS_MAX)
]
LineId = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
Profile = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,100}$")]
BatchNumber = Annotated[int, _whole_from(1)]
Count = Annotated[int, _whole_from(0)]
Instant = Annotated[datetime, PlainValidator(_instant)]
Money = Annotated[object, PlainValidator(_present)]  # any value: a wrong one is invalid_amount
StatusCode = Annotated[str, Field(min_length=1, max_length=40)]
ReasonText = Annotated[str, Field(min_length=1)]


Rule = Callable[[int], str | None]


def above_zero(minor: int) -> str | None:
    """The rule that an amount in minor units breaks, if any: it must be positive."""
    return None if minor > 0 else "must be above zero"


def below_zero(minor: int) -> str | None:
    """The rule that an amount in minor units breaks, if any: a credit must be negative."""
    return None if minor < 0 else "must be below zero for a credit"


def money(value: object, currency: str, rule: Rule) -> int:
    """Returns the members `amount` and `currency` of a record as minor units. Raises Fault.

    `rule` checks the amount, for example that it is above zero.

    If both are faulty, the amount is reported (rules.md, 3: order of precedence).
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


def check_currency(currency: str) -> None:
    """Raises Fault (invalid_currency) for a currency that no release has accepted."""
    if not _is_known(currency):
        raise unknown_currency(currency)


def unknown_currency(currency: str) -> Fault:
    """The fault of a currency that is not accepted."""
    return Fault(Reason.INVALID_CURRENCY, f"currency: {rule_broken_by(currency)}")


def _is_known(currency: str) -> bool:
    try:
        decimals(currency)
    except InvalidCurrency:
        return False
    return True


def total(field: str, value: object) -> str:
    """Checks the text of a sum with up to 15 digits and 3 decimals, and returns it.

    It stays a text, because only the batch, which is not known here, says its currency. Raises
    Fault: invalid_amount.
    """
    if not isinstance(value, str):
        raise Fault(Reason.INVALID_AMOUNT, f"{field}: must be a string")
    try:
        parse_sum(value, _WIDEST)
    except InvalidAmount:
        rule = "must be plain digits, up to 15 and 3"
        raise Fault(Reason.INVALID_AMOUNT, f"{field}: {rule}") from None
    return value


def expect(field: str, value: object, is_required: bool, kinds: str) -> None:
    """Checks a member that is required for `kinds` and forbidden for others. Raises Fault."""
    if is_required and value is None:
        raise_schema(field, f"is required for {kinds}")
    if not is_required and value is not None:
        raise_schema(field, f"is only for {kinds}")


def raise_schema(field: str, rule: str) -> NoReturn:
    """Raises the Fault of a member that breaks a rule of the schema."""
    raise Fault(Reason.INVALID_SCHEMA, f"{field}: {rule}")
