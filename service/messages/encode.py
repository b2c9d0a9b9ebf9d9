"""Encodes changes of the ledger and rejections as records for Kafka (contracts.md, 5 and 7).

All records made here are CloudEvents in binary mode. Amounts have exactly the currency's number of
decimals, times are in UTC with `Z`, and an optional member without a value is left out instead of
being null. `ce_time` is when this service recorded the event; an event that is sent again has the
same `ce_id`.
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
    """A record for Kafka, without the name of its topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def headers_of(
    contract: str, ce_id: bytes, ce_source: str, time: datetime, subject: bytes, key: bytes
) -> Headers:
    """Returns the headers of an event of `contract` (such as "loan-closed.v1"), except
    content-type.
    """
    return (
        *attributes(contract, ce_id, ce_source, instant_bytes(time)),
        ("ce_subject", subject),
        ("ce_partitionkey", key),
    )


def attributes(contract: str, ce_id: bytes, ce_source: str, time: bytes) -> Headers:
    """Returns as headers the attributes that every CloudEvent has; `time` is a text by RFC 3339."""
    source, kind = _source_and_type(ce_source, contract)
    return _SPECVERSION, ("ce_id", ce_id), source, kind, ("ce_time", time)


@lru_cache(maxsize=64)
def _source_and_type(ce_source: str, contract: str) -> tuple[Header, Header]:
    return ("ce_source", ce_source.encode()), ("ce_type", f"{TYPE_PREFIX}{contract}".encode())


def trace_of(traceparent: str | None) -> Headers:
    """Returns the header `traceparent`, or no header if the record has no trace context."""
    return () if traceparent is None else (("traceparent", traceparent.encode()),)


@lru_cache(maxsize=64)  # a poll's transactions share one instant
def instant_bytes(time: datetime) -> bytes:
    """Returns an aware time as a text by RFC 3339 in UTC, in the same form as in the JSON."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat()}Z".encode()


def json_bytes(members: Members) -> bytes:
    """Returns the members as JSON; datetimes among them have to be aware and in UTC."""
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)


def encode_balance_changed(
    transaction: Transaction, recorded_at: datetime, ce_source: str
) -> Message:
    """Returns the balance-changed record of a ledger transaction; `recorded_at` is aware and in
    UTC.
    """
    key = key_of(transaction)
    subject = b"%b/%b" % (key, transaction.after.key.currency.encode())
    ce_id = transaction.transaction_id.encode()
    headers = (
        *balance_changed_headers(ce_id, ce_source, recorded_at, subject, key),
        *trace_of(transaction.traceparent),
    )
    return Message(key, balance_changed_value(transaction, recorded_at), headers)


def key_of(transaction: Transaction) -> bytes:
    """Returns the Kafka key of a transaction's record, `institution/patron`."""
    institution_id, patron_id, _ = transaction.after.key
    return f"{institution_id}/{patron_id}".encode()


def balance_changed_headers(
    ce_id: bytes, ce_source: str, recorded_at: datetime, subject: bytes, key: bytes
) -> Headers:
    """Returns the headers of a transaction's record, except its trace context."""
    common = headers_of("balance-changed.v1", ce_id, ce_source, recorded_at, subject, key)
    return (*common, _JSON_HEADER)


def encode_loan_closed(closed: LoanClosed, recorded_at: datetime, ce_source: str) -> Message:
    """Returns the loan-closed record of a loan; its `ce_id` is `institution/loan`."""
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
    """Returns the record for `rejected.v1` of a rejected record, with the original key and value.

    If the value has more than 512 KiB, only its first 64 KiB are kept. Of the original headers,
    traceparent and content-type are kept; a content-type of structured mode is replaced by that of
    JSON, because a reader would otherwise take the rejected value for the CloudEvent itself.

    `ce_id` consists of the topic, partition and offset of the rejected record. `is_another` says
    that another record was rejected at the same topic, partition and offset before, because the
    topic was deleted and made anew; then a digest of the content is added to `ce_id`. The first
    record at a topic, partition and offset gets no digest in its `ce_id`, because release 0.3.0
    identifies records by these three alone.
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


def balance_changed_value(transaction: Transaction, recorded_at: datetime) -> bytes:
    """Returns the JSON value of a transaction's balance-changed record."""
    before, after = transaction.before, transaction.after
    institution_id, patron_id, currency = after.key
    amount = format_of(currency)
    entry: Members = {
        "transaction_id": transaction.transaction_id,
        "type": transaction.label,
        "kind": transaction.kind._value_,  # quicker than `value`, which a descriptor computes
        "amount": amount(transaction.amount),
    }
    if transaction.comment is not None:
        entry["comment"] = transaction.comment
    members: Members = {
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
        "transaction": entry,
        "fine": _fine(transaction.fine, amount),
        "occurred_at": transaction.occurred_at,
        "recorded_at": recorded_at,
    }
    if transaction.cause is not None:
        members |= _reference(transaction.cause)
    return json_bytes(members)


def _balance(account: Account, amount: Format) -> Members:
    return {
        "active": amount(account.active),
        "transferred": amount(account.transferred),
        "total": amount(account.active + account.transferred),
    }


def _fine(fine: Fine, amount: Format) -> Members:
    facts, total = fine.facts, fine.amount
    members: Members = {
        "fine_id": facts.fine_id,
        "type": facts.type,
        "amount": amount(total),
        "status": fine.status._value_,
        "remaining": amount(fine.remaining),
        "outstanding_at_bursar": amount(fine.outstanding),
        "considered": fine.considered._value_,
    }
    if total != facts.amount:
        members["amount_created"] = amount(facts.amount)
    if facts.credit_of is not None:
        members["credit_of"] = facts.credit_of
    if fine.bursar_transaction_id is not None:
        members["bursar_transaction_id"] = fine.bursar_transaction_id
    if fine.status_code is not None:
        members["status_code"] = fine.status_code
    return members


def _reference(cause: PaymentRef | LibraryRef | ExportRef) -> Members:
    """The member that names the cause of a transaction."""
    match cause:
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
