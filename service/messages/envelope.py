"""CloudEvents 1.0 over Kafka, in: binary and structured mode, and strict JSON (contracts.md, 0).

- Structured: `content-type` is application/cloudevents+json; or there is neither a content-type nor
  any `ce_` header, and the value is an object with `specversion` (such a value that is no JSON at
  all is invalid_json). Everything else is binary.
- Header names are case-sensitive, as Kafka's are; `content-type` alone is read in any case.
- A second header of a name that is read here is refused: two readers would choose differently.
- No content type, or an empty one, is JSON; parameters such as charset are ignored, the value is
  UTF-8 in any case.
- A record without a value (a tombstone) is invalid_json.
"""

import re
from datetime import datetime
from enum import Enum
from typing import NamedTuple, NoReturn

import jiter

from ..core.ledger import Origin
from ..core.words import Reason
from .values import INSTANT_RULE, Fault, instant

TYPE_PREFIX = "org.bursar-bridge."
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

_ATTRIBUTES = ("specversion", "id", "source", "type", "time")
_HEADER_OF = {name: f"ce_{name}" for name in _ATTRIBUTES}
_CONTENT_TYPE = "content-type"
_READ_ONCE = frozenset({*_HEADER_OF.values(), _CONTENT_TYPE})
_TRACE_HEADERS = ("traceparent", "ce_traceparent")

_JSON_TYPE = re.compile(rb"[\w!#$&^.+-]+/(?:[\w!#$&^.+-]+\+)?json", re.ASCII | re.IGNORECASE)
_STRUCTURED_TYPE = b"application/cloudevents+json"
_COMMON_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8"))

# An escape in a string: a surrogate pair, a lone surrogate (the group), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_NONCHARACTER = b"\\uffff"

# A string, closed or not: never tried again from within. Or a number without its sign (the group).
_STRING_OR_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*"?|((?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)', re.DOTALL
)
_NUMBER_CHARACTERS_MAX = 4096
_BEYOND_ALL_BOUNDS = b"1e4096"


class Envelope(NamedTuple):
    """An event without its envelope: the data, ce_time and the trace context."""

    data: object
    time: datetime
    traceparent: str | None


class _Mode(Enum):
    BINARY = 1
    STRUCTURED = 2


def open_envelope(origin: Origin, contract: str) -> Envelope:
    """The event of `contract` in a record. Raises Fault: invalid_envelope, invalid_json."""
    headers = _headers(origin)
    content_type = headers.get(_CONTENT_TYPE)
    if content_type:
        mode = _mode_of(content_type)
    else:
        mode = _Mode.BINARY if _has_attributes(origin) else _mode_of_bare(origin.value)
    if mode is _Mode.STRUCTURED:
        return _structured(origin.value, contract, origin.traceparent)
    time = _binary(headers, contract)
    return Envelope(read_json(origin.value), time, origin.traceparent)


def traced(origin: Origin) -> Origin:
    """The record with the trace context of its headers, if it carries none yet.

    Of every record: one that is refused unread is the cause of its rejection all the same.
    """
    if origin.traceparent is not None or (trace := _trace_in_headers(origin)) is None:
        return origin
    return origin._replace(traceparent=trace)


def traced_by_event(origin: Origin, body: object) -> Origin:
    """The same where the value is the event itself, its envelope faulty or not."""
    if origin.traceparent is not None or not isinstance(body, dict) or _has_attributes(origin):
        return origin
    return origin._replace(traceparent=_sound_trace(body.get("traceparent")))


def read_json(value: bytes | None) -> object:
    """Strict JSON in UTF-8: no duplicate keys, NaN or depth beyond the parser's. Raises Fault.

    What is sound JSON and yet beyond the parser is replaced; an ignored member may have it:
    - A lone surrogate in an escape is no text: by a noncharacter, which the rules of texts refuse
      just so.
    - A number of thousands of digits: by another that is beyond the bounds of every member.
    """
    if value is None:
        raise Fault(Reason.INVALID_JSON, "record: must have a value")
    try:
        return _from_json(value)
    except ValueError as refusal:
        if b"\\u" not in value and not str(refusal).startswith("number out of range"):
            raise _not_json(refusal) from None
    try:
        return _from_json(_readable(value))
    except ValueError as refusal:
        raise _not_json(refusal) from None


def _readable(value: bytes) -> bytes:
    found = _ESCAPE.sub(_without_lone_surrogate, value)
    if len(found) <= _NUMBER_CHARACTERS_MAX:
        return found
    return _STRING_OR_NUMBER.sub(_without_long_number, found)


def _from_json(value: bytes) -> object:
    found: object = jiter.from_json(
        value, catch_duplicate_keys=True, allow_inf_nan=False, float_mode="lossless-float"
    )
    return found


def _without_lone_surrogate(match: re.Match[bytes]) -> bytes:
    return match[0] if match[1] is None else _NONCHARACTER


