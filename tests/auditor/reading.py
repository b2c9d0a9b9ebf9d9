"""Decides by the documents which input records are sound, and what each says.

The shape of a record is that of its schema in contracts/. What a schema cannot say is here: strict
JSON, the envelope, times, the decimals of currencies, and characters that no pattern names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from jsonschema import Draft7Validator

from tests.auditor.evidence import Data, Record
from tests.auditor.values import Unsound, content_of, instant

CONTRACTS = Path(__file__).parents[2] / "contracts" / "events"
TYPE_PREFIX = "org.bursar-bridge."
RECORD_BYTES_MAX = 64 * 1024
# "Bounded depth" is all that the documents say: what is deeper may be rejected or not.
CERTAIN_DEPTH_MAX = 64
ATTRIBUTES = ("specversion", "id", "source", "type")
JSON_TYPE = re.compile(r"[\w!#$&^.+-]+/(?:[\w!#$&^.+-]+\+)?json", re.ASCII | re.IGNORECASE)
STRUCTURED = "application/cloudevents+json"
IDS = {
    "fine-created.v1": ("fine_id",),
    "fine-changed.v1": ("source", "change_id"),
    "bursar-payment.v1": ("source", "payment_id"),
    "export-response.v1": ("source", "response_id"),
}

Identity = tuple[str, ...]  # institution, then source if there is any, then the record's id


@dataclass(frozen=True, slots=True)
class Sound:
    """A record that the service has to take. `content` is equal for records that say the same.

    `certain` is False where the documents leave it open whether a record is sound.
    """

    record: Record
    identity: Identity
    data: Data
    content: str
    certain: bool


def read(contract: str, record: Record) -> Sound | None:
    """What a record of an input topic says; None if it is unsound."""
    return _read(contract, record, _has_shape)


def read_shaped(contract: str, record: Record) -> Sound | None:
    """The same of a record that is known to have the shape of its schema: ten times as quick."""
    return _read(contract, record, lambda _contract, _body: True)


def _read(contract: str, record: Record, has_shape: Callable[[str, object], bool]) -> Sound | None:
    try:
        body = _data(contract, record)
        if not has_shape(contract, body):
            return None
        data, is_certain = content_of(contract, cast(Data, body))  # the schemas want an object
        _check_reversal(data)
    except (Unsound, RecursionError):
        return None
    identity = (data["institution_id"], *(data[name] for name in IDS[contract]))
    content = json.dumps(_compared(data), sort_keys=True)
    return Sound(record, identity, data, content, is_certain and _depth(body) <= CERTAIN_DEPTH_MAX)


def _has_shape(contract: str, body: object) -> bool:
    return _validator(contract).is_valid(body)


def _compared(data: Data) -> Data:
    """Absent members and those that are null are the same."""
    return {name: value for name, value in data.items() if value is not None}


def _check_reversal(data: Data) -> None:
    original = data.get("reverses_payment_id")
    if original is not None and original == data.get("payment_id"):
        raise Unsound


@cache
def _validator(contract: str) -> Draft7Validator:
    return Draft7Validator(json.loads((CONTRACTS / f"{contract}.schema.json").read_bytes()))


def _data(contract: str, record: Record) -> object:
    """The data of the event in a record; raises Unsound for a faulty envelope or JSON."""
    if record.headers is None or len(record.value or b"") > RECORD_BYTES_MAX:
        raise Unsound
    headers = _headers(record)
    media_type = headers.get("content-type", b"").decode(errors="replace")
    media_type = media_type.partition(";")[0].strip()
    if media_type.lower() == STRUCTURED:
        return _structured(_json(record.value), contract)
    if headers.get("content-type") and not JSON_TYPE.fullmatch(media_type):
        raise Unsound
    if not headers.get("content-type") and not any(n.startswith("ce_") for n, _ in record.headers):
        body = _json(record.value)
        if isinstance(body, dict) and "specversion" in body:
            return _structured(body, contract)
    texts = {name: headers.get(f"ce_{name}") for name in (*ATTRIBUTES, "time")}
    try:
        _check_attributes(
            {name: text.decode() for name, text in texts.items() if text is not None}, contract
        )
    except UnicodeDecodeError:
        raise Unsound from None
    return _json(record.value)


def _headers(record: Record) -> dict[str, bytes]:
    """The headers that are read; a second one of a name is a fault."""
    read_names = {*(f"ce_{name}" for name in (*ATTRIBUTES, "time")), "content-type"}
    headers: dict[str, bytes] = {}
    for name, value in record.headers or ():
        known = "content-type" if name.lower() == "content-type" else name
        if known in read_names:
            if known in headers:
                raise Unsound
            headers[known] = value or b""
    return headers


def _structured(event: object, contract: str) -> object:
    if not isinstance(event, dict) or "data" not in event:
        raise Unsound
    _check_attributes(event, contract)
    declared = event.get("datacontenttype")
    if declared is not None and not (
        isinstance(declared, str) and JSON_TYPE.fullmatch(declared.partition(";")[0].strip())
    ):
        raise Unsound
    return event["data"]


def _check_attributes(attributes: Mapping[str, object], contract: str) -> None:
    for name in (*ATTRIBUTES, "time"):
        value = attributes.get(name)
        if value is None and name != "time":
            raise Unsound
        if value is not None and not (isinstance(value, str) and value):
            raise Unsound
    if attributes["specversion"] != "1.0" or attributes["type"] != TYPE_PREFIX + contract:
        raise Unsound
    if attributes.get("time") is not None:
        instant(attributes["time"])


def _json(value: bytes | None) -> object:
    """Strict JSON in UTF-8, behind the five bytes of a schema registry if they are there."""
    if value is None:
        raise Unsound
    if value[:1] == b"\0" and value[5:].lstrip(b" \t\r\n")[:1] == b"{":
        value = value[5:]
    try:
        return json.loads(
            value.decode(),
            object_pairs_hook=_members,
            parse_constant=_no_constant,
            parse_int=_whole,
        )
    except ValueError:
        raise Unsound from None


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Unsound
    return members


def _no_constant(_: str) -> None:
    raise Unsound


def _whole(digits: str) -> int:
    """A number; the parser of Python does not read thousands of digits, which no member has."""
    return int(digits[:100])


def _depth(body: object) -> int:
    depth, level = 0, [body]
    while level:
        depth += 1
        inner = (each for each in level if isinstance(each, dict | list))
        level = [
            child for each in inner for child in (each.values() if isinstance(each, dict) else each)
        ]
    return depth
