"""CloudEvents 1.0 over Kafka, in: binary and structured mode, and strict JSON (contracts.md, 0).

- Structured: `content-type` is application/cloudevents+json; or there is neither a content-type nor
  any `ce_` header, and the value is an object with `specversion` (such a value that is no JSON at
  all is invalid_json). Everything else is binary.
- Header names are case-sensitive, as Kafka's are; `content-type` alone is read in any case.
- A second header of a name that is read here is a fault: two readers would choose differently.
- No content type, or an empty one, is JSON; parameters such as charset are ignored, the value is
  UTF-8 in any case.
- A record without a value (a tombstone) is invalid_json.
"""

import re
from datetime import datetime
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
    """An event without its envelope: the data, its `ce_time` and the trace context."""

    data: object
    time: datetime
    traceparent: str | None


def open_envelope(origin: Origin, contract: str) -> Envelope:
    """The event of `contract` in a record. Raises Fault: invalid_envelope or invalid_json."""
    headers = _headers(origin)
    content_type = headers.get(_CONTENT_TYPE)
    if content_type and _is_structured(content_type):
        return _structured(read_json(origin.value), contract, origin.traceparent)
    if not content_type and not _has_attributes(origin):
        body = read_json(origin.value)
        if isinstance(body, dict) and "specversion" in body:
            return _structured(body, contract, origin.traceparent)
    attributes = {name: _decoded(header, headers) for name, header in _HEADER_OF.items()}
    time = _checked(attributes, contract, "ce_")
    return Envelope(read_json(origin.value), time, origin.traceparent)


def with_trace_of_headers(origin: Origin) -> Origin:
    """The record with the trace context of its headers, unless it carries one already.

    This comes before any check, so that rejected records keep their trace context too.
    """
    if origin.traceparent is not None:
        return origin
    for name, value in origin.headers:
        if name in _TRACE_HEADERS and value:
            return origin._replace(traceparent=_valid_trace(value.decode(errors="replace")))
    return origin


def trace_of_event(origin: Origin, body: object) -> str | None:
    """The trace context in the value of a record in structured mode; its envelope may be faulty."""
    if not isinstance(body, dict) or _has_attributes(origin):
        return None
    return _valid_trace(body.get("traceparent"))


def read_json(value: bytes | None) -> object:
    """Reads strict JSON in UTF-8: no duplicate keys, no NaN, limited depth. Raises Fault.

    Two things are correct JSON but beyond the parser. Members that are ignored may have them, and
    therefore they are replaced:
    - an escaped lone surrogate, which is no text, by a noncharacter, which no text may have either;
    - a number of thousands of digits by another that is beyond the bounds of every member.
    """
    if value is None:
        raise Fault(Reason.INVALID_JSON, "record: must have a value")
    try:
        return _from_json(value)
    except ValueError as error:
        if b"\\u" not in value and not str(error).startswith("number out of range"):
            raise _not_json(error) from None
    try:
        return _from_json(_readable(value))
    except ValueError as error:
        raise _not_json(error) from None


def _readable(value: bytes) -> bytes:
    value = _ESCAPE.sub(_without_lone_surrogate, value)
    if len(value) <= _NUMBER_CHARACTERS_MAX:
        return value
    return _STRING_OR_NUMBER.sub(_without_long_number, value)


def _from_json(value: bytes) -> object:
    body: object = jiter.from_json(
        value, catch_duplicate_keys=True, allow_inf_nan=False, float_mode="lossless-float"
    )
    return body


def _without_lone_surrogate(match: re.Match[bytes]) -> bytes:
    return match[0] if match[1] is None else _NONCHARACTER


def _without_long_number(match: re.Match[bytes]) -> bytes:
    number = match[1] or b""
    return match[0] if len(number) <= _NUMBER_CHARACTERS_MAX else _BEYOND_ALL_BOUNDS


