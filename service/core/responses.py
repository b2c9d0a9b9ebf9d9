"""Decides the bursar's answer to an export batch (rules.md, 5).

An export line that was adopted after the restore of an older database may still wait for its fine
(rules.md, 5b). The bursar can refuse an adopted line that still waits for its fine like any other
export line. The refusal of a waiting line is stored with the line, and takes effect when the line
is applied to its fine.
"""

from dataclasses import replace

from .adopted import AdoptedLine, payments_for
from .batches import ExportLine, SealedBatch
from .events import ExportResponse
from .exports import refusal
from .frozen import dataclass
from .ledger import FineKey
from .money import InvalidAmount, parse_sum
from .outcomes import Effect, Rejected, rejected, unknown_line
from .words import BatchState, LineState, Reason, ResponseOutcome
from .workspace import Workspace


@dataclass(frozen=True, slots=True)
class ResponseEffects:
    """What a bursar's answer changes: `refused` has the refused export lines, each with its
    transaction if it has one, `kept` the waiting adopted lines with which the refusal is stored,
    and `batch` the batch after the answer.

    `lines` is the number of export lines that the answer accepts or refuses.
    """

    refused: tuple[tuple[ExportLine, Effect | None], ...]
    kept: tuple[AdoptedLine, ...]
    batch: SealedBatch
    lines: int


def respond(workspace: Workspace, event: ExportResponse) -> ResponseEffects | Rejected:
    """Decides a bursar's answer to a batch, which is applied as a whole or rejected as a whole
    (rows 5.13 to 5.15, and 5b.8 to 5b.10).
    """
    batch = workspace.batches.get(event.batch)
    if batch is None:
        return rejected(Reason.UNKNOWN_BATCH)
    lines = workspace.lines_of(event.batch)
    standing = {
        line_id: line for line_id, line in lines.items() if _may_be_refused(workspace, line)
    }
    refused = event.refused_lines
    if event.outcome is ResponseOutcome.REFUSED:
        assert event.reason is not None
        refused = tuple((line_id, event.reason) for line_id in standing)
        if not refused:
            return rejected(Reason.NOT_LIVE)
    fault = _first_fault(workspace, [line_id for line_id, _ in refused], lines, standing)
    if fault is not None:
        reason, place = fault
        return _with_index(event, reason, place, refused[place][0])
    if not _control_holds(event, batch):
        return rejected(Reason.CONTROL_TOTAL_MISMATCH)
    accepts = event.outcome is ResponseOutcome.ACCEPTED
    return ResponseEffects(
        tuple(
            _refused(workspace, standing[line_id], reason, event)
            for line_id, reason in refused
            if standing[line_id].state is not LineState.WAITING
        ),
        tuple(
            _kept(workspace, standing[line_id], reason, event)
            for line_id, reason in refused
            if standing[line_id].state is LineState.WAITING
        ),
        replace(batch, state=_state(lines, len(refused))),
        len(standing) if accepts else len(refused),
    )


def _may_be_refused(workspace: Workspace, line: ExportLine) -> bool:
    """Whether no answer has refused the line, and it is its fine's latest.

    A line that counts as refused for a newer line of its fine is without a reason until the answer
    is read.
    """
    match line.state:
        case LineState.LIVE:
            fine = workspace.fines[_fine_of(line)]
            return fine.bursar_transaction_id == line.key.bursar_transaction_id
        case LineState.WAITING | LineState.REFUSED:
            return line.reason is None


def _first_fault(
    workspace: Workspace,
    named: list[str],
    lines: dict[str, ExportLine],
    standing: dict[str, ExportLine],
) -> tuple[Reason, int] | None:
    """The first rule, in order of precedence, that a named line breaks, and the line's place."""
    places = {line_id: place for place, line_id in reversed(list(enumerate(named)))}

    def is_paid(line: ExportLine) -> bool:
        match line.state:
            case LineState.LIVE:
                fine = workspace.fines[_fine_of(line)]
                return fine.payments_live > 0 or any(
                    credit.keeps_line(places.keys()) for credit in workspace.credits_of(fine)
                )
            case LineState.WAITING:
                return _money_waits(workspace, line)
            case LineState.REFUSED:
                return False

    checks = (
        (Reason.UNKNOWN_LINE, (line_id not in lines for line_id in named)),
        # A line that is named twice is not live any more when its second turn comes.
        (Reason.NOT_LIVE, (id_ not in standing or places[id_] != n for n, id_ in enumerate(named))),
        (Reason.ALREADY_PAID, (is_paid(standing[line_id]) for line_id in named)),
    )
    for reason, faults in checks:
        for place, is_fault in enumerate(faults):
            if is_fault:
                return reason, place
    return None


def _money_waits(workspace: Workspace, line: ExportLine) -> bool:
    """Whether money is parked for the fine of a line that waits, and no reversal behind it.

    It was there before the answer, and would have been applied to the line. If a newer line waits
    for the fine, the money is for that one.
    """
    if workspace.adopted.of(_fine_of(line))[-1].key != line.key:
        return False
    events = payments_for(_fine_of(line), workspace.parked.now.values())
    reversed_whole = {
        event.original
        for event in events
        if event.original is not None
        and (original := workspace.payments.get(event.original)) is not None
        and event.amount in (None, original.amount)
    }
    return any(
        event.kind.settlement is not None and event.key not in reversed_whole for event in events
    )


def _fine_of(line: ExportLine) -> FineKey:
    return FineKey(line.key.institution_id, line.fine_id)


def _with_index(event: ExportResponse, reason: Reason, place: int, line_id: str) -> Rejected:
    """The rejection with the member at fault, if the answer names lines itself."""
    rejection = unknown_line(line_id) if reason is Reason.UNKNOWN_LINE else rejected(reason)
    if event.outcome is not ResponseOutcome.PARTIAL:
        return rejection
    return replace(rejection, detail=f"refused_lines.{place}.{rejection.detail}")


def _control_holds(event: ExportResponse, batch: SealedBatch) -> bool:
    if event.control is None:
        return True
    count, text = event.control
    try:
        total = parse_sum(text, batch.currency)
    except InvalidAmount:
        return False
    return (count, total) == (batch.count, batch.total)


def _refused(
    workspace: Workspace, line: ExportLine, reason: str, event: ExportResponse
) -> tuple[ExportLine, Effect | None]:
    """A line that its fine has taken. One that counts as refused already only gets the reason."""
    if line.state is LineState.REFUSED:
        return replace(line, reason=reason), None
    return refusal(line, reason, workspace.fines[_fine_of(line)], event.responded_at)


def _kept(
    workspace: Workspace, line: ExportLine, reason: str, event: ExportResponse
) -> AdoptedLine:
    adopted = workspace.adopted.get(line.key)
    assert adopted is not None
    return replace(adopted, refused_reason=reason, refused_at=event.responded_at)


def _state(lines: dict[str, ExportLine], newly_refused: int) -> BatchState:
    """The state of a batch. An answer that refuses a line gives it a reason, even if it waits."""
    refused = newly_refused + sum(line.reason is not None for line in lines.values())
    if refused == 0:
        return BatchState.ACCEPTED
    return BatchState.REFUSED if refused == len(lines) else BatchState.PARTLY_REFUSED
