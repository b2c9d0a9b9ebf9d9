"""Core values to rows, for COPY and for arrays; column lists in the rows' order."""

from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson

from ..core.events import ParkedEvent, Rejection
from ..core.ledger import (
    ExportRef,
    Fine,
    LibraryRef,
    Patron,
    Payment,
    PaymentRef,
    Terms,
    Transaction,
)
from ..core.words import BURSAR_COMMENT

FINE_STATE_COLUMNS = (
    "status considered remaining outstanding line terms_id payments_live status_code"
    " refused_reason released changed_at"
).split()

FINE_COLUMNS = (
    "institution_id fine_id patron_id currency type amount owner created_at comment loan_id item"
    " credit_of exportable digest"
).split() + FINE_STATE_COLUMNS


def fine_row(value: Fine) -> tuple[Any, ...]:
    """In the order of FINE_COLUMNS."""
    own = value.facts
    return (
        own.institution_id,
        own.fine_id,
        own.patron_id,
        own.currency,
        own.type,
        own.amount,
        None if own.owner is None else _json(own.owner),
        own.created_at,
        own.comment,
        own.loan_id,
        None if own.item is None else _json(own.item),
        own.credit_of,
        own.exportable,
        own.digest,
        *state_row(value),
    )


def state_row(value: Fine) -> tuple[Any, ...]:
    """What changes of a fine, in the order of FINE_STATE_COLUMNS."""
    return (
        value.status.value,
        value.considered.value,
        value.remaining,
        value.outstanding,
        value.bursar_transaction_id,
        None if value.terms is None else terms_id(value.terms),
        value.payments_live,
        value.status_code,
        value.refused_reason,
        value.released,
        value.changed_at,
    )


PAYMENT_COLUMNS = (
    "institution_id source payment_id kind digest state fine_id bursar_transaction_id currency"
    " amount paid_at applied excess credit_id reversed_by reverses reason"
).split()


def payment_row(value: Payment) -> tuple[Any, ...]:
    return (
        *value.key,
        value.kind.value,
        value.digest,
        value.state.value,
        value.fine_id,
        value.bursar_transaction_id,
        value.currency,
        value.amount,
        value.paid_at,
        value.applied,
        value.excess,
        value.credit_id,
        value.reversed_by,
        value.reverses,
        value.reason,
    )


PARKED_COLUMNS = (
    "institution_id record source id wait fine_id original bursar_transaction_id topic partition"
    " record_offset record_key record_value record_headers traceparent recorded_at"
).split()


def parked_row(value: ParkedEvent, recorded_at: datetime) -> tuple[Any, ...]:
    event, came = value.event, value.event.origin
    return (
        event.key.institution_id,
        "change" if value.is_change else "payment",
        event.key.source,
        event.key.id,
        value.wait.value,
        value.fine_id,
        None if value.original is None else value.original.id,
        getattr(event, "bursar_transaction_id", None),
        came.topic,
        came.partition,
        came.offset,
        came.key,
        came.value,
        pack_headers(came.headers),
        came.traceparent,
        recorded_at,
    )


TRANSACTION_COLUMNS = (
    "institution_id patron_id currency sequence epoch transaction_id fine_id kind label amount"
    " active_change transferred_change active transferred comment cause fine_status"
    " fine_considered fine_remaining fine_outstanding occurred_at recorded_at"
).split()


def transaction_row(value: Transaction, recorded_at: datetime) -> tuple[Any, ...]:
    before, after, own = value.before, value.after, value.fine
    return (
        *after.key,
        after.sequence,
        after.epoch,
        value.transaction_id,
        own.facts.fine_id,
        value.kind.value,
        value.label,
        value.amount,
        after.active - before.active,
        after.transferred - before.transferred,
        after.active,
        after.transferred,
        value.comment if value.comment == BURSAR_COMMENT else None,
        None if value.cause is None else _cause(value.cause),
        own.status.value,
        own.considered.value,
        own.remaining,
        own.outstanding,
        value.occurred_at,
        recorded_at,
    )


def _cause(cause: PaymentRef | LibraryRef | ExportRef) -> str:
    """Without what people wrote: the ledger keeps it for ever."""
    match cause:
        case PaymentRef() if cause.comment is not None:
            return _json(replace(cause, comment=None))
        case LibraryRef() if cause.reason is not None:
            return _json(replace(cause, reason=None))
    return _json(cause)


TEXT_COLUMNS = (
    "institution_id patron_id currency sequence comment cause_comment cause_reason"
).split()


def text_row(value: Transaction) -> tuple[Any, ...] | None:
    """What people wrote about a transaction, to be kept where it can be erased; None: nothing."""
    comment = None if value.comment == BURSAR_COMMENT else value.comment
    cause = value.cause
    cause_comment = cause.comment if isinstance(cause, PaymentRef) else None
    cause_reason = cause.reason if isinstance(cause, LibraryRef) else None
    if comment is None and cause_comment is None and cause_reason is None:
        return None
    return (*value.after.key, value.after.sequence, comment, cause_comment, cause_reason)


_terms_ids: dict[Terms, str] = {}


def terms_id(terms: Terms) -> str:
    """The digest of the terms' text: equal terms share a row."""
    found = _terms_ids.get(terms)
    if found is None:
        found = _terms_ids[terms] = sha256(terms_text(terms).encode()).hexdigest()[:32]
    return found


def terms_text(terms: Terms) -> str:
    body: dict[str, object] = {
        "profile": terms.profile,
        "mode": terms.mode,
        "lost": terms.lost,
        "lost_types": sorted(terms.lost_types),
        "close_paid_lost_loan": terms.close_paid_lost_loan,
        "overpayment": terms.overpayment,
        "refused": terms.refused,
        "labels": sorted((kind.value, text) for kind, text in terms.labels),
    }
    if terms.overpayment_max is not None:  # else the text stays that of earlier releases
        body["overpayment_max"] = terms.overpayment_max
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()


def pack_headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Kafka headers as JSON, byte for byte (latin-1 keeps every byte).

    A name that was not UTF-8 is kept as text, each bad byte as its escape, such as `\\xff`.
    """
    texts = [(name, value.decode("latin-1")) for name, value in headers]
    try:
        return orjson.dumps(texts)
    except TypeError:
        return orjson.dumps([(_escaped(name), value) for name, value in texts])


def _escaped(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def parked_lane_row(value: ParkedEvent) -> tuple[Any, ...]:
    key = value.event.key
    behind = None if value.original is None else value.original.id
    record = "change" if value.is_change else "payment"
    return (key.institution_id, record, key.source, key.id, value.wait, value.fine_id, behind)


def patron_row(value: Patron) -> tuple[Any, ...]:
    identifiers = orjson.dumps(value.identifiers).decode()
    return (
        value.institution_id,
        value.patron_id,
        value.name,
        value.user_group,
        identifiers,
        value.seen_at,
    )


def rejection_row(value: Rejection) -> tuple[Any, ...]:
    came = value.origin
    return (
        came.topic,
        came.partition,
        came.offset,
        value.institution_id,
        value.reason,
        value.detail,
        came.key,
        came.value,
        pack_headers(came.headers),
    )
