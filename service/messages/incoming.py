"""From a record to what it says: `parse`, and one line of `CONTRACTS` per topic that is read.

Faults are looked for in the order of precedence (rules.md, 3): envelope, JSON, schema, amount,
currency, text. The size alone comes before all of them: what is too large is not read at all.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar
from unicodedata import normalize

from pydantic import ValidationError

from ..core.events import Incoming, Rejection
from ..core.ledger import Origin
from ..core.words import Reason
from .envelope import Envelope, open_envelope, read_json, traced, traced_by_event
from .models import (
    Wire,
    WireBursarPayment,
    WireExportResponse,
    WireFineChanged,
    WireFineCreated,
)
from .reading import bursar_payment, export_response, fine_changed, fine_created
from .values import Fault

RECORD_BYTES_MAX = 64 * 1024

Reader = Callable[[Envelope, Origin], Incoming]
W = TypeVar("W", bound=Wire)


def _contract(model: type[W], read: Callable[[W, Envelope, Origin], Incoming]) -> Reader:
    """Raises ValidationError for a wrong shape, Fault for a wrong value."""

    def reader(envelope: Envelope, origin: Origin) -> Incoming:
        return read(model.model_validate(envelope.data), envelope, origin)

    return reader


CONTRACTS: Mapping[str, Reader] = {
    "fine-created.v1": _contract(WireFineCreated, fine_created),
    "fine-changed.v1": _contract(WireFineChanged, fine_changed),
    "bursar-payment.v1": _contract(WireBursarPayment, bursar_payment),
    "export-response.v1": _contract(WireExportResponse, export_response),
}


def parse(contract: str, origin: Origin) -> Incoming | Rejection:
    """What a record of `contract` (the topic without its prefix) says, or why it is refused.

    Never raises for what a record holds; KeyError for a contract that is not in CONTRACTS.
    """
    reader = CONTRACTS[contract]
    origin = traced(origin)
    try:
        if origin.value is not None and len(origin.value) > RECORD_BYTES_MAX:
            raise Fault(Reason.INVALID_SIZE, f"record: must have at most {RECORD_BYTES_MAX} bytes")
        envelope = open_envelope(origin, contract)
        if envelope.traceparent != origin.traceparent:
            origin = origin._replace(traceparent=envelope.traceparent)
        return reader(envelope, origin)
    except ValidationError as refusal:
        return _refused(Reason.INVALID_SCHEMA, _first_rule(refusal), origin)
    except Fault as fault:
        return _refused(fault.reason, fault.detail, origin)


def _refused(reason: Reason, detail: str, origin: Origin) -> Rejection:
    body = _body(reason, origin)
    return Rejection(reason, detail, traced_by_event(origin, body), _institution_id(body))


def _body(reason: Reason, origin: Origin) -> object:
    """What a refused record holds, None if that cannot be read."""
    if reason in (Reason.INVALID_SIZE, Reason.INVALID_JSON):
        return None
    try:
        return read_json(origin.value)
    except Fault:
        return None


_INSTITUTION = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


def _institution_id(body: object) -> str | None:
    """Whose record it is, if it says so soundly: in the data, of either mode."""
    for data in (body, body.get("data") if isinstance(body, dict) else None):
        named = data.get("institution_id") if isinstance(data, dict) else None
        if isinstance(named, str) and _INSTITUTION.fullmatch(named):
            return named
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


def _first_rule(refusal: ValidationError) -> str:
    """ "field: rule" of the first fault; a path has names of the contract and indexes only."""
    first = refusal.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"])) or "data"
    rule = _RULES.get(first["type"], "is not as the contract says")
    return f"{field}: {rule.format_map(first.get('ctx', {}))}"


_FINE_MEMBER = re.compile(rb'"fine_id"\s*:\s*"([^"\\\x00-\x1f]{1,400})"')
_INSTITUTION_MEMBER = re.compile(rb'"institution_id"\s*:\s*"([1-9][0-9]{0,9})"')


def changed_fine_in(contract: str, value: bytes | None) -> str | None:
    """The fine that a change seems to be of, without reading it; None for other records."""
    if contract != "fine-changed.v1" or value is None:
        return None
    found = _FINE_MEMBER.search(value)
    return None if found is None else normalize("NFC", found[1].decode(errors="replace"))


def institution_in(value: bytes | None) -> str | None:
    """Whose record it seems to be, without reading it: for a record that cannot be read."""
    found = None if value is None else _INSTITUTION_MEMBER.search(value)
    return None if found is None else found[1].decode()
