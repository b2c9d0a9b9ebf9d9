"""The two records of a batch: its document and its manifest, each from a topic of its own.

The `ce_id` header of both names the batch, so a record can be assigned without reading its value.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from .state import Place

_CE_ID: Final = re.compile(
    r"(?P<key>[1-9][0-9]{0,9}/[A-Za-z0-9_]+)/(?P<number>[1-9][0-9]{0,17})(?P<manifest>/manifest)?",
    re.ASCII,
)
_FILE_NAME: Final = re.compile(
    r"(?P<profile>[A-Za-z0-9_]+)-(?P<export_number>[1-9][0-9]{14})-[0-9]{1,16}\.xml", re.ASCII
)


class RecordKind(StrEnum):
    """The two records of a batch, by the names of their topics without the prefix."""

    BATCH = "export-batch.v1"
    MANIFEST = "export-manifest.v1"


class InvalidBatchRecord(ValueError):
    """A record that is not a part of a batch. The text names field and rule, never a value."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One of the two records of a batch. `key` is `institution/profile`."""

    key: str
    batch_number: int
    kind: RecordKind
    place: Place
    value: bytes


def batch_record(
    kind: RecordKind, place: Place, headers: Iterable[tuple[str, bytes]], value: bytes | None
) -> BatchRecord:
    """The record of topic `kind` at `place`. Raises InvalidBatchRecord."""
    ce_ids = [text for name, text in headers if name == "ce_id"]
    name = _CE_ID.fullmatch(ce_ids[0].decode("ascii", "replace")) if ce_ids else None
    if name is None or (name["manifest"] is not None) != (kind is RecordKind.MANIFEST):
        raise InvalidBatchRecord("ce_id: must be institution/profile/batch_number")
    if value is None:
        raise InvalidBatchRecord("value: must not be null")
    return BatchRecord(name["key"], int(name["number"]), kind, place, value)


def manifest_of(record: BatchRecord) -> Mapping[str, object]:
    """The members of the manifest in `record`.

    Raises InvalidBatchRecord unless the manifest is that of the batch which the record's `ce_id`
    names, and its file name has the profile's code and the export number of this batch.
    """
    try:
        manifest = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        raise InvalidBatchRecord("manifest: must be JSON") from None
    if not isinstance(manifest, dict):
        raise InvalidBatchRecord("manifest: must be an object")
    key = f"{manifest.get('institution_id')}/{manifest.get('profile')}"
    if (key, manifest.get("batch_number")) != (record.key, record.batch_number):
        raise InvalidBatchRecord("manifest: must be that of its ce_id")
    file_name = _FILE_NAME.fullmatch(str(manifest.get("file_name")))
    if file_name is None:
        raise InvalidBatchRecord("file_name: must be profile-export_number-milliseconds.xml")
    if file_name["profile"] != manifest.get("profile"):
        raise InvalidBatchRecord("file_name: must begin with the profile's code")
    if file_name["export_number"] != manifest.get("export_number"):
        raise InvalidBatchRecord("file_name: must have the manifest's export number")
    return manifest
