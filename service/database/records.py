"""Rows to core values: with rows.py the one place that knows the ledger's columns."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from ..core.batches import ExportLine, Response, SealedBatch
from ..core.ledger import (
    Account,
    AccountKey,
    BatchKey,
    Change,
    Fine,
    FineFacts,
    Item,
    LineKey,
    Origin,
    Owner,
    Patron,
    Payment,
    SourceKey,
    Terms,
)
from ..core.words import (
    BatchState,
    Considered,
    ItemState,
    Kind,
    LineState,
    LostRule,
    Mode,
    Overpayment,
    PaymentKind,
    ProfileCode,
    Reason,
    RefusedRule,
    ResponseOutcome,
    Status,
)

Row = asyncpg.Record
TermsKey = tuple[str, str]


def unpack_headers(packed: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value.encode("latin-1")) for name, value in orjson.loads(packed))


def account(row: Row) -> Account:
    key = AccountKey(row["institution_id"], row["patron_id"], row["currency"])
    return Account(key, row["active"], row["transferred"], row["sequence"], row["epoch"])


def fine(row: Row, terms: Mapping[TermsKey, Terms]) -> Fine:
    terms_id = row["terms_id"]
    return Fine(
        facts=facts(row),
        status=Status(row["status"]),
        considered=Considered(row["considered"]),
        remaining=row["remaining"],
        outstanding=row["outstanding"],
        bursar_transaction_id=row["line"],
        terms=terms[(row["institution_id"], terms_id)] if terms_id is not None else None,
        payments_live=row["payments_live"],
        status_code=row["status_code"],
        refused_reason=row["refused_reason"],
        released=row["released"],
        changed_at=row["changed_at"],
    )


def facts(row: Row) -> FineFacts:
    return FineFacts(
        institution_id=row["institution_id"],
        fine_id=row["fine_id"],
        patron_id=row["patron_id"],
        type=row["type"],
        amount=row["amount"],
        currency=row["currency"],
        owner=_read(row["owner"], lambda body: Owner(**body)),
        created_at=row["created_at"],
        comment=row["comment"],
        loan_id=row["loan_id"],
        item=_read(row["item"], _item),
        credit_of=row["credit_of"],
        exportable=row["exportable"],
        digest=row["digest"],
    )


def _read(text: str | None, make: Callable[[dict[str, Any]], Any]) -> Any:
    return None if text is None else make(orjson.loads(text))


def _item(body: dict[str, Any]) -> Item:
    due = body.pop("due_date", None)
    return Item(**body, due_date=None if due is None else datetime.fromisoformat(due))


def patron(row: Row) -> Patron:
    identifiers = tuple((kind, text) for kind, text in orjson.loads(row["identifiers"]))
    return Patron(
        row["institution_id"],
        row["patron_id"],
        row["name"],
        row["user_group"],
        identifiers,
        row["seen_at"],
    )


def terms(row: Row) -> Terms:
    body = orjson.loads(row["body"])
    return Terms(
        profile=ProfileCode(body["profile"]),
        mode=Mode(body["mode"]),
        lost=LostRule(body["lost"]),
        lost_types=frozenset(body["lost_types"]),
        close_paid_lost_loan=body["close_paid_lost_loan"],
        overpayment=Overpayment(body["overpayment"]),
        refused=RefusedRule(body["refused"]),
        labels=tuple((Kind(kind), text) for kind, text in body["labels"]),
        overpayment_max=body.get("overpayment_max"),
    )


def source_key(row: Row, id_column: str) -> SourceKey:
    return SourceKey(row["institution_id"], row["source"], row[id_column])


def payment(row: Row) -> Payment:
    return Payment(
        key=source_key(row, "payment_id"),
        kind=PaymentKind(row["kind"]),
        digest=row["digest"],
        state=ItemState(row["state"]),
        fine_id=row["fine_id"],
        bursar_transaction_id=row["bursar_transaction_id"],
        currency=row["currency"],
        amount=row["amount"],
        paid_at=row["paid_at"],
        applied=row["applied"],
        excess=row["excess"],
        credit_id=row["credit_id"],
        reversed_by=row["reversed_by"],
        reverses=row["reverses"],
        reason=_reason(row),
    )


def change(row: Row) -> Change:
    key = source_key(row, "change_id")
    return Change(key, row["digest"], ItemState(row["state"]), row["fine_id"], _reason(row))


def response(row: Row) -> Response:
    batch = BatchKey(row["institution_id"], row["profile"], row["batch_number"])
    key = source_key(row, "response_id")
    outcome = None if row["outcome"] is None else ResponseOutcome(row["outcome"])
    return Response(
        key,
        row["digest"],
        batch,
        ItemState(row["state"]),
        _reason(row),
        outcome,
        row["lines"],
        row["responded_at"],
    )


def _reason(row: Row) -> Reason | None:
    return None if row["reason"] is None else Reason(row["reason"])


def line(row: Row) -> ExportLine:
    return ExportLine(
        LineKey(row["institution_id"], row["bursar_transaction_id"]),
        row["fine_id"],
        BatchKey(row["institution_id"], row["profile"], row["batch_number"]),
        row["amount"],
        row["currency"],
        LineState(row["state"]),
        row["reason"],
    )


def sealed_batch(row: Row) -> SealedBatch:
    key = BatchKey(row["institution_id"], row["profile"], row["batch_number"])
    state = BatchState(row["state"])
    return SealedBatch(key, row["currency"], row["fine_count"], row["total"], state)


def origin(row: Row) -> Origin:
    return Origin(
        row["topic"],
        row["partition"],
        row["record_offset"],
        row["record_key"],
        row["record_value"],
        unpack_headers(row["record_headers"]),
        row["traceparent"],
    )
