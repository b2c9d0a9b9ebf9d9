"""A fine leaves for the bursar, and may come back refused (rules.md, 2, 4 and 5)."""

from dataclasses import dataclass, replace

from .batches import ExportLine, SealedBatch
from .events import ExportFine, ExportResponse
from .ledger import BatchKey, ExportRef, Fine, LineKey, LoanClosed
from .money import InvalidAmount, parse_sum
from .outcomes import Applied, Effect, Rejected, rejected
from .words import (
    BatchState,
    Considered,
    Kind,
    LineState,
    LostRule,
    Mode,
    Reason,
    RefusedRule,
    ResponseOutcome,
    Status,
)


def export(fine: Fine, event: ExportFine) -> Applied:
    """An eligible fine's export: what is exported is what remains. The job checked eligibility."""
    assert fine.status is Status.ACTIVE
    assert fine.bursar_transaction_id is None
    terms, due = event.terms, fine.remaining
    is_lost = fine.facts.type in terms.lost_types
    closes = terms.mode is Mode.EXPORT_ONLY or (is_lost and terms.lost is LostRule.CLOSE)
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
    effect = Effect(
        after,
        Kind.EXPORT if closes else Kind.EXPORT_AND_PAID,
        amount=due,
        active=-due,
        transferred=0 if closes else due,
        cause=_reference(event.batch, event.bursar_transaction_id),
        occurred_at=event.cutoff,
        terms=terms,
    )
    closed_loan = _loan_closed(after, event) if is_lost else None
    return Applied((effect,), after, loan_closed=closed_loan)


def line_of(fine: Fine, event: ExportFine) -> ExportLine:
    """The line of `fine`, as it was before the export, in its batch."""
    key = LineKey(fine.facts.institution_id, event.bursar_transaction_id)
    currency = fine.facts.currency
    return ExportLine(key, fine.facts.fine_id, event.batch, fine.remaining, currency)


def _reference(batch: BatchKey, bursar_transaction_id: str) -> ExportRef:
    return ExportRef(batch.profile, batch.batch_number, bursar_transaction_id)


def _loan_closed(fine: Fine, event: ExportFine) -> LoanClosed | None:
    """The loan leaves the patron's list; the workspace keeps it to once per loan."""
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


@dataclass(frozen=True, slots=True)
class ResponseEffects:
    """A response that counts: the lines it refuses with their effects, and the batch after it.

    `lines`: how many it is about, those it accepts or those it refuses.
    """

    refused: tuple[tuple[ExportLine, Effect], ...]
    batch: SealedBatch
    lines: int


def respond(
    event: ExportResponse,
    batch: SealedBatch | None,
    lines: dict[str, ExportLine],
    fine_of: dict[str, Fine],
) -> ResponseEffects | Rejected:
    """Whole or not at all. `lines` are the batch's by bursar id, `fine_of` their fines likewise."""
    if batch is None:
        return rejected(Reason.UNKNOWN_BATCH)
    targets = _targets(event, lines, fine_of)
    if isinstance(targets, Rejected):
        return targets
    for index, (line, _) in enumerate(targets):
        if fine_of[line.key.bursar_transaction_id].payments_live:
            return _at_fault(event, Reason.ALREADY_PAID, index)
    if not _control_holds(event, batch):
        return rejected(Reason.CONTROL_TOTAL_MISMATCH)
    refused = tuple(_refusal(line, reason, fine_of, event) for line, reason in targets)
    after = replace(batch, state=_state(lines, len(targets)))
    accepts = event.outcome is ResponseOutcome.ACCEPTED
    live = sum(line.state is LineState.LIVE for line in lines.values())
    return ResponseEffects(refused, after, live if accepts else len(refused))


def _targets(
    event: ExportResponse, lines: dict[str, ExportLine], fine_of: dict[str, Fine]
) -> list[tuple[ExportLine, str]] | Rejected:
    live = {
        name: line
        for name, line in lines.items()
        if line.state is LineState.LIVE and fine_of[name].bursar_transaction_id == name
    }
    if event.outcome is ResponseOutcome.ACCEPTED:
        return []
    if event.outcome is ResponseOutcome.REFUSED:
        every = [(line, event.reason or "") for line in live.values()]
        return every or rejected(Reason.NOT_LIVE)
    named = event.refused_lines
    for index, (name, _) in enumerate(named):
        if name not in lines:
            return _at_fault(event, Reason.UNKNOWN_LINE, index)
    seen: set[str] = set()
    for index, (name, _) in enumerate(named):
        if name not in live or name in seen:  # named twice: it is refused by then
            return _at_fault(event, Reason.NOT_LIVE, index)
        seen.add(name)
    return [(live[name], reason) for name, reason in named]


def _at_fault(event: ExportResponse, reason: Reason, index: int) -> Rejected:
    """Where the answer names lines: which of them, from 0, as where one breaks the contract."""
    found = rejected(reason)
    if event.outcome is not ResponseOutcome.PARTIAL:
        return found
    return replace(found, detail=f"refused_lines.{index}.{found.detail}")


def _control_holds(event: ExportResponse, batch: SealedBatch) -> bool:
    if event.control_count is None or event.control_total is None:
        return True
    try:
        total = parse_sum(event.control_total, batch.currency)
    except InvalidAmount:
        return False
    return (event.control_count, total) == (batch.count, batch.total)


def _refusal(
    line: ExportLine, reason: str, fine_of: dict[str, Fine], event: ExportResponse
) -> tuple[ExportLine, Effect]:
    """The exact opposite of the line's export: the fine is Active again."""
    fine = fine_of[line.key.bursar_transaction_id]
    assert fine.terms is not None
    after = replace(
        fine,
        status=Status.ACTIVE,
        considered=Considered.ACTIVE,
        remaining=line.amount,
        outstanding=0,
        bursar_transaction_id=None,
        refused_reason=reason if fine.terms.refused is RefusedRule.HOLD else None,
        changed_at=event.responded_at,
    )
    effect = Effect(
        after,
        Kind.EXPORT_REJECTED,
        amount=line.amount,
        active=line.amount,
        transferred=-fine.outstanding,
        cause=_reference(line.batch, line.key.bursar_transaction_id),
        occurred_at=event.responded_at,
        comment=reason or None,
        terms=fine.terms,
    )
    return replace(line, state=LineState.REFUSED, reason=reason), effect


def _state(lines: dict[str, ExportLine], newly_refused: int) -> BatchState:
    refused = newly_refused + sum(line.state is LineState.REFUSED for line in lines.values())
    if refused == 0:
        return BatchState.ACCEPTED
    return BatchState.REFUSED if refused == len(lines) else BatchState.PARTLY_REFUSED