def _without_long_number(match: re.Match[bytes]) -> bytes:
    number = match[1] or b""
    return match[0] if len(number) <= _NUMBER_CHARACTERS_MAX else _BEYOND_ALL_BOUNDS


def _not_json(refusal: ValueError) -> Fault:
    """The parser's text may quote a key: it is told in words of our own."""
    told = str(refusal)
    if told.startswith("Detected duplicate key"):
        return Fault(Reason.INVALID_JSON, "record: must not have a key twice in an object")
    if told.startswith("recursion limit exceeded"):
        return Fault(Reason.INVALID_JSON, "record: is nested too deep")
    return Fault(Reason.INVALID_JSON, "record: must be one JSON value in UTF-8")


def _headers(origin: Origin) -> dict[str, bytes]:
    """What is read of the headers, each at most once. Raises Fault."""
    found: dict[str, bytes] = {}
    for name, value in origin.headers:
        if not name.isascii():
            _require_utf_8(name)
        own = _read_as(name)
        if own is None:
            continue
        if own in found:
            _refuse(own, "must not be given twice")
        found[own] = value
    return found


def _require_utf_8(name: str) -> None:
    """The Kafka reader hands out a byte that is not UTF-8 as a lone surrogate. Raises Fault."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Fault(Reason.INVALID_ENVELOPE, "headers: names must be in UTF-8") from None


def _read_as(name: str) -> str | None:
    if name in _READ_ONCE:
        return name
    is_spelt_otherwise = len(name) == len(_CONTENT_TYPE) and name.lower() == _CONTENT_TYPE
    return _CONTENT_TYPE if is_spelt_otherwise else None


def _has_attributes(origin: Origin) -> bool:
    return any(name.startswith("ce_") for name, _ in origin.headers)


def _mode_of(content_type: bytes) -> _Mode:
    if content_type in _COMMON_TYPES:
        return _Mode.BINARY
    media_type = content_type.partition(b";")[0].strip()
    if media_type.lower() == _STRUCTURED_TYPE:
        return _Mode.STRUCTURED
    if media_type.lower().startswith(b"application/cloudevents-batch"):
        _refuse(_CONTENT_TYPE, "must be that of a single event")
    if not _JSON_TYPE.fullmatch(media_type):
        _refuse(_CONTENT_TYPE, "must be JSON")
    return _Mode.BINARY


def _mode_of_bare(value: bytes | None) -> _Mode:
    body = read_json(value)
    is_event = isinstance(body, dict) and "specversion" in body
    return _Mode.STRUCTURED if is_event else _Mode.BINARY


def _binary(headers: dict[str, bytes], contract: str) -> datetime:
    """The ce_time of sound headers. Raises Fault."""
    attributes = {name: _decoded(header, headers) for name, header in _HEADER_OF.items()}
    return _checked(attributes, contract, "ce_")


def _decoded(name: str, headers: dict[str, bytes]) -> str | None:
    value = headers.get(name)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return _refuse(name, "must be UTF-8")


def _structured(value: bytes | None, contract: str, trace: str | None) -> Envelope:
    event = read_json(value)
    if not isinstance(event, dict):
        return _refuse("record", "must be an object in structured mode")
    time = _checked(event, contract, "")
    _check_content_type(event.get("datacontenttype"))
    if "data" not in event:
        _refuse("data", "is required")
    return Envelope(event["data"], time, trace or _sound_trace(event.get("traceparent")))


def _check_content_type(declared: object) -> None:
    if declared is None:
        return
    if not isinstance(declared, str):
        _refuse("datacontenttype", "must be a string")
    media_type = declared.partition(";")[0].strip().encode(errors="replace")
    if not _JSON_TYPE.fullmatch(media_type):
        _refuse("datacontenttype", "must be JSON")


def _checked(attributes: dict[str, str | None], contract: str, prefix: str) -> datetime:
    """The time of an event whose required attributes are sound. Raises Fault."""
    for name in _ATTRIBUTES:
        value: object = attributes.get(name)
        if isinstance(value, str) and value:
            continue
        if value is None:
            _refuse(prefix + name, "is required")
        _refuse(prefix + name, "must be a string that is not empty")
    if attributes["specversion"] != "1.0":
        _refuse(prefix + "specversion", "must be 1.0")
    if attributes["type"] != TYPE_PREFIX + contract:
        _refuse(prefix + "type", f"must be {TYPE_PREFIX}{contract}")
    time = instant(attributes["time"])
    return _refuse(prefix + "time", INSTANT_RULE) if time is None else time


def _trace_in_headers(origin: Origin) -> str | None:
    for name, value in origin.headers:
        if name in _TRACE_HEADERS and value:
            return _sound_trace(value.decode(errors="replace"))
    return None


def _sound_trace(value: object) -> str | None:
    """A trace context is a courtesy: a malformed one is left out, its record is not refused."""
    return value if isinstance(value, str) and TRACEPARENT.fullmatch(value) else None


def _refuse(field: str, rule: str) -> NoReturn:
    raise Fault(Reason.INVALID_ENVELOPE, f"{field}: {rule}")
