"""Events for the oracle from the JSON of records, read without the code of the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, cast

from service.core.events import (
    BursarPayment,
    ExportResponse,
    FineChanged,
    FineCreated,
    Incoming,
)
from service.core.ledger import BatchKey, FineFacts, Origin, Patron, SourceKey
from service.core.words import ChangeKind, PaymentKind, ResponseOutcome
from tests.oracle import texts
from tests.oracle.sums import DECIMALS

Data = Mapping[str, Any]
Lines = Sequence[Mapping[str, str]]  # the ids of refused lines and the reasons

SNAPSHOT = ("name", "user_group", "identifiers")
_TIME = datetime(2026, 9, 1, tzinfo=UTC)  # no rule of the oracle depends on these times
_ORIGIN = Origin("", 0, 0, None, None)


def event_of(contract: str, data: Data) -> Incoming:
    """The event that a valid record of the contract means."""
    return _READERS[contract](data)


def _fine_created(data: Data) -> FineCreated:
    institution_id, patron = data["institution_id"], data["patron"]
    content = {**data, "patron": {k: v for k, v in patron.items() if k not in SNAPSHOT}}
    facts = FineFacts(
        institution_id,
        data["fine_id"],
        patron["patron_id"],
        data["type"],
        _minor(data) or 0,
        data["currency"],
        None,
        _TIME,
        loan_id=data.get("loan_id"),
        credit_of=data.get("credit_of"),
        digest=_digest(content),
    )
    snapshot = Patron(institution_id, patron["patron_id"], "", "", (), _TIME)
    return FineCreated(facts, snapshot, _ORIGIN)


def _fine_changed(data: Data) -> FineChanged:
    return FineChanged(
        _key(data, "change_id"),
        _digest(data),
        _ORIGIN,
        data["fine_id"],
        ChangeKind(data["kind"]),
        _minor(data),
        data.get("currency"),
        datetime.fromisoformat(data["changed_at"]),
        data.get("reason"),
        data.get("comment"),
    )


def _bursar_payment(data: Data) -> BursarPayment:
    return BursarPayment(
        _key(data, "payment_id"),
        _digest(data),
        _ORIGIN,
        PaymentKind(data["kind"]),
        texts.line_id(data.get("bursar_transaction_id")),
        data.get("fine_id"),
        _minor(data),
        data.get("currency"),
        _TIME,
        data.get("reverses_payment_id"),
        data.get("status_code"),
        data.get("comment"),
        data.get("import_file"),
        data.get("patron_id"),
    )


def _export_response(data: Data) -> ExportResponse:
    lines = cast(Lines, texts.content(data.get("refused_lines", [])))
    return ExportResponse(
        _key(data, "response_id"),
        _digest(data),
        _ORIGIN,
        BatchKey(data["institution_id"], data["profile"], data["batch_number"]),
        ResponseOutcome(data["outcome"]),
        data.get("reason"),
        tuple((line["bursar_transaction_id"], line["reason"]) for line in lines),
        None,
        _TIME,
    )


_READERS: Mapping[str, Callable[[Data], Incoming]] = {
    "fine-created.v1": _fine_created,
    "fine-changed.v1": _fine_changed,
    "bursar-payment.v1": _bursar_payment,
    "export-response.v1": _export_response,
}


def _key(data: Data, member: str) -> SourceKey:
    return SourceKey(data["institution_id"], data["source"], data[member])


def _minor(data: Data) -> int | None:
    if data.get("amount") is None:
        return None
    return int(Decimal(data["amount"]).scaleb(DECIMALS[data["currency"]]))


def _digest(content: Data) -> bytes:
    return sha256(json.dumps(texts.content(content), sort_keys=True).encode()).digest()
