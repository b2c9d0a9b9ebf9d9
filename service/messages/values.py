"""The rules for the values of members of incoming records (contracts.md, 1).

The models check types, lengths and patterns; a record that breaks these is rejected as
`invalid_schema`. Members that a model does not define are ignored, and an optional member that is
null counts as absent. The functions check what types cannot express, in the order of precedence of
rules.md, 3: which members require each other, then amounts and currencies, then texts. The
functions raise Fault, whose detail names the member and the rule, never the value.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
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
    """A record breaks a rule and is to be rejected. `reason` is the code of the rejection, and
    `detail` is "member: rule".
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def instant(text: object) -> datetime | None:
    """Returns the time of an RFC 3339 text as an aware datetime in UTC, without digits beyond
    microseconds; None for any other text.

    A leap second (second 60) is not accepted, because neither PostgreSQL nor Python can represent
    it.
    """
    if not isinstance(text, str) or len(text) > _INSTANT_CHARACTERS_MAX:
        return None
    return _instant_of(text)


@lru_cache(maxsize=4_096)  # items are due at the end of a day, and a term is paid on few days
def _instant_of(text: str) -> datetime | None:
    # Some versions of fromisoformat accept the hour 24; the format does not.
    if _INSTANT.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def time_of_record(timestamp_ms: int | None) -> datetime:
    """Returns a record's Kafka timestamp, in milliseconds since 1970, as an aware datetime in UTC.

    A record without a timestamp gets the earliest possible time, so that every other record counts
    as newer. Producers may set any timestamp; one that is later than a datetime can be becomes the
    latest possible datetime, and counts as a time in the future.
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
    """Returns a bursar transaction id without leading zeros, which do not matter.

    An id of zeros alone becomes "0", which is the id of no exported fine.
    """
    return digits.lstrip("0") or "0"


def may_be_a_line(digits: str) -> bool:
    """Whether the digits may be a printed bursar transaction id: at most 64 bits, without a leading
    zero.

    Releases up to 0.3.0 accept no other digits as a bursar transaction id.
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
    """The base class of the models of incoming JSON: unknown members are ignored."""

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
    """Returns the rule that an amount in minor units breaks if it is not positive, else None."""
    return None if minor > 0 else "must be above zero"


def below_zero(minor: int) -> str | None:
    """Returns the rule that the amount of a credit, in minor units, breaks if it is not negative,
    else None.
    """
    return None if minor < 0 else "must be below zero for a credit"


def money(value: object, currency: str, rule: Rule) -> int:
    """Returns the amount of a record in minor units, from its members `amount` and `currency`.
    Raises Fault.

    `rule` is a check of the amount, for example that it is above zero.

    If amount and currency are both faulty, the fault of the amount is raised (rules.md, 3: order of
    precedence).
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
    """Raises Fault (invalid_currency) for a currency that no release has ever accepted."""
    if not _is_known(currency):
        raise unknown_currency(currency)


def unknown_currency(currency: str) -> Fault:
    """Returns the fault of a record whose currency is not accepted."""
    return Fault(Reason.INVALID_CURRENCY, f"currency: {rule_broken_by(currency)}")


def _is_known(currency: str) -> bool:
    try:
        decimals(currency)
    except InvalidCurrency:
        return False
    return True


def total(field: str, value: object) -> str:
    """Checks that a text is a sum of up to 15 digits and 3 decimals, and returns it.

    The sum stays a text, because its number of decimals depends on the batch's currency, which is
    not known here. Raises Fault: invalid_amount.
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
    """Checks that a member is present if `is_required`, and otherwise absent; `kinds` names the
    kinds of records that require it. Raises Fault.
    """
    if is_required and value is None:
        raise_schema(field, f"is required for {kinds}")
    if not is_required and value is not None:
        raise_schema(field, f"is only for {kinds}")


def raise_schema(field: str, rule: str) -> NoReturn:
    """Raises the Fault of a member that breaks a rule of the schema."""
    raise Fault(Reason.INVALID_SCHEMA, f"{field}: {rule}")
