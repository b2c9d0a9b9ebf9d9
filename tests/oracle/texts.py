"""Free texts, identifiers and ids of lines as contracts.md, 1, has them, character by character."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast
from unicodedata import category, normalize

NAME, TITLE, COMMENT, REASON = 300, 1_000, 2_000, 500
CAPS: Mapping[str, int] = {
    "title": TITLE,
    **dict.fromkeys(("call_number", "library", "location", "internal_location", "barcode"), NAME),
    "library_name": NAME,
    "comment": COMMENT,
    "reason": REASON,
}
MAY_BE_EMPTY = ("title", "library_name")
DROPPED = {0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
DROPPED |= {0x88, 0x89, 0x98, 0x9C}


def cleaned(text: str, characters_max: int) -> str:
    """The text as the service has to keep it."""
    kept = normalize("NFC", "".join(each for each in text if ord(each) not in DROPPED))
    out: list[str] = []
    for each in kept:
        if not _is_blank(each):
            out.append(each)
        elif out[-1:] != [" "]:
            out.append(" ")
    return "".join(out[:characters_max]).strip(" ")


def content(data: object) -> object:
    """The members of a record, at any depth, as two records are compared."""
    if isinstance(data, list):
        return [content(each) for each in data]
    if not isinstance(data, Mapping):
        return data
    members = {name: _member(name, each) for name, each in data.items()}
    return {name: each for name, each in members.items() if each is not None}


def line_id(digits: str | None) -> str | None:
    """The id of a line without leading zeros; that of no line if it consists of zeros."""
    return None if digits is None else str(int(digits))


def _member(name: str, member: object) -> object:
    if name == "bursar_transaction_id":
        return line_id(cast("str | None", member))  # by the schema
    if name not in CAPS or not isinstance(member, str):
        return content(member)
    text = cleaned(member, CAPS[name])
    return text if text or name in MAY_BE_EMPTY else None


def _is_blank(character: str) -> bool:
    point = ord(character)
    is_noncharacter = 0xFDD0 <= point <= 0xFDEF or point & 0xFFFE == 0xFFFE
    return character.isspace() or category(character) in ("Cc", "Cs") or is_noncharacter
