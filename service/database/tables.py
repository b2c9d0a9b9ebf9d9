"""The tables of the ledger: how a value of the core becomes a row, and a row becomes a value.

Each table is described once, as `table.py` wants it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from operator import attrgetter

import asyncpg
import orjson

from ..core.amendment import NOT_AMENDED, Amendment
from ..core.batches import ExportLine, LoanClosed, Response, SealedBatch
from ..core.changes import Transaction
from ..core.events import FailedRecord, ParkedEvent, Rejection
from ..core.ledger import (
    Account,
    AccountKey,
    BatchKey,
    Change,
    Fine,
    FineFacts,
    LibraryRef,
    LineKey,
    Owner,
    Patron,
    Payment,
    PaymentRef,
    SourceKey,
)
from ..core.terms import Terms
from ..core.words import (
    BURSAR_COMMENT,
    BatchState,
    Considered,
    ItemState,
    LineState,
    PaymentKind,
    Reason,
    ResponseOutcome,
    Status,
)
from . import encodings
from .encodings import cause_json, identifiers_of, item_of, json_of, terms_id
from .outbox import pack_headers
from .table import Cells, Table, members

_REASON = members(Reason)
_STATE = members(ItemState)


_FACTS = (
    "institution_id fine_id patron_id type amount currency owner created_at comment loan_id item"
    " credit_of exportable digest"
).split()
_RECORD = (
    "topic partition offset:record_offset key:record_key value:record_value headers:record_headers"
).split()

ACCOUNT = Table(
    "account",
    "key.institution_id key.patron_id key.currency active transferred sequence epoch",
    3,
    changing="active transferred sequence",
    make=lambda cells: Account(AccountKey(*cells[:3]), *cells[3:]),
)
PATRON = Table(
    "patron",
    "institution_id patron_id name user_group identifiers seen_at",
    2,
    stored={"identifiers": json_of},
    loaded={"identifiers": identifiers_of},
    make=lambda cells: Patron(*cells),
)
FINE: Table[Fine] = Table(
    "fine",
    # The amount is that of the creation only if the fine was never adjusted.
    " ".join("amount" if name == "amount" else f"facts.{name}" for name in _FACTS)
    + " status considered remaining outstanding bursar_transaction_id:line terms:terms_id"
    " payments_live status_code refused_reason released changed_at",
    2,
    changing="amount status considered remaining outstanding line terms_id payments_live"
    " status_code refused_reason released changed_at",
    stored={"owner": json_of, "item": json_of, "terms_id": terms_id},
    loaded={
        "owner": lambda text: Owner(**orjson.loads(text)),
        "item": item_of,
        "status": members(Status),
        "considered": members(Considered),
    },
)
AMENDMENT: Table[Fine] = Table(
    "fine_amendment",
    "facts.institution_id facts.fine_id amount_created amendment.adjusted_at amendment.disputed_at"
    " amendment.unconfirmed",
    2,
)
_NOT_AMENDED = (None, None, None, None)
PAYMENT = Table(
    "payment",
    "key.institution_id key.source key.id:payment_id kind digest state fine_id"
    " bursar_transaction_id currency amount paid_at applied excess credit_id reversed_by reverses"
    " reason",
    3,
    changing="state fine_id applied excess credit_id reversed_by reason",
    loaded={"kind": members(PaymentKind), "state": _STATE, "reason": _REASON},
    make=lambda cells: Payment(SourceKey(*cells[:3]), *cells[3:]),
)
CHANGE = Table(
    "fine_change",
    "key.institution_id key.source key.id:change_id digest state fine_id reason",
    3,
    changing="state reason",
    # Releases up to 0.6.0 fail on a reason that they do not know when a repeat of the change lets
    # them read it. No command or report shows this column: rejected records have the reason.
    stored={"reason": lambda reason: Reason.NO_CHANGE if reason is Reason.OVERTAKEN else reason},
    loaded={"state": _STATE, "reason": _REASON},
    make=lambda cells: Change(SourceKey(*cells[:3]), *cells[3:]),
)
RESPONSE = Table(
    "export_response",
    "key.institution_id key.source key.id:response_id digest batch.profile batch.batch_number"
    " state reason outcome lines responded_at",
    3,
    changing="state reason outcome lines responded_at",
    loaded={"state": _STATE, "reason": _REASON, "outcome": members(ResponseOutcome)},
    make=lambda cells: Response(
        SourceKey(*cells[:3]), cells[3], BatchKey(cells[0], *cells[4:6]), *cells[6:]
    ),
    is_dated=True,
)
LINE = Table(
    "export_line",
    "key.institution_id key.bursar_transaction_id fine_id batch.profile batch.batch_number amount"
    " currency state reason",
    2,
    changing="state reason",
    loaded={"state": members(LineState)},
    make=lambda cells: ExportLine(
        LineKey(*cells[:2]), cells[2], BatchKey(cells[0], *cells[3:5]), *cells[5:]
    ),
)
BATCH = Table(
    "export_batch",
    "key.institution_id key.profile key.batch_number currency count:fine_count total state",
    3,
    changing="state",
    loaded={"state": members(BatchState)},
    make=lambda cells: SealedBatch(BatchKey(*cells[:3]), *cells[3:]),
)
PARKED: Table[ParkedEvent] = Table(
    "parked",
    "event.key.institution_id is_change:record event.key.source event.key.id wait fine_id original"
    " event:bursar_transaction_id "
    + " ".join(f"event.origin.{path}" for path in _RECORD[:4])
    + " event:record_value event:record_headers event.origin.traceparent",
    4,
    changing="wait fine_id original",
    stored={
        "wait": encodings.stored_wait,
        "record": lambda is_change: "change" if is_change else "payment",
        "original": attrgetter("id"),
        "bursar_transaction_id": lambda event: getattr(event, "bursar_transaction_id", None),
        "record_value": encodings.parked_value,
        "record_headers": encodings.parked_headers,
    },
    is_dated=True,
)
# The bytes of those parked records that releases up to 0.3.0 cannot read (messages/older.py).
PARKED_ORIGINAL: Table[ParkedEvent] = Table(
    "parked_original",
    "event.key.institution_id is_change:record event.key.source event.key.id"
    " event.origin.value:record_value event.origin.headers:record_headers",
    4,
    stored={
        "record": lambda is_change: "change" if is_change else "payment",
        "record_headers": pack_headers,
    },
)
REJECTION: Table[Rejection] = Table(
    "rejected",
    "origin.topic origin.partition origin.offset:record_offset institution_id reason detail "
    + " ".join(f"origin.{path}" for path in _RECORD[3:])
    + " origin.timestamp_ms:record_timestamp_ms",
    3,
    stored={"record_headers": pack_headers},
)
FAILED_RECORD: Table[FailedRecord] = Table(
    "parked_error",
    "origin.topic origin.partition origin.offset:record_offset institution_id error "
    + " ".join(f"origin.{path}" for path in _RECORD[3:])
    + " origin.traceparent fine_id origin.timestamp_ms:record_timestamp_ms",
    3,
    stored={"record_headers": pack_headers},
)
LOAN_CLOSED: Table[LoanClosed] = Table(
    "loan_closed", "institution_id loan_id patron_id fine_id batch_number closed_at", 2
)
TRANSACTION: Table[Transaction] = Table(
    "ledger_transaction",
    "after.key.institution_id after.key.patron_id after.key.currency after.sequence after.epoch"
    " transaction_id fine.facts.fine_id kind label amount active_change transferred_change"
    " after.active after.transferred comment cause fine.status:fine_status"
    " fine.considered:fine_considered fine.remaining:fine_remaining"
    " fine.outstanding:fine_outstanding occurred_at",
    4,
    stored={
        "comment": lambda text: text if text == BURSAR_COMMENT else None,
        "cause": cause_json,
    },
    is_dated=True,
)
TEXT_COLUMNS = (
    "institution_id patron_id currency sequence comment cause_comment cause_reason"
).split()


def fine_of(row: asyncpg.Record, terms: Mapping[tuple[str, str], Terms]) -> Fine:
    """Returns the fine of a row of the table `fine`, joined with its row of `fine_amendment`.

    `terms` has the terms of the fine by institution and id of the terms.
    """
    cells = FINE.cells(row)
    facts, amendment = FineFacts(*cells[: len(_FACTS)]), NOT_AMENDED
    amended = AMENDMENT.cells(row)[2:]
    if amended != _NOT_AMENDED:
        facts, amendment = _amended(facts, *amended)
    state = (*cells[len(_FACTS) :], amendment)
    status, considered, remaining, outstanding, line, key, *others = state
    exported_under = None if key is None else terms[(facts.institution_id, key)]
    return Fine(facts, status, considered, remaining, outstanding, line, exported_under, *others)


def _amended(
    facts: FineFacts,
    amount_created: int | None,
    adjusted_at: datetime | None,
    disputed_at: datetime | None,
    unconfirmed: bool,
) -> tuple[FineFacts, Amendment]:
    """The facts with the amount of the creation, and the amendment with that of now."""
    amount = None if amount_created is None else facts.amount
    amendment = Amendment(amount, adjusted_at, disputed_at, unconfirmed)
    if amount_created is not None:
        facts = replace(facts, amount=amount_created)
    return facts, amendment


def text_row(transaction: Transaction) -> Cells | None:
    """Returns what people wrote about a transaction, as a row of `transaction_text`; or None.

    The texts are kept apart from the ledger, so that they can be erased.
    """
    comment = None if transaction.comment == BURSAR_COMMENT else transaction.comment
    cause = transaction.cause
    cause_comment = cause.comment if isinstance(cause, PaymentRef) else None
    cause_reason = cause.reason if isinstance(cause, LibraryRef) else None
    if comment is None and cause_comment is None and cause_reason is None:
        return None
    key = transaction.after.key
    return (*key, transaction.after.sequence, comment, cause_comment, cause_reason)
