"""The export of a fine to the bursar, and the bursar's refusal of its export line (rules.md, 2, 4
and 5).
"""

from dataclasses import replace
from datetime import datetime

from .batches import ExportLine, LoanClosed
from .events import ExportFine
from .ledger import BatchKey, ExportRef, Fine, LineKey
from .outcomes import Applied, Effect
from .terms import Terms
from .words import (
    Considered,
    Kind,
    LineState,
    LostRule,
    Mode,
    RefusedRule,
    Status,
)


def closes_by_terms(fine: Fine, terms: Terms) -> bool:
    """Whether the export of a fine under these terms closes it instead of transferring it to the
    bursar's balance (rows 2.3, 2.4 and 2.6).
    """
    is_lost = fine.facts.type in terms.lost_types
    return terms.mode is Mode.EXPORT_ONLY or (is_lost and terms.lost is LostRule.CLOSE)


def export(fine: Fine, event: ExportFine, *, closes: bool) -> Applied:
    """Returns the outcome of exporting the remaining amount of a fine (rows 2.3, 2.4, 2.6, 5.18 and
    5.19).

    The caller has already checked that the profile exports this fine. After the export the fine is
    Closed if `closes` is True, else Transferred. The caller chooses `closes` by the terms of the
    export, but always exports a credit in the same way as its fine.
    """
    assert fine.status is Status.ACTIVE
    assert fine.bursar_transaction_id is None
    terms, due = event.terms, fine.remaining
    after = replace(
        fine,
        status=Status.CLOSED if closes else Status.TRANSFERRED,
        considered=Considered.CLOSED if closes else Considered.ACTIVE,
        remaining=0,
        outstanding=0 if closes else due,
        bursar_transaction_id=event.bursar_transaction_id,
        terms=terms,
        refused_reason=None,
        changed_at=event.cutoff,
    )
    kind = Kind.EXPORT if closes else Kind.EXPORT_AND_PAID
    effect = Effect(
        after,
        kind,
        terms.label(kind),
        amount=due,
        active=-due,
        transferred=0 if closes else due,
        cause=_reference(event.batch, event.bursar_transaction_id),
        occurred_at=event.cutoff,
    )
    is_lost = fine.facts.type in terms.lost_types
    closed_loan = _loan_closed(after, event) if is_lost else None
    return Applied((effect,), after, loan_closed=closed_loan)


def line_of(fine: Fine, event: ExportFine) -> ExportLine:
    """Returns the export line of a fine for its batch; `fine` is the fine as it was before the
    export.
    """
    key = LineKey(fine.facts.institution_id, event.bursar_transaction_id)
    currency = fine.facts.currency
    return ExportLine(key, fine.facts.fine_id, event.batch, fine.remaining, currency)


def _reference(batch: BatchKey, bursar_transaction_id: str) -> ExportRef:
    return ExportRef(batch.profile, batch.batch_number, bursar_transaction_id)


def _loan_closed(fine: Fine, event: ExportFine) -> LoanClosed | None:
    """The closing of the loan of a lost fine (row 4.3). The workspace closes each loan once."""
    facts = fine.facts
    if not event.terms.close_paid_lost_loan or facts.loan_id is None:
        return None
    return LoanClosed(
        facts.institution_id,
        facts.patron_id,
        facts.loan_id,
        facts.fine_id,
        event.batch.batch_number,
        event.cutoff,
    )


def refusal(
    line: ExportLine, reason: str | None, fine: Fine, at: datetime
) -> tuple[ExportLine, Effect]:
    """Returns the refused line, and the transaction that undoes its export, so that the fine is
    Active again (rules.md, 5).

    `at` is the time at which the bursar refused the line. `reason` is None if the line counts as
    refused although no answer of the bursar that refuses it was read (row 5b.5).
    """
    assert fine.terms is not None
    after = replace(
        fine,
        status=Status.ACTIVE,
        considered=Considered.ACTIVE,
        remaining=line.amount,
        outstanding=0,
        bursar_transaction_id=None,
        refused_reason=reason if fine.terms.refused is RefusedRule.HOLD else None,
        changed_at=at,
    )
    effect = Effect(
        after,
        Kind.EXPORT_REJECTED,
        fine.terms.label(Kind.EXPORT_REJECTED),
        amount=line.amount,
        active=line.amount,
        transferred=-fine.outstanding,
        cause=_reference(line.batch, line.key.bursar_transaction_id),
        occurred_at=at,
        comment=reason,
    )
    return replace(line, state=LineState.REFUSED, reason=reason), effect
