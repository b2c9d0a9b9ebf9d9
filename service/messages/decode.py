"""Turns a record of an input topic into the event that it means, or into a rejection with its
reason.

The checks come in the order of precedence of rules.md, section 3: envelope, JSON, schema, amount,
currency, text. Before all other checks, a record of more than 64 KiB is rejected without being
read.

The result of `parse` depends on nothing but its arguments. If a record is parked and its `Origin`
is read again after a restart, the event is the same as before, with the same digest. The five bytes
that the client of a schema registry writes in front of a JSON object are skipped.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

import jiter
from pydantic import ValidationError

from ..core.events import Incoming, Rejection
from ..core.ledger import Origin
from ..core.words import Reason
from .encode import TYPE_PREFIX
from .envelope import (
    COMMON_TYPES,
    CONTENT_TYPE,
    READ_ONCE,
    Envelope,
    checked_time,
    has_attributes,
    is_structured,
    name_meant,
    open_structured,
    raise_envelope,
    trace_of_event,
    valid_trace,
)
from .faults import first_rule, institution_named
from .from_bursar import WireBursarPayment, WireExportResponse
from .from_library import WireFineChanged, WireFineCreated
from .texts import Reading, ReadingOfParked
from .unparsed import readable
from .values import Fault, instant, time_of_record

RECORD_BYTES_MAX = 64 * 1024
Wire = WireFineCreated | WireFineChanged | WireBursarPayment | WireExportResponse

# The contracts of the input topics; a topic's name is its contract's, with a prefix.
CONTRACTS: Mapping[str, type[Wire]] = {
    "fine-created.v1": WireFineCreated,
    "fine-changed.v1": WireFineChanged,
    "bursar-payment.v1": WireBursarPayment,
    "export-response.v1": WireExportResponse,
}

_TYPES = {contract: f"{TYPE_PREFIX}{contract}".encode() for contract in CONTRACTS}
_TRACE_HEADERS = ("traceparent", "ce_traceparent")

_REGISTRY_MARK = b"\0"  # no JSON begins with it
_REGISTRY_BYTES = 5
_JSON_BLANKS = b" \t\r\n"


def parse(contract: str, origin: Origin) -> Incoming | Rejection:
    """Returns the event that a record of `contract` means, or its rejection.

    Raises KeyError for an unknown contract; no content of a record makes it raise anything.
    """
    return _parse(contract, origin, Reading())


def parse_parked(contract: str, origin: Origin) -> Incoming | Rejection:
    """Reads a parked record like `parse`, but accepts ids that only earlier releases accepted.

    An id of a parked record may begin or end with white space, which then belongs to the record's
    identity.
    """
    return _parse(contract, origin, ReadingOfParked())


def _parse(contract: str, origin: Origin, reading: Reading) -> Incoming | Rejection:
    model = CONTRACTS[contract]
    origin = _with_trace_of_headers(origin)
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
    """Returns data, time and trace context of the event of `contract` in a record. Raises Fault
    with the reason invalid_envelope or invalid_json.
    """
    headers = _headers(origin)
    content_type = headers.get(CONTENT_TYPE)
    if content_type and content_type not in COMMON_TYPES and is_structured(content_type):
        return open_structured(read_json(origin.value), contract, origin)
    if not content_type and not has_attributes(origin):
        body = read_json(origin.value)
        if isinstance(body, dict) and "specversion" in body:
            return open_structured(body, contract, origin)
    time = _usual_time(headers, contract) or checked_time(headers, contract)
    return read_json(origin.value), time, origin.traceparent


def _with_trace_of_headers(origin: Origin) -> Origin:
    """The record with the trace context of its headers, unless it carries one already.

    This comes before any check, so that rejected records keep their trace context too.
    """
    if origin.traceparent is not None:
        return origin
    for name, value in origin.headers:
        if name in _TRACE_HEADERS and value:
            return origin._replace(traceparent=valid_trace(value.decode(errors="replace")))
    return origin


def _headers(origin: Origin) -> dict[str, bytes]:
    """The headers that are read, each at most once. Raises Fault."""
    headers: dict[str, bytes] = {}
    for name, value in origin.headers:
        known = name if name in READ_ONCE else name_meant(name)
        if known is None:
            continue
        if known in headers:
            raise_envelope(known, "must not be given twice")
        headers[known] = value
    return headers


def _usual_time(headers: dict[str, bytes], contract: str) -> datetime | None:
    """The time of an event whose attributes are all there and in ASCII, as nearly always; None for
    any other, of which `checked_time` says what is wrong, if anything is.
    """
    ce_id, source = headers.get("ce_id"), headers.get("ce_source")
    if not (ce_id and source and ce_id.isascii() and source.isascii()):
        return None
    if headers.get("ce_specversion") != b"1.0" or headers.get("ce_type") != _TYPES[contract]:
        return None
    return instant(headers.get("ce_time", b"").decode("latin-1"))


def read_json(value: bytes | None) -> object:
    """Reads strict JSON in UTF-8, without duplicate keys, without NaN, and of limited depth. Raises
    Fault.

    The five bytes that the client of a schema registry writes in front of an object are skipped.
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
