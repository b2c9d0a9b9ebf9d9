"""The two records of a batch, its XML document and its manifest, each in a topic of its own.

The header `ce_id` of both records names the batch, so the delivery knows which batch a record
belongs to without reading its value.
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
    """The two kinds of records of a batch; the values are the topics' names without the prefix."""

    BATCH = "export-batch.v1"
    MANIFEST = "export-manifest.v1"


class InvalidBatchRecord(ValueError):
    """A record that does not belong to a batch. The text names the field and the rule, never a
    value.
    """


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """The document or the manifest of a batch. `key` is `institution/profile`."""

    key: str
    batch_number: int
    kind: RecordKind
    place: Place
    value: bytes


def batch_record(
    kind: RecordKind, place: Place, headers: Iterable[tuple[str, bytes]], value: bytes | None
) -> BatchRecord:
    """Reads key and batch number of a record from its headers; `place` is its partition and offset.
    Raises InvalidBatchRecord.
    """
    ce_ids = [text for name, text in headers if name == "ce_id"]
    name = _CE_ID.fullmatch(ce_ids[0].decode("ascii", "replace")) if ce_ids else None
    if name is None or (name["manifest"] is not None) != (kind is RecordKind.MANIFEST):
        raise InvalidBatchRecord("ce_id: must be institution/profile/batch_number")
    if value is None:
        raise InvalidBatchRecord("value: must not be null")
    return BatchRecord(name["key"], int(name["number"]), kind, place, value)


def manifest_of(record: BatchRecord) -> Mapping[str, object]:
    """Returns the manifest in `record` as the members of its JSON.

    Raises InvalidBatchRecord if the manifest is of another batch than the record's `ce_id` says, or
    if its file name does not consist of the profile's code, the batch's export number and
    milliseconds.
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
