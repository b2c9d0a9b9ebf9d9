"""What happened, as records for Kafka (contracts.md, 5 and 7).

All are CloudEvents in binary mode. Money has exactly the currency's decimals, times are UTC with
`Z`, and an optional member is absent, never null. `ce_time` is when the event was recorded here; a
repeat has the same `ce_id`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, assert_never

import orjson

from ..core.batches import LoanClosed
from ..core.changes import Transaction
from ..core.events import Rejection
from ..core.ledger import (
    Account,
    Cause,
    ExportRef,
    Fine,
    LibraryRef,
    PaymentRef,
)
from ..core.money import format_of

TYPE_PREFIX = "org.bursar-bridge."
Header = tuple[str, bytes]
Headers = tuple[Header, ...]
Members = dict[str, object]
Format = Callable[[int], str]

JSON = b"application/json"
XML = b"application/xml"

_SPECVERSION: Header = ("ce_specversion", b"1.0")


REJECTED_VALUE_BYTES_MAX = 512 * 1024
REJECTED_EXCERPT_BYTES = 64 * 1024

_JSON_HEADER: Header = ("content-type", JSON)


class Message(NamedTuple):
    """A record for Kafka without its topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def headers_of(
    contract: str, ce_id: bytes, ce_source: str, time: datetime, subject: bytes, key: bytes
) -> Headers:
    """The headers of an event of `contract` (such as "loan-closed.v1"), but its content-type."""
    return (
        *attributes(contract, ce_id, ce_source, instant_bytes(time)),
        ("ce_subject", subject),
        ("ce_partitionkey", key),
    )


def attributes(contract: str, ce_id: bytes, ce_source: str, time: bytes) -> Headers:
    """The attributes that every CloudEvent has, as headers; `time` is RFC 3339."""
    source, kind = _source_and_type(ce_source, contract)
    return _SPECVERSION, ("ce_id", ce_id), source, kind, ("ce_time", time)


@lru_cache(maxsize=64)
def _source_and_type(ce_source: str, contract: str) -> tuple[Header, Header]:
    return ("ce_source", ce_source.encode()), ("ce_type", f"{TYPE_PREFIX}{contract}".encode())


def trace_of(traceparent: str | None) -> Headers:
    """Returns the header of a trace context, or none if the record has no trace context."""
    return () if traceparent is None else (("traceparent", traceparent.encode()),)


