"""The export of a fine to the bursar, and the bursar's answer to a batch (rules.md, 2, 4, 5)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .batches import ExportLine, LoanClosed, SealedBatch
from .credits import Credit
from .events import ExportFine, ExportResponse
from .ledger import BatchKey, ExportRef, Fine, LineKey
from .money import InvalidAmount, parse_sum
from .outcomes import Applied, Effect, Rejected, rejected, unknown_line
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


def export(fine: Fine, event: ExportFine, *, closes_with_other: bool = False) -> Applied:
    """Exports what remains of a fine (rows 2.3, 2.4, 2.6, 5.18 and 5.19).

    The caller has checked that the profile exports the fine. `closes_with_other` says that the fine
    closes whatever its terms say, because a credit and its fine go the same way.
    """
    assert fine.status is Status.ACTIVE
    assert fine.bursar_transaction_id is None
    terms, due = event.terms, fine.remaining
    is_lost = fine.facts.type in terms.lost_types
    closes = (
        closes_with_other
        or terms.mode is Mode.EXPORT_ONLY
        or (is_lost and terms.lost is LostRule.CLOSE)
    )
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
    closed_loan = _loan_closed(after, event) if is_lost else None
    return Applied((effect,), after, loan_closed=closed_loan)


def line_of(fine: Fine, event: ExportFine) -> ExportLine:
    """Returns the line of a fine in its batch; `fine` is the fine before its export."""
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


@dataclass(frozen=True, slots=True)
class ResponseEffects:
    """What an answer does: the refused lines with their effects, and the batch afterwards.

    `lines` is the number of lines that the answer accepts or refuses.
    """

    refused: tuple[tuple[ExportLine, Effect], ...]
    batch: SealedBatch
    lines: int


def respond(
    event: ExportResponse,
    batch: SealedBatch | None,
    lines: dict[str, ExportLine],
    fine_of: dict[str, Fine],
    credits_of: Callable[[Fine], Sequence[Credit]],
) -> ResponseEffects | Rejected:
    """Applies the answer to a batch, whole or not at all (rows 5.13 to 5.15).

    `lines` are all lines of the batch by their bursar transaction id, `fine_of` are their fines by
    the same ids, and `credits_of` returns the credits of a fine.
    """
    if batch is None:
        return rejected(Reason.UNKNOWN_BATCH)
    live = {
        line_id: line
        for line_id, line in lines.items()
        if line.state is LineState.LIVE and fine_of[line_id].bursar_transaction_id == line_id
    }
    refused = event.refused_lines
    if event.outcome is ResponseOutcome.REFUSED:
        refused = tuple((line_id, event.reason or "") for line_id in live)
        if not refused:
            return rejected(Reason.NOT_LIVE)
    named = [line_id for line_id, _ in refused]
    fault = _first_fault(named, lines, live, fine_of, credits_of)
    if fault is not None:
        reason, place = fault
        return _with_index(event, reason, place, refused[place][0])
    if not _control_holds(event, batch):
        return rejected(Reason.CONTROL_TOTAL_MISMATCH)
    accepts = event.outcome is ResponseOutcome.ACCEPTED
    return ResponseEffects(
        tuple(
            _refusal(live[line_id], reason, fine_of[line_id], event) for line_id, reason in refused
        ),
        replace(batch, state=_state(lines, len(refused))),
        len(live) if accepts else len(refused),
    )


def _first_fault(
    named: list[str],
    lines: dict[str, ExportLine],
    live: dict[str, ExportLine],
    fine_of: dict[str, Fine],
    credits_of: Callable[[Fine], Sequence[Credit]],
) -> tuple[Reason, int] | None:
    """The first rule, in order of precedence, that a named line breaks, and the line's place."""
    places = {line_id: place for place, line_id in reversed(list(enumerate(named)))}

    def is_paid(fine: Fine) -> bool:
        return fine.payments_live > 0 or any(
            credit.keeps_line(places.keys()) for credit in credits_of(fine)
        )

    checks = (
        (Reason.UNKNOWN_LINE, (line_id not in lines for line_id in named)),
        # A line that is named twice is not live any more when its second turn comes.
        (Reason.NOT_LIVE, (id_ not in live or places[id_] != n for n, id_ in enumerate(named))),
        (Reason.ALREADY_PAID, (is_paid(fine_of[line_id]) for line_id in named)),
    )
    for reason, faults in checks:
        for place, is_fault in enumerate(faults):
            if is_fault:
                return reason, place
    return None


def _with_index(event: ExportResponse, reason: Reason, place: int, line_id: str) -> Rejected:
    """The rejection with the member at fault, if the answer names lines itself."""
    rejection = unknown_line(line_id) if reason is Reason.UNKNOWN_LINE else rejected(reason)
    if event.outcome is not ResponseOutcome.PARTIAL:
        return rejection
    return replace(rejection, detail=f"refused_lines.{place}.{rejection.detail}")


def _control_holds(event: ExportResponse, batch: SealedBatch) -> bool:
    if event.control_count is None or event.control_total is None:
        return True
    try:
        total = parse_sum(event.control_total, batch.currency)
    except InvalidAmount:
        return False
    return (event.control_count, total) == (batch.count, batch.total)


def _refusal(
    line: ExportLine, reason: str, fine: Fine, event: ExportResponse
) -> tuple[ExportLine, Effect]:
    """The exact opposite of the line's export: the fine is Active again."""
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
        fine.terms.label(Kind.EXPORT_REJECTED),
        amount=line.amount,
        active=line.amount,
        transferred=-fine.outstanding,
        cause=_reference(line.batch, line.key.bursar_transaction_id),
        occurred_at=event.responded_at,
        comment=reason or None,
    )
    return replace(line, state=LineState.REFUSED, reason=reason), effect


def _state(lines: dict[str, ExportLine], newly_refused: int) -> BatchState:
    refused = newly_refused + sum(line.state is LineState.REFUSED for line in lines.values())
    if refused == 0:
        return BatchState.ACCEPTED
    return BatchState.REFUSED if refused == len(lines) else BatchState.PARTLY_REFUSED
