"""From a record to the event that it means, or to the reason why it is rejected.

Faults are looked for in the order of precedence (rules.md, 3): envelope, JSON, schema, amount,
currency, text. Only the size is checked before: a record that is too large is not read at all.

`parse` depends on nothing but its arguments. The same `Origin`, kept with a parked record and read
again after a restart, gives the same event, digest included.

Records are CloudEvents 1.0 in binary or structured mode, with strict JSON (contracts.md, 0):

- Structured: `content-type` is application/cloudevents+json; or there is neither a content-type nor
  any `ce_` header, and the value is an object with `specversion` (such a value that is no JSON at
  all is invalid_json). Everything else is binary.
- Header names are case-sensitive, as Kafka's are; `content-type` alone is read in any case.
- A second header of a name that is read here is a fault: two readers would choose differently.
- No content type, or an empty one, is JSON; parameters such as charset are ignored: it is UTF-8.
- An event without a time has that of its record: the timestamp that Kafka keeps.
- The five bytes that a client of a schema registry writes before a JSON object are passed over.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import NoReturn

import jiter
from pydantic import ValidationError

from ..core.events import Incoming, Rejection
from ..core.ledger import Origin
from ..core.words import Reason
from .encode import TYPE_PREFIX
from .faults import first_rule, institution_named
from .from_bursar import WireBursarPayment, WireExportResponse
from .from_library import WireFineChanged, WireFineCreated
from .texts import Reading, ReadingOfParked
from .unparsed import readable
from .values import INSTANT_RULE, Fault, instant, time_of_record

RECORD_BYTES_MAX = 64 * 1024
Envelope = tuple[object, datetime | None, str | None]  # the data, its time, the trace context
Model = type[WireFineCreated | WireFineChanged | WireBursarPayment | WireExportResponse]

# The contracts of the input topics; a topic's name is its contract's, with a prefix.
CONTRACTS: Mapping[str, Model] = {
    "fine-created.v1": WireFineCreated,
    "fine-changed.v1": WireFineChanged,
    "bursar-payment.v1": WireBursarPayment,
    "export-response.v1": WireExportResponse,
}

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

_REQUIRED = ("specversion", "id", "source", "type")
_ATTRIBUTES = (*_REQUIRED, "time")
_HEADER_OF = {name: f"ce_{name}" for name in _ATTRIBUTES}
_CONTENT_TYPE = "content-type"
_READ_ONCE = frozenset({*_HEADER_OF.values(), _CONTENT_TYPE})
_TRACE_HEADERS = ("traceparent", "ce_traceparent")

_JSON_TYPE = re.compile(rb"[\w!#$&^.+-]+/(?:[\w!#$&^.+-]+\+)?json", re.ASCII | re.IGNORECASE)
_STRUCTURED_TYPE = b"application/cloudevents+json"
_COMMON_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8"))

_REGISTRY_MARK = b"\0"  # no JSON begins with it
_REGISTRY_BYTES = 5
_JSON_BLANKS = b" \t\r\n"


def parse(contract: str, origin: Origin) -> Incoming | Rejection:
    """The event that a record of `contract` means, or its rejection.

    Raises KeyError for another contract, and nothing because of the content of a record.
    """
    return _parse(contract, origin, Reading())


def parse_parked(contract: str, origin: Origin) -> Incoming | Rejection:
    """As `parse`, for a record that was parked: what an earlier release took is not rejected now.

    Its ids may have white space at their ends, and are its identity as they are.
    """
    return _parse(contract, origin, ReadingOfParked())


def _parse(contract: str, origin: Origin, reading: Reading) -> Incoming | Rejection:
    model = CONTRACTS[contract]
    origin = with_trace_of_headers(origin)
    data: object = None
    try:
        if origin.value is not None and len(origin.value) > RECORD_BYTES_MAX:
            raise Fault(Reason.INVALID_SIZE, f"record: must have at most {RECORD_BYTES_MAX} bytes")
        data, time, traceparent = open_envelope(origin, contract)
        if traceparent != origin.traceparent:
            origin = origin._replace(traceparent=traceparent)
        if time is None:
            time, reading.is_new_form = time_of_record(origin.timestamp_ms), True
        if _is_framed(origin.value):
            reading.is_new_form = True
        return model.model_validate(data).event(time, origin, reading)
    except ValidationError as error:
        return _rejection(Reason.INVALID_SCHEMA, first_rule(error), origin, data)
    except Fault as fault:
        return _rejection(fault.reason, fault.detail, origin, data)


def _rejection(reason: Reason, detail: str, origin: Origin, data: object) -> Rejection:
    """The rejection of a record. `data` is that of its event, None if it was not read."""
    body = data
    if data is None and reason not in (Reason.INVALID_SIZE, Reason.INVALID_JSON):
        with suppress(Fault):  # the value of a record with a faulty envelope may be no JSON
            body = read_json(origin.value)
    if origin.traceparent is None:
        origin = origin._replace(traceparent=trace_of_event(origin, body))
    return Rejection(reason, detail, origin, institution_named(body))


def open_envelope(origin: Origin, contract: str) -> Envelope:
    """The event of `contract` in a record. Raises Fault: invalid_envelope or invalid_json."""
    headers = _headers(origin)
    content_type = headers.get(_CONTENT_TYPE)
    if content_type and _is_structured(content_type):
        return _structured(read_json(origin.value), contract, origin)
    if not content_type and not _has_attributes(origin):
        body = read_json(origin.value)
        if isinstance(body, dict) and "specversion" in body:
            return _structured(body, contract, origin)
    time = _checked(_attributes(headers), contract, "ce_")
    return read_json(origin.value), time, origin.traceparent


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

    The bytes of a schema registry before an object are passed over.
    """
    if value is None:
        raise Fault(Reason.INVALID_JSON, "record: must have a value")
    if _is_framed(value):
        value = value[_REGISTRY_BYTES:]
    try:
        return _from_json(value)
    except ValueError as error:
        if b"\\u" not in value and not str(error).startswith("number out of range"):
            raise _not_json(error) from None
    try:
        return _from_json(readable(value))
    except ValueError as error:
        raise _not_json(error) from None


