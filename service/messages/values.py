"""The rules for the values of incoming records (contracts.md, 1).

Models check types, lengths and patterns; what they do not accept is `invalid_schema`. Members that
a model does not define are ignored, and null for an optional member is the same as an absent one.
The functions check what a type cannot say: what members require of each other, then amounts and
currencies, then texts, in the order of precedence of rules.md, 3. They raise Fault, whose detail
names the member and the rule, never the value.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, NoReturn
from unicodedata import category, normalize

import orjson
from jiter import LosslessFloat
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from ..core.ledger import SourceKey
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

_INSTANT = re.compile(
    r"(?!0000)([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,6})[0-9]*)?([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_INSTANT_CHARACTERS_MAX = 64
_LINE_MAX = 2**64 - 1
_COUNT_MAX = 2**63 - 1
INSTANT_RULE = "must be an RFC 3339 date and time with offset"

_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Cn"})
_BIDI_CONTROLS = frozenset(
    map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
_BLANKS = str.maketrans("\t\n\r", "   ")

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
    if (match := _INSTANT.fullmatch(text)) is None:
        return None
    day, clock, fraction, offset = match.groups("0")
    try:
        # Some versions of fromisoformat accept the hour 24; the format does not.
        time = datetime.fromisoformat(f"{day}T{clock}.{fraction:0<6}{offset.upper()}")
        return None if clock.startswith("24") else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _raise_rule(rule: str) -> NoReturn:
    """Raises an error that pydantic reports with the path of the member and this text."""
    raise PydanticCustomError("rule", "{rule}", {"rule": rule})


def _instant(value: object) -> datetime:
    time = instant(value)
    return _raise_rule(INSTANT_RULE) if time is None else time


def _present(value: object) -> object:
    return _raise_rule("is required") if value is None else value


def _line_id(value: str) -> str:
    is_in_range = int(value) <= _LINE_MAX
    return value if is_in_range else _raise_rule("must be an unsigned 64-bit number")


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


# Lengths count characters as they were sent.
Institution = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,9}$")]
Id = Annotated[str, Field(min_length=1, max_length=ID_CHARACTERS_MAX)]
LibraryId = Annotated[str, Field(pattern=r"^[0-9]{1,100}$")]
LineId = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,19}$"), AfterValidator(_line_id)]
Profile = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,100}$")]
BatchNumber = Annotated[int, _whole_from(1)]
Count = Annotated[int, _whole_from(0)]
Instant = Annotated[datetime, PlainValidator(_instant)]
Money = Annotated[object, PlainValidator(_present)]  # any value: a wrong one is invalid_amount
ShortText = Annotated[str, Field(max_length=300)]
Comment = Annotated[str, Field(max_length=2000)]
ReasonText = Annotated[str, Field(min_length=1, max_length=500)]
StatusCode = Annotated[str, Field(min_length=1, max_length=40)]


def text(field: str, value: str) -> str:
    """Returns a text in NFC, with tabs and line breaks as blanks. Raises Fault: invalid_text."""
    if value.isprintable():  # control, surrogate, unassigned and bidi characters are not
        return value if value.isascii() else normalize("NFC", value)
    return _checked(field, value.translate(_BLANKS))


def text_or_none(field: str, value: str | None) -> str | None:
    """The text of an optional member as `text` returns it, or None."""
    return None if value is None else text(field, value)


def identifier(field: str, value: str) -> str:
    """Returns an id in NFC; tabs and line breaks are not allowed. Raises Fault: invalid_text.

    NFC may make a text longer. The length is checked again, because the id goes out in events.
    """
    if value.isprintable() and value.isascii():
        return value
    normal = _checked(field, value)
    if len(normal) > ID_CHARACTERS_MAX:
        raise Fault(Reason.INVALID_TEXT, f"{field}: must have at most 100 characters in NFC")
    return normal


def identifier_or_none(field: str, value: str | None) -> str | None:
    """The id in an optional member as `identifier` returns it, or None."""
    return None if value is None else identifier(field, value)


def _checked(field: str, value: str) -> str:
    for character in value:
        if character in _BIDI_CONTROLS or category(character) in _FORBIDDEN_CATEGORIES:
            raise Fault(
                Reason.INVALID_TEXT,
                f"{field}: must not have control, bidi or unassigned characters",
            )
    return normalize("NFC", value)


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


def source_key_of(institution_id: str, source: str, member: str, record_id: str) -> SourceKey:
    """Returns the identity of a record; `member` names the member with its id. Raises Fault."""
    return SourceKey(institution_id, identifier("source", source), identifier(member, record_id))


def expect(field: str, value: object, is_required: bool, kinds: str) -> None:
    """Checks a member that is required for `kinds` and forbidden for others. Raises Fault."""
    if is_required and value is None:
        raise_schema(field, f"is required for {kinds}")
    if not is_required and value is not None:
        raise_schema(field, f"is only for {kinds}")


def raise_schema(field: str, rule: str) -> NoReturn:
    """Raises the Fault of a member that breaks a rule of the schema."""
    raise Fault(Reason.INVALID_SCHEMA, f"{field}: {rule}")


def digest_of(*parts: object) -> bytes:
    """The digest of an event: 32 bytes over its parts as one JSON array.

    The parts are all members of the contract after normalisation, without the envelope, so that the
    same content has the same digest. Digests are stored. A member that a contract gets later may be
    added only where it is present, because records that repeat from before would otherwise become
    conflicts.
    """
    return blake2b(orjson.dumps(parts), digest_size=32).digest()
