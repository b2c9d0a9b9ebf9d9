"""Checks the envelope of a record: which headers are read, and which values they must have.
Envelopes of the usual form are read faster in decode.py.

Records are CloudEvents 1.0 in binary or structured mode, with strict JSON (contracts.md, 0):

- A record is in structured mode if its `content-type` is application/cloudevents+json, or if it has
  neither a content-type nor any `ce_` header and its value is an object with `specversion` (a value
  that is no JSON at all is then rejected as invalid_json). Everything else is binary.
- The names of headers are case-sensitive, as in Kafka; only `content-type` is recognised in any
  case.
- A record that has a header of the envelope twice is rejected, because one reader would use the
  first value and another the second.
- A missing or empty content-type means JSON; parameters such as charset are ignored, because values
  are always read as UTF-8.
- An event without a time of its own gets the timestamp of its Kafka record.
"""

import re
from datetime import datetime
from typing import NoReturn

from ..core.ledger import Origin
from ..core.words import Reason
from .encode import TYPE_PREFIX
from .values import INSTANT_RULE, Fault, instant

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

Envelope = tuple[object, datetime | None, str | None]  # the data, its time, the trace context

_REQUIRED = ("specversion", "id", "source", "type")
_ATTRIBUTES = (*_REQUIRED, "time")
_HEADER_OF = {name: f"ce_{name}" for name in _ATTRIBUTES}
CONTENT_TYPE = "content-type"
READ_ONCE = frozenset({*_HEADER_OF.values(), CONTENT_TYPE})

_JSON_TYPE = re.compile(rb"[\w!#$&^.+-]+/(?:[\w!#$&^.+-]+\+)?json", re.ASCII | re.IGNORECASE)
_STRUCTURED_TYPE = b"application/cloudevents+json"
COMMON_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8"))


def trace_of_event(origin: Origin, body: object) -> str | None:
    """Returns the trace context in the value of a record in structured mode, even if its envelope
    is faulty.
    """
    if not isinstance(body, dict) or has_attributes(origin):
        return None
    return valid_trace(body.get("traceparent"))


def name_meant(name: str) -> str | None:
    """Returns "content-type" if the name is that of this header in other upper or lower case, else
    None. Raises Fault for a name that is not UTF-8, which the Kafka client decodes with lone
    surrogates.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Fault(Reason.INVALID_ENVELOPE, "headers: names must be in UTF-8") from None
    is_spelt_otherwise = len(name) == len(CONTENT_TYPE) and name.lower() == CONTENT_TYPE
    return CONTENT_TYPE if is_spelt_otherwise else None


def has_attributes(origin: Origin) -> bool:
    """Whether the record has any header whose name begins with `ce_`."""
    return any(name.startswith("ce_") for name, _ in origin.headers)


def is_structured(content_type: bytes) -> bool:
    """Whether the content-type says that the value contains the whole CloudEvent, envelope and
    data. Raises Fault if the content-type is not one of JSON.
    """
    media_type = content_type.partition(b";")[0].strip()
    if media_type.lower() == _STRUCTURED_TYPE:
        return True
    if media_type.lower().startswith(b"application/cloudevents-batch"):
        raise_envelope(CONTENT_TYPE, "must be that of a single event")
    if not _JSON_TYPE.fullmatch(media_type):
        raise_envelope(CONTENT_TYPE, "must be JSON")
    return False


def checked_time(headers: dict[str, bytes], contract: str) -> datetime | None:
    """Checks the `ce_` headers of an event in binary mode; returns its time, or None if it has
    none. Raises Fault.
    """
    return _checked(_attributes(headers), contract, "ce_")


def _attributes(headers: dict[str, bytes]) -> dict[str, str | None]:
    attributes: dict[str, str | None] = {}
    for name, header in _HEADER_OF.items():
        if header in headers:
            try:
                attributes[name] = headers[header].decode()
            except UnicodeDecodeError:
                raise_envelope(header, "must be UTF-8")
    return attributes


def open_structured(event: object, contract: str, origin: Origin) -> Envelope:
    """Returns data, time and trace context of an event in structured mode, whose value has envelope
    and data. Raises Fault.
    """
    if not isinstance(event, dict):
        return raise_envelope("record", "must be an object in structured mode")
    time = _checked(event, contract, "")
    _check_content_type(event.get("datacontenttype"))
    if "data" not in event:
        raise_envelope("data", "is required")
    return event["data"], time, origin.traceparent or valid_trace(event.get("traceparent"))


def _check_content_type(declared: object) -> None:
    if declared is None:
        return
    if not isinstance(declared, str):
        raise_envelope("datacontenttype", "must be a string")
    media_type = declared.partition(";")[0].strip().encode(errors="replace")
    if not _JSON_TYPE.fullmatch(media_type):
        raise_envelope("datacontenttype", "must be JSON")


def _checked(attributes: dict[str, str | None], contract: str, prefix: str) -> datetime | None:
    """The time of an event whose attributes are sound; None if it has no time. Raises Fault."""
    for name in _ATTRIBUTES:
        value: object = attributes.get(name)
        if value is None:
            if name in _REQUIRED:
                raise_envelope(prefix + name, "is required")
        elif not isinstance(value, str) or not value:
            raise_envelope(prefix + name, "must be a string that is not empty")
    if attributes["specversion"] != "1.0":
        raise_envelope(prefix + "specversion", "must be 1.0")
    if attributes["type"] != TYPE_PREFIX + contract:
        raise_envelope(prefix + "type", f"must be {TYPE_PREFIX}{contract}")
    if (text := attributes.get("time")) is None:
        return None
    time = instant(text)
    return raise_envelope(prefix + "time", INSTANT_RULE) if time is None else time


def valid_trace(value: object) -> str | None:
    """Returns the trace context if it is well formed, else None; a malformed one does not make a
    record rejected.
    """
    return value if isinstance(value, str) and TRACEPARENT.fullmatch(value) else None


def raise_envelope(field: str, rule: str) -> NoReturn:
    """Raises the Fault of a header, or of a member of the envelope, that breaks a rule."""
    raise Fault(Reason.INVALID_ENVELOPE, f"{field}: {rule}")