def _is_framed(value: bytes | None) -> bool:
    if value is None or not value.startswith(_REGISTRY_MARK):
        return False
    return value[_REGISTRY_BYTES:].lstrip(_JSON_BLANKS)[:1] == b"{"


def _from_json(value: bytes) -> object:
    return jiter.from_json(
        value,
        catch_duplicate_keys=True,
        allow_inf_nan=False,
        float_mode="lossless-float",
        cache_mode="keys",  # most values are of one record alone
    )


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
        known = name if name in _READ_ONCE else _name_meant(name)
        if known is None:
            continue
        if known in headers:
            _raise_envelope(known, "must not be given twice")
        headers[known] = value
    return headers


def _name_meant(name: str) -> str | None:
    """The header that is read although its name is spelt otherwise; None for any other. Raises
    Fault for a name that is not UTF-8: the Kafka reader hands out its bytes as lone surrogates.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Fault(Reason.INVALID_ENVELOPE, "headers: names must be in UTF-8") from None
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


def _attributes(headers: dict[str, bytes]) -> dict[str, str | None]:
    attributes: dict[str, str | None] = {}
    for name, header in _HEADER_OF.items():
        if header in headers:
            try:
                attributes[name] = headers[header].decode()
            except UnicodeDecodeError:
                _raise_envelope(header, "must be UTF-8")
    return attributes


def _structured(event: object, contract: str, origin: Origin) -> Envelope:
    if not isinstance(event, dict):
        return _raise_envelope("record", "must be an object in structured mode")
    time = _checked(event, contract, "")
    _check_content_type(event.get("datacontenttype"))
    if "data" not in event:
        _raise_envelope("data", "is required")
    return event["data"], time, origin.traceparent or _valid_trace(event.get("traceparent"))


def _check_content_type(declared: object) -> None:
    if declared is None:
        return
    if not isinstance(declared, str):
        _raise_envelope("datacontenttype", "must be a string")
    media_type = declared.partition(";")[0].strip().encode(errors="replace")
    if not _JSON_TYPE.fullmatch(media_type):
        _raise_envelope("datacontenttype", "must be JSON")


def _checked(attributes: dict[str, str | None], contract: str, prefix: str) -> datetime | None:
    """The time of an event whose attributes are sound; None if it has no time. Raises Fault."""
    for name in _ATTRIBUTES:
        value: object = attributes.get(name)
        if value is None:
            if name in _REQUIRED:
                _raise_envelope(prefix + name, "is required")
        elif not isinstance(value, str) or not value:
            _raise_envelope(prefix + name, "must be a string that is not empty")
    if attributes["specversion"] != "1.0":
        _raise_envelope(prefix + "specversion", "must be 1.0")
    if attributes["type"] != TYPE_PREFIX + contract:
        _raise_envelope(prefix + "type", f"must be {TYPE_PREFIX}{contract}")
    if (text := attributes.get("time")) is None:
        return None
    time = instant(text)
    return _raise_envelope(prefix + "time", INSTANT_RULE) if time is None else time


def _valid_trace(value: object) -> str | None:
    """The trace context if it is well formed; a record is not rejected because of it."""
    return value if isinstance(value, str) and TRACEPARENT.fullmatch(value) else None


def _raise_envelope(field: str, rule: str) -> NoReturn:
    raise Fault(Reason.INVALID_ENVELOPE, f"{field}: {rule}")