def _not_json(error: ValueError) -> Fault:
    """The fault in words of the contract: those of the parser may quote a key."""
    text = str(error)
    if text.startswith("Detected duplicate key"):
        return Fault(Reason.INVALID_JSON, "record: must not have a key twice in an object")
    if text.startswith("recursion limit exceeded"):
        return Fault(Reason.INVALID_JSON, "record: is nested too deep")
    return Fault(Reason.INVALID_JSON, "record: must be one JSON value in UTF-8")


def _headers(origin: Origin) -> dict[str, bytes]:
    """The headers that are read, each at most once. Raises Fault."""
    headers: dict[str, bytes] = {}
    for name, value in origin.headers:
        if not name.isascii():
            _require_utf_8(name)
        if (known := _known_name(name)) is None:
            continue
        if known in headers:
            _raise_envelope(known, "must not be given twice")
        headers[known] = value
    return headers


def _require_utf_8(name: str) -> None:
    """The Kafka reader hands out a byte that is not UTF-8 as a lone surrogate. Raises Fault."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Fault(Reason.INVALID_ENVELOPE, "headers: names must be in UTF-8") from None


def _known_name(name: str) -> str | None:
    if name in _READ_ONCE:
        return name
    is_spelt_otherwise = len(name) == len(_CONTENT_TYPE) and name.lower() == _CONTENT_TYPE
    return _CONTENT_TYPE if is_spelt_otherwise else None


def _has_attributes(origin: Origin) -> bool:
    return any(name.startswith("ce_") for name, _ in origin.headers)


def _is_structured(content_type: bytes) -> bool:
    """Whether the value is the event with its envelope. Raises Fault for what is not JSON."""
    if content_type in _COMMON_TYPES:
        return False
    media_type = content_type.partition(b";")[0].strip()
    if media_type.lower() == _STRUCTURED_TYPE:
        return True
    if media_type.lower().startswith(b"application/cloudevents-batch"):
        _raise_envelope(_CONTENT_TYPE, "must be that of a single event")
    if not _JSON_TYPE.fullmatch(media_type):
        _raise_envelope(_CONTENT_TYPE, "must be JSON")
    return False


def _decoded(name: str, headers: dict[str, bytes]) -> str | None:
    value = headers.get(name)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return _raise_envelope(name, "must be UTF-8")


def _structured(event: object, contract: str, trace: str | None) -> Envelope:
    if not isinstance(event, dict):
        return _raise_envelope("record", "must be an object in structured mode")
    time = _checked(event, contract, "")
    _check_content_type(event.get("datacontenttype"))
    if "data" not in event:
        _raise_envelope("data", "is required")
    return Envelope(event["data"], time, trace or _valid_trace(event.get("traceparent")))


def _check_content_type(declared: object) -> None:
    if declared is None:
        return
    if not isinstance(declared, str):
        _raise_envelope("datacontenttype", "must be a string")
    media_type = declared.partition(";")[0].strip().encode(errors="replace")
    if not _JSON_TYPE.fullmatch(media_type):
        _raise_envelope("datacontenttype", "must be JSON")


def _checked(attributes: dict[str, str | None], contract: str, prefix: str) -> datetime:
    """The time of an event whose required attributes are sound. Raises Fault."""
    for name in _ATTRIBUTES:
        value: object = attributes.get(name)
        if isinstance(value, str) and value:
            continue
        if value is None:
            _raise_envelope(prefix + name, "is required")
        _raise_envelope(prefix + name, "must be a string that is not empty")
    if attributes["specversion"] != "1.0":
        _raise_envelope(prefix + "specversion", "must be 1.0")
    if attributes["type"] != TYPE_PREFIX + contract:
        _raise_envelope(prefix + "type", f"must be {TYPE_PREFIX}{contract}")
    time = instant(attributes["time"])
    return _raise_envelope(prefix + "time", INSTANT_RULE) if time is None else time


def _valid_trace(value: object) -> str | None:
    """The trace context if it is well formed; a record is not rejected because of it."""
    return value if isinstance(value, str) and TRACEPARENT.fullmatch(value) else None


def _raise_envelope(field: str, rule: str) -> NoReturn:
    raise Fault(Reason.INVALID_ENVELOPE, f"{field}: {rule}")
