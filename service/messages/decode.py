"""From a record to the event that it means, or to the reason why it is rejected.

Faults are looked for in the order of precedence (rules.md, 3): envelope, JSON, schema, amount,
currency, text. Only the size is checked before: a record that is too large is not read at all.

`parse` depends on nothing but its arguments. The same `Origin`, kept with a parked record and read
again after a restart, gives the same event, digest included.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from unicodedata import normalize

from pydantic import ValidationError

from ..core.events import Incoming, Rejection
from ..core.ledger import Origin
from ..core.words import Reason
from .envelope import open_envelope, read_json, trace_of_event, with_trace_of_headers
from .from_bursar import WireBursarPayment, WireExportResponse
from .from_library import WireFineChanged, WireFineCreated
from .values import Fault

RECORD_BYTES_MAX = 64 * 1024

Model = type[WireFineCreated | WireFineChanged | WireBursarPayment | WireExportResponse]

# The contracts of the input topics; a topic's name is its contract's, with a prefix.
CONTRACTS: Mapping[str, Model] = {
    "fine-created.v1": WireFineCreated,
    "fine-changed.v1": WireFineChanged,
    "bursar-payment.v1": WireBursarPayment,
    "export-response.v1": WireExportResponse,
}


def parse(contract: str, origin: Origin) -> Incoming | Rejection:
    """The event that a record of `contract` means, or its rejection.

    Raises nothing because of the content of a record. Raises KeyError if `contract` is not one of
    CONTRACTS.
    """
    model = CONTRACTS[contract]
    origin = with_trace_of_headers(origin)
    try:
        if origin.value is not None and len(origin.value) > RECORD_BYTES_MAX:
            raise Fault(Reason.INVALID_SIZE, f"record: must have at most {RECORD_BYTES_MAX} bytes")
        envelope = open_envelope(origin, contract)
        if envelope.traceparent != origin.traceparent:
            origin = origin._replace(traceparent=envelope.traceparent)
        return model.model_validate(envelope.data).event(envelope.time, origin)
    except ValidationError as error:
        return _rejection(Reason.INVALID_SCHEMA, _first_rule(error), origin)
    except Fault as fault:
        return _rejection(fault.reason, fault.detail, origin)


def _rejection(reason: Reason, detail: str, origin: Origin) -> Rejection:
    body = None
    if reason not in (Reason.INVALID_SIZE, Reason.INVALID_JSON):
        with suppress(Fault):  # the value of a record with a faulty envelope may be no JSON
            body = read_json(origin.value)
    if origin.traceparent is None:
        origin = origin._replace(traceparent=trace_of_event(origin, body))
    return Rejection(reason, detail, origin, _institution_id(body))


_INSTITUTION = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


def _institution_id(body: object) -> str | None:
    """The institution that a rejected record names in its data, in binary or structured mode."""
    for data in (body, body.get("data") if isinstance(body, dict) else None):
        institution_id = data.get("institution_id") if isinstance(data, dict) else None
        if isinstance(institution_id, str) and _INSTITUTION.fullmatch(institution_id):
            return institution_id
    return None


# pydantic's kinds of errors in the words of the contract. Its own texts may quote the value.
_RULES: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "bool_type": "must be true or false",
    "enum": "must be {expected}",
    "model_type": "must be an object",
    "tuple_type": "must be an array",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} items",
    "rule": "{rule}",
}


def _first_rule(error: ValidationError) -> str:
    """The first fault as "member: rule"; a path has names of the contract and indexes only."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"])) or "data"
    rule = _RULES.get(first["type"], "is not as the contract says")
    return f"{field}: {rule.format_map(first.get('ctx', {}))}"


_FINE_MEMBER = re.compile(rb'"fine_id"\s*:\s*"([^"\\\x00-\x1f]{1,400})"')
_INSTITUTION_MEMBER = re.compile(rb'"institution_id"\s*:\s*"([1-9][0-9]{0,9})"')


def changed_fine_in(contract: str, value: bytes | None) -> str | None:
    """The fine id in the bytes of a fine-changed record on which the program fails, if any.

    The record is not parsed. None for records of other contracts.
    """
    if contract != "fine-changed.v1" or value is None:
        return None
    match = _FINE_MEMBER.search(value)
    return None if match is None else normalize("NFC", match[1].decode(errors="replace"))


def institution_in(value: bytes | None) -> str | None:
    """The institution id in the bytes of a record on which the program fails, if any."""
    match = None if value is None else _INSTITUTION_MEMBER.search(value)
    return None if match is None else match[1].decode()