@lru_cache(maxsize=64)  # a poll's transactions share one instant
def instant_bytes(time: datetime) -> bytes:
    """An aware time as RFC 3339 in UTC, with microseconds if there are any, as in the JSON."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat()}Z".encode()


def json_bytes(members: Members) -> bytes:
    """The members as JSON; their times have to be aware and in UTC."""
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)


def encode_balance_changed(
    transaction: Transaction, recorded_at: datetime, ce_source: str
) -> Message:
    """The balance-changed record of a transaction; `recorded_at` is aware and in UTC."""
    institution_id, patron_id, currency = transaction.after.key
    transaction_id = transaction.transaction_id
    key = f"{institution_id}/{patron_id}".encode()
    headers = (
        *headers_of(
            "balance-changed.v1",
            transaction_id.encode(),
            ce_source,
            recorded_at,
            b"%b/%b" % (key, currency.encode()),
            key,
        ),
        _JSON_HEADER,
        *trace_of(transaction.traceparent),
    )
    members = _balance_changed(transaction, transaction_id, recorded_at)
    return Message(key, json_bytes(members), headers)


def encode_loan_closed(closed: LoanClosed, recorded_at: datetime, ce_source: str) -> Message:
    """The loan-closed record of a loan; its `ce_id` is made of institution and loan."""
    key = f"{closed.institution_id}/{closed.patron_id}".encode()
    ce_id = f"{closed.institution_id}/{closed.loan_id}".encode()
    members: Members = {
        "institution_id": closed.institution_id,
        "patron_id": closed.patron_id,
        "loan_id": closed.loan_id,
        "fine_id": closed.fine_id,
        "batch_number": closed.batch_number,
        "closed_at": closed.closed_at,
        "reason": "lost_fine_exported",
    }
    headers = headers_of("loan-closed.v1", ce_id, ce_source, recorded_at, ce_id, key)
    return Message(key, json_bytes(members), (*headers, _JSON_HEADER))


def encode_rejected(
    rejection: Rejection, rejected_at: datetime, ce_source: str, *, is_another: bool = False
) -> Message:
    """The rejected record for a rejection, with the key and the value as they came.

    If the value has more than 512 KiB, only its first 64 KiB are kept. Of the original headers,
    traceparent and content-type are kept; a content-type of structured mode becomes JSON, because a
    reader would otherwise take the original for the event itself.

    `ce_id` is made of the record's place. `is_another` says that the place had another record
    before, in a topic of the same name that was deleted since: then a digest of the content is
    added. It is not added otherwise, because release 0.3.0 knows records by their places alone.
    """
    origin, when = rejection.origin, instant_bytes(rejected_at)
    ce_id = f"{origin.topic}/{origin.partition}/{origin.offset}".encode()
    if is_another:
        ce_id += b"/%b" % _digest(origin.key or b"", origin.value or b"")
    headers = (
        *attributes("rejected.v1", ce_id, ce_source, when),
        *_text_header("ce_subject", (rejection.institution_id or "").encode()),
        *_text_header("ce_partitionkey", origin.key),
        *_text_header("content-type", _content_type(origin.headers)),
        ("bursar-reason", rejection.reason.value.encode()),
        ("bursar-detail", (rejection.detail or rejection.reason.value).encode()),
        ("bursar-topic", origin.topic.encode()),
        ("bursar-partition", b"%d" % origin.partition),
        ("bursar-offset", b"%d" % origin.offset),
        ("bursar-rejected-at", when),
        *trace_of(origin.traceparent),
    )
    return Message(origin.key, _excerpt(origin.value), headers)


def _digest(key: bytes, value: bytes) -> bytes:
    return sha256(b"%d:" % len(key) + key + value).hexdigest()[:16].encode()


def _balance_changed(
    transaction: Transaction, transaction_id: str, recorded_at: datetime
) -> Members:
    before, after = transaction.before, transaction.after
    institution_id, patron_id, currency = after.key
    amount = format_of(currency)
    return {
        "institution_id": institution_id,
        "patron_id": patron_id,
        "currency": currency,
        "epoch": after.epoch,
        "sequence": after.sequence,
        "balance": _balance(after, amount),
        "previous": _balance(before, amount),
        "change": {
            "active": amount(transaction.active_change),
            "transferred": amount(transaction.transferred_change),
        },
        "transaction": {
            "transaction_id": transaction_id,
            "type": transaction.label,
            "kind": transaction.kind.value,
            "amount": amount(transaction.amount),
            **_present(comment=transaction.comment),
        },
        "fine": _fine(transaction.fine, amount),
        "occurred_at": transaction.occurred_at,
        "recorded_at": recorded_at,
        **_reference(transaction.cause),
    }


def _balance(account: Account, amount: Format) -> Members:
    return {
        "active": amount(account.active),
        "transferred": amount(account.transferred),
        "total": amount(account.active + account.transferred),
    }


def _fine(fine: Fine, amount: Format) -> Members:
    facts = fine.facts
    return {
        "fine_id": facts.fine_id,
        "type": facts.type,
        "amount": amount(fine.amount),
        "status": fine.status.value,
        "remaining": amount(fine.remaining),
        "outstanding_at_bursar": amount(fine.outstanding),
        "considered": fine.considered.value,
        **_present(
            amount_created=None if fine.amount == facts.amount else amount(facts.amount),
            credit_of=facts.credit_of,
            bursar_transaction_id=fine.bursar_transaction_id,
            status_code=fine.status_code,
        ),
    }


def _reference(cause: Cause) -> Members:
    """The member that names the cause of a transaction; none for a fine that was created."""
    match cause:
        case None:
            return {}
        case PaymentRef():
            payment = _present(
                source=cause.source,
                payment_id=cause.payment_id,
                reverses_payment_id=cause.reverses_payment_id,
                status_code=cause.status_code,
                comment=cause.comment,
            )
            return {"payment": payment}
        case LibraryRef():
            change = _present(source=cause.source, change_id=cause.change_id, reason=cause.reason)
            return {"library": change}
        case ExportRef():
            export = {
                "profile": cause.profile,
                "batch_number": cause.batch_number,
                "bursar_transaction_id": cause.bursar_transaction_id,
            }
            return {"export": export}
        case _ as unreachable:
            assert_never(unreachable)


def _present(**members: object) -> Members:
    return {name: value for name, value in members.items() if value is not None}


def _excerpt(value: bytes | None) -> bytes | None:
    if value is None or len(value) <= REJECTED_VALUE_BYTES_MAX:
        return value
    return value[:REJECTED_EXCERPT_BYTES]


def _content_type(headers: Headers) -> bytes | None:
    for name, value in headers:
        if name.lower() == "content-type" and value:
            structured = value.strip().lower().startswith(b"application/cloudevents")
            return JSON if structured else value
    return None


def _text_header(name: str, value: bytes | None) -> Headers:
    """The header, unless the bytes are not text: the headers of our records are UTF-8."""
    try:
        return ((name, value),) if value and value.decode() else ()
    except UnicodeDecodeError:
        return ()
