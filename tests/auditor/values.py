"""The values of input records as contracts.md, 1, has them, and what of them is content."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast
from unicodedata import normalize

from iso4217 import Currency

from tests.auditor.evidence import Data
from tests.oracle.texts import COMMENT, NAME, REASON, TITLE, cleaned, line_id

ID_CHARACTERS_MAX, TRIMMED_CHARACTERS_MAX = 100, 200
INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
INSTANT_CHARACTERS_MAX = 64
# Withdrawn from the standard's list: whether a fine may have them depends on its day.
WITHDRAWN = {
    **dict.fromkeys("ANG BGN CUC EEK HRK LTL LVL MRO SKK SLL STD TMM VEB VEF ZMK ZWL".split(), 2),
    "BYR": 0,
}
AMOUNT = re.compile(r"-?(?:0|[1-9][0-9]{0,9})(?:\.([0-9]{1,3}))?")


class Unsound(ValueError):
    """A record breaks a rule of the documents."""


def instant(value: object) -> str:
    """A time as aware UTC, cut off after microseconds; raises Unsound."""
    match = INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None or not isinstance(value, str) or len(value) > INSTANT_CHARACTERS_MAX:
        raise Unsound
    day, clock, fraction, offset = match.groups("")
    if clock.startswith("24"):
        raise Unsound
    try:
        text = f"{day}T{clock}.{fraction[:6]:0<6}{offset.upper()}"
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise Unsound from None


def decimals(currency: str) -> tuple[int, bool]:
    """The decimals of a currency, and whether every record may have it; raises Unsound."""
    if currency in WITHDRAWN:
        return WITHDRAWN[currency], False
    try:
        digits = Currency(currency).exponent
    except ValueError:
        raise Unsound from None
    if digits is None or digits > 3:
        raise Unsound
    return digits, True


def minor(amount: str, currency: str) -> int:
    """An amount of a sound record in minor units; raises Unsound."""
    match = AMOUNT.fullmatch(amount)
    digits, _ = decimals(currency)
    if match is None or len(match[1] or "") > digits:
        raise Unsound
    return int(Decimal(amount).scaleb(digits))


def identifier(value: str, characters_max: int = ID_CHARACTERS_MAX) -> str:
    """An id; raises Unsound for characters that the schemas cannot name."""
    text = normalize("NFC", value)
    if len(text) > characters_max or any(map(_is_no_character, text)):
        raise Unsound
    return text


def _is_no_character(character: str) -> bool:
    point = ord(character)
    is_surrogate = 0xD800 <= point <= 0xDFFF
    return is_surrogate or 0xFDD0 <= point <= 0xFDEF or point & 0xFFFE == 0xFFFE


def _trimmed(value: str) -> str:
    """White space at the ends does not count; `str.strip` takes four separators more."""
    return identifier(value.strip().strip("\x85\xa0"), TRIMMED_CHARACTERS_MAX)


def _text(characters_max: int, *, may_be_empty: bool = False) -> Callable[[str], str | None]:
    def read(value: str) -> str | None:
        is_plain = value.isascii() and value.isprintable() and "  " not in value
        text = value[:characters_max].strip(" ") if is_plain else cleaned(value, characters_max)
        return text if text or may_be_empty else None

    return read


def _code(value: str) -> str:
    return identifier(re.sub(r"[\t\n\r]", " ", value))


def _same(value: object) -> object:
    return value


def _number(value: float) -> int:
    return int(value)


def _total(value: str) -> str:
    return str(Decimal(value).normalize())


def _refused_lines(lines: list[Data]) -> list[list[str]]:
    read = [
        [str(line_id(each["bursar_transaction_id"])), cleaned(each["reason"], REASON)]
        for each in lines
    ]
    if not all(reason for _, reason in read):
        raise Unsound
    return read


Texts = tuple[str | None, str | None]
Shape = Mapping[str, "Callable[[Any], Any] | Shape"]  # Any: a member of JSON

OWNER: Shape = {
    "library_id": _same,
    "library_code": identifier,
    "library_name": _text(NAME, may_be_empty=True),
}
ITEM: Shape = {
    "title": _text(TITLE, may_be_empty=True),
    **dict.fromkeys(("call_number", "library", "location"), _text(NAME)),
    **dict.fromkeys(("internal_location", "barcode"), _text(NAME)),
    "due_date": instant,
}
SHAPES: Mapping[str, Shape] = {
    "fine-created.v1": {
        **dict.fromkeys(("institution_id", "currency", "amount", "exportable"), _same),
        **dict.fromkeys(("fine_id", "type", "loan_id", "credit_of"), identifier),
        "patron": {"patron_id": identifier},
        "owner": OWNER,
        "created_at": instant,
        "comment": _text(COMMENT),
        "item": ITEM,
    },
    "fine-changed.v1": {
        **dict.fromkeys(("institution_id", "kind", "currency", "amount"), _same),
        **dict.fromkeys(("source", "change_id", "fine_id"), identifier),
        "changed_at": instant,
        "reason": _text(REASON),
        "comment": _text(COMMENT),
    },
    "bursar-payment.v1": {
        **dict.fromkeys(("institution_id", "kind", "currency", "amount", "import_file"), _same),
        **dict.fromkeys(("source", "payment_id", "fine_id", "patron_id"), identifier),
        "reverses_payment_id": identifier,
        "bursar_transaction_id": line_id,
        "paid_at": instant,
        "status_code": _code,
        "comment": _text(COMMENT),
    },
    "export-response.v1": {
        **dict.fromkeys(("institution_id", "profile", "outcome"), _same),
        **dict.fromkeys(("source", "response_id"), identifier),
        "batch_number": _number,
        "reason": _text(REASON),
        "refused_lines": _refused_lines,
        "control": {"count": _number, "total": _total},
        "responded_at": instant,
    },
}


def content_of(contract: str, body: Data) -> tuple[Data, bool]:
    """The content of a record that its schema accepts, and whether it is surely sound.

    Amounts are in minor units under `amount`, times in UTC, texts cleaned; members that do not
    count are left out. Raises Unsound.
    """
    data = _shaped(SHAPES[contract], body)
    is_certain = True
    # The schema has both as texts.
    currency, amount = cast(Texts, (data.get("currency"), data.get("amount")))
    if currency is not None:
        _, is_certain = decimals(currency)
        if amount is not None:
            data["amount"] = minor(amount, currency)
    if contract == "fine-created.v1":
        data["exportable"] = data.get("exportable") is not False
        for pair in body["patron"]["identifiers"]:
            _code(pair["type"])
            _trimmed(pair["value"])
        _trimmed(body["patron"]["user_group"])
    if data.get("outcome") == "refused" and data.get("reason") is None:
        raise Unsound
    return data, is_certain


def _shaped(shape: Shape, body: Data) -> dict[str, object]:
    data: dict[str, object] = {}
    for name, read in shape.items():
        value = body.get(name)
        if value is None:
            continue
        data[name] = read(value) if callable(read) else _shaped(read, value)
    return {name: value for name, value in data.items() if value is not None}
