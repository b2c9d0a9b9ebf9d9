"""Reads and checks the layout of the fixed-width format, a small TOML file of the operator.

A layout with an unknown option or a wrong value is refused as a whole.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...runtime.problems import OperatorError
from .table import BATCH_FIELDS, LINE_FIELDS

LENGTH_MAX: Final = 1_000
# A part of such a value would be another valid value. Therefore these fields are never cut,
# whatever the layout says, and no character of them is replaced.
WHOLE: Final = frozenset(
    (
        *("amount", "amount_absolute", "sign", "count", "total", "bursar_transaction_id"),
        *("fine_id", "match_value", "credit_of_bursar_transaction_id", "institution_id"),
        *("profile", "batch_number", "export_number", "currency", "file_name"),
    )
)
SIGNED_AMOUNTS: Final = frozenset({"amount", "total"})
_LINE_NAMES: Final = frozenset((*LINE_FIELDS, *BATCH_FIELDS, "amount_absolute", "sign"))
_FRAME_NAMES: Final = frozenset((*BATCH_FIELDS, "cutoff", "file_name", "count", "total"))


# What becomes of a text that does not fit.
TooLong = Literal["cut", "refuse"]
# Minor units of the currency without a point, or major units with its decimals.
Amounts = Literal["cents", "decimals"]
# The side on which the text stands; the other side is padded.
Align = Literal["left", "right"]
LineEnd = Literal["crlf", "lf"]
Encoding = Literal["utf-8", "latin-1", "cp1252", "ascii"]
# What becomes of a character that the encoding does not have: `replace` prints a question mark.
Unencodable = Literal["refuse", "replace"]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Place(_Table):
    """One field of a record: the value of the batch or fine that `field` names, or the constant
    `text`.

    `length` is the field's number of characters.
    """

    field: str | None = None
    text: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] | None = None
    length: Annotated[int, Field(ge=1, le=LENGTH_MAX)]
    align: Align = "left"
    pad: Annotated[str, Field(pattern=r"^[ -~]$")] = " "
    too_long: TooLong | None = None

    @model_validator(mode="after")
    def _has_field_or_text(self) -> Self:
        is_whole, is_left = self.field in WHOLE, self.align == "left"
        _raise_first(
            ((self.field is None) == (self.text is None), "must have either field or text"),
            (len(self.text or "") > self.length, "text: must not be longer than length"),
            (is_whole and self.too_long == "cut", "too_long: this field is never cut"),
            (
                is_whole and is_left and self.pad.isdigit(),
                "pad: a digit behind a number would change it",
            ),
            (
                is_whole and self.pad in "123456789-.",
                "pad: must not be a part of a number, except 0 in front",
            ),
        )
        return self


class Layout(_Table):
    """The layout of a file: an optional header record, one record for each fine, an optional
    trailer.
    """

    encoding: Encoding = "utf-8"
    unencodable: Unencodable = "refuse"
    line_end: LineEnd = "crlf"
    amounts: Amounts = "cents"
    too_long: TooLong = "refuse"
    suffix: Annotated[str, Field(pattern=r"^[a-z0-9]{1,10}$")] = "txt"
    header: list[Place] = []
    line: Annotated[list[Place], Field(min_length=1)]
    trailer: list[Place] = []

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        _require_known("line", self.line, _LINE_NAMES)
        _require_known("header", self.header, _FRAME_NAMES)
        _require_known("trailer", self.trailer, _FRAME_NAMES)
        names = {place.field for place in self.line}
        has_amount = "amount" in names or {"amount_absolute", "sign"} <= names
        has_id = bool({"bursar_transaction_id", "fine_id"} & names)
        _raise_first(
            (not has_amount, "line: must have amount, or amount_absolute and sign"),
            (not has_id, "line: must have bursar_transaction_id or fine_id"),
            (self.suffix in ("xml", "json"), "suffix: must not be xml or json"),
        )
        return self


def read_layout(path: Path) -> Layout:
    """Reads the layout from its file. Raises OperatorError, which names the file, the field and the
    rule.
    """
    try:
        return Layout.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise OperatorError(f"{path}: must be TOML in UTF-8") from None
    except RecursionError:
        raise OperatorError(f"{path}: is nested too deep") from None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        rule = fault["msg"].removeprefix("Value error, ")
        raise OperatorError(f"{path}: {place}{place and ': '}{rule}") from None


def _raise_first(*rules: tuple[bool, str]) -> None:
    """Raises ValueError with the first rule that is broken."""
    for is_broken, rule in rules:
        if is_broken:
            raise ValueError(rule)


def _require_known(record: str, places: list[Place], names: frozenset[str]) -> None:
    for n, place in enumerate(places):
        if place.field is not None and place.field not in names:
            raise ValueError(f"{record}.{n}.field: must be one of {', '.join(sorted(names))}")
    fields = [place.field for place in places if place.field is not None]
    if len(set(fields)) != len(fields):
        raise ValueError(f"{record}: no field may stand twice")
