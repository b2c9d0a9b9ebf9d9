"""Wire models of what comes in: shape, types, lengths. What they refuse is invalid_schema.

Unknown members are ignored, null for an optional member is the same as absent. Lengths count
characters as sent. Money is any value here: a wrong one has a reason of its own (incoming.py).
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, NoReturn

from jiter import LosslessFloat
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, StrictBool
from pydantic_core import PydanticCustomError

from ..core.words import ChangeKind, PaymentKind, ResponseOutcome
from .values import INSTANT_RULE, instant

_LINE_MAX = 2**64 - 1
_COUNT_MAX = 2**63 - 1


def _refuse(rule: str) -> NoReturn:
    """A refusal in our own words; pydantic adds the member's path."""
    raise PydanticCustomError("rule", "{rule}", {"rule": rule})


def _instant(value: object) -> datetime:
    read = instant(value)
    return _refuse(INSTANT_RULE) if read is None else read


def _money(value: object) -> object:
    return _refuse("is required") if value is None else value


def _line(value: str) -> str:
    return value if int(value) <= _LINE_MAX else _refuse("must be an unsigned 64-bit number")


def _whole(value: object, least: int) -> int:
    """A JSON integer; 1.0 is one (draft-07), true is none."""
    exact: int | Decimal = least - 1
    if type(value) is int:
        exact = value
    elif isinstance(value, LosslessFloat):
        exact = _decimal(value, otherwise=least - 1)
    if not least <= exact <= _COUNT_MAX or exact != int(exact):
        _refuse(f"must be a whole number from {least} to {_COUNT_MAX}")
    return int(exact)


def _decimal(value: LosslessFloat, otherwise: int) -> int | Decimal:
    try:
        return Decimal(str(value))
    except ArithmeticError:  # an exponent beyond what a Decimal can hold
        return otherwise


def _from_one(value: object) -> int:
    return _whole(value, 1)


def _from_zero(value: object) -> int:
    return _whole(value, 0)


Institution = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,9}$")]
Id = Annotated[str, Field(min_length=1, max_length=100)]
LibraryId = Annotated[str, Field(pattern=r"^[0-9]{1,100}$")]
Line = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,19}$"), AfterValidator(_line)]
Profile = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,100}$")]
Instant = Annotated[datetime, PlainValidator(_instant)]
Money = Annotated[object, PlainValidator(_money)]
Text = Annotated[str, Field(max_length=300)]
Comment = Annotated[str, Field(max_length=2000)]
Why = Annotated[str, Field(min_length=1, max_length=500)]
StatusCode = Annotated[str, Field(min_length=1, max_length=40)]


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class WireIdentifier(Wire):
    type: Annotated[str, Field(min_length=1, max_length=40)]
    value: Annotated[str, Field(max_length=200)]


class WirePatron(Wire):
    patron_id: Id
    name: Text
    user_group: Annotated[str, Field(max_length=100)]
    identifiers: Annotated[tuple[WireIdentifier, ...], Field(max_length=50)]


class WireOwner(Wire):
    library_id: LibraryId
    library_code: Id
    library_name: Text


class WireItem(Wire):
    title: Annotated[str, Field(max_length=1000)]
    call_number: Text | None = None
    library: Text | None = None
    location: Text | None = None
    internal_location: Text | None = None
    due_date: Instant | None = None
    barcode: Text | None = None


class WireFineCreated(Wire):
    institution_id: Institution
    fine_id: Id
    patron: WirePatron
    type: Id
    amount: Money
    currency: str
    owner: WireOwner | None = None
    created_at: Instant
    comment: Comment | None = None
    loan_id: Id | None = None
    item: WireItem | None = None
    credit_of: Id | None = None
    exportable: StrictBool | None = None


class WireFineChanged(Wire):
    institution_id: Institution
    source: Id
    change_id: Id
    fine_id: Id
    kind: ChangeKind
    amount: object = None
    currency: str | None = None
    changed_at: Instant
    reason: Why | None = None
    comment: Comment | None = None


class WireBursarPayment(Wire):
    institution_id: Institution
    source: Id
    payment_id: Id
    kind: PaymentKind
    bursar_transaction_id: Line | None = None
    fine_id: Id | None = None
    amount: object = None
    currency: str | None = None
    paid_at: Instant
    reverses_payment_id: Id | None = None
    status_code: StatusCode | None = None
    comment: Comment | None = None


class WireRefusedLine(Wire):
    bursar_transaction_id: Line
    reason: Why


class WireControl(Wire):
    count: Annotated[int, PlainValidator(_from_zero)]
    total: Money


class WireExportResponse(Wire):
    institution_id: Institution
    source: Id
    response_id: Id
    profile: Profile
    batch_number: Annotated[int, PlainValidator(_from_one)]
    outcome: ResponseOutcome
    reason: Why | None = None
    refused_lines: (
        Annotated[tuple[WireRefusedLine, ...], Field(min_length=1, max_length=100_000)] | None
    ) = None
    control: WireControl | None = None
    responded_at: Instant
