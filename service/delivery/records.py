"""A batch comes as two records, its document and its manifest; both name it in their headers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from .state import Place

_NAME: Final = re.compile(
    r"(?P<key>[1-9][0-9]{0,9}/[A-Za-z0-9_]+)/(?P<number>[1-9][0-9]{0,17})(?P<manifest>/manifest)?",
    re.ASCII,
)
_FILE: Final = re.compile(r"[A-Za-z0-9_]+-[1-9][0-9]{14}-[0-9]{1,16}\.xml", re.ASCII)


class Kind(StrEnum):
    """The two topics, as they are called after the prefix."""

    BATCH = "export-batch.v1"
    MANIFEST = "export-manifest.v1"


class NoBatch(ValueError):
    """A record that is none of ours, or does not say what it must. Names field and rule."""


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two records of batch `batch_number` of `key`, `institution/profile`."""

    key: str
    batch_number: int
    kind: Kind
    place: Place
    value: bytes


def half_of(
    kind: Kind, place: Place, headers: Iterable[tuple[str, bytes]], value: bytes | None
) -> Half:
    """Raises NoBatch."""
    names = [text for name, text in headers if name == "ce_id"]
    found = _NAME.fullmatch(names[0].decode("ascii", "replace")) if names else None
    if found is None or (found["manifest"] is not None) != (kind is Kind.MANIFEST):
        raise NoBatch("ce_id: must be institution/profile/batch_number")
    if value is None:
        raise NoBatch("value: must not be null")
    return Half(found["key"], int(found["number"]), kind, place, value)


def manifest_of(half: Half) -> Mapping[str, object]:
    """The manifest's members, if it is that of its batch. Raises NoBatch."""
    try:
        told = orjson.loads(half.value)
    except orjson.JSONDecodeError:
        raise NoBatch("manifest: must be JSON") from None
    if not isinstance(told, dict):
        raise NoBatch("manifest: must be an object")
    named = (f"{told.get('institution_id')}/{told.get('profile')}", told.get("batch_number"))
    if named != (half.key, half.batch_number):
        raise NoBatch("manifest: must be that of its ce_id")
    name = told.get("file_name")
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        raise NoBatch("file_name: must be profile-export_number-milliseconds.xml")
    profile, export_number, _ = name.split("-")
    if profile != told.get("profile"):
        raise NoBatch("file_name: must begin with the profile's code")
    if export_number != told.get("export_number"):
        raise NoBatch("file_name: must have the manifest's export number")
    return told
