"""The state rules: events in order onto a view; pure, without await (rules.md)."""

from collections.abc import Sequence
from typing import assert_never

from . import exports, fines, identities, operators
from .batches import Response
from .events import (
    BursarPayment,
    Discard,
    Event,
    ExportFine,
    ExportResponse,
    FineChanged,
    FineCreated,
    Parkable,
    Release,
    ReleaseFine,
    Replay,
)
from .ledger import FineKey
from .outcomes import Applied, Rejected, Repeat, rejected
from .settling import conclude, count, decide, post, refuse, retry_parked, touched
from .words import ItemState, Reason
from .workspace import Changes, ParkedFailure, View, WaitQueue, Workspace


def fold(view: View, events: Sequence[Event], queues: Sequence[WaitQueue] = ()) -> Changes:
    """Events in their order, then the `queues` a sweep names. One outcome is counted per event.

    Raises ParkedFailure for all records that were parked before and cannot be decided.
    """
    workspace = Workspace(view)
    try:
        for event in events:
            take(workspace, event)
        for queue in queues:
            retry_parked(workspace, (queue,))
    except Exception:
        _require_none_failed(workspace)  # what was raised may be their doing
        raise
    _require_none_failed(workspace)
    return workspace.changes_made()


def _require_none_failed(workspace: Workspace) -> None:
    if workspace.failures:
        raise ParkedFailure(tuple(workspace.failures)) from next(iter(workspace.failures.values()))


def take(workspace: Workspace, event: Event) -> None:
    """One event: what is parked for its fine goes first, what waits for its effect after."""
    match event:
        case FineCreated():
            _create(workspace, event)
        case FineChanged() | BursarPayment():
            _take_parkable(workspace, event)
        case ExportResponse():
            _respond(workspace, event)
        case ExportFine():
            _export(workspace, event)
        case Release():
            operators.release(workspace, event)
        case Discard():
            operators.discard(workspace, event)
        case ReleaseFine():
            operators.release_fine(workspace, event)
        case Replay():
            identities.forget_rejected(workspace, event.event)
            take(workspace, event.event)
        case _:
            assert_never(event)


def _create(workspace: Workspace, event: FineCreated) -> None:
    known = workspace.fines.get(event.fine)
    outcome = fines.create(known, event)
    count(workspace, outcome)
    if isinstance(outcome, Rejected):
        refuse(workspace, event, outcome)
        return
    # A snapshot of an instant to come counts as of its first reading. Read again, it would win over
    # everything that was learned since.
    is_to_come = workspace.recorded_at is not None and event.patron.seen_at > workspace.recorded_at
    if not (is_to_come and isinstance(outcome, Repeat)):
        workspace.see_patron(event.patron)
    if isinstance(outcome, Applied):
        post(workspace, outcome, event.origin.traceparent)
        retry_parked(workspace, (event.fine,))


def _take_parkable(workspace: Workspace, event: Parkable) -> None:
    known = identities.known(workspace, event)
    if known is not None:
        if known.digest == event.digest:
            count(workspace, Repeat())
            return
        is_change = isinstance(event, FineChanged)
        reason = Reason.CHANGE_CONFLICT if is_change else Reason.PAYMENT_CONFLICT
        count(workspace, rejected(reason))
        refuse(workspace, event, rejected(reason))
        return
    queue = identities.queue_of(workspace, event)
    own: tuple[WaitQueue, ...] = () if queue is None else (queue,)
    retry_parked(workspace, own)
    outcome = decide(workspace, event)
    count(workspace, outcome)
    conclude(workspace, event, outcome)
    behind = () if isinstance(event, FineChanged) else (event.key,)
    retry_parked(workspace, (*own, *touched(outcome), *behind))


def _export(workspace: Workspace, event: ExportFine) -> None:
    fine = workspace.fines[event.fine]
    outcome = exports.export(fine, event)
    count(workspace, outcome)
    line = exports.line_of(fine, event)
    workspace.lines.put(line.key, line)
    post(workspace, outcome, None)
    retry_parked(workspace, (event.fine,))


def _respond(workspace: Workspace, event: ExportResponse) -> None:
    known = workspace.responses.get(event.key)
    if known is not None:
        same = known.digest == event.digest
        outcome: Repeat | Rejected = Repeat() if same else rejected(Reason.RESPONSE_CONFLICT)
        count(workspace, outcome)
        if isinstance(outcome, Rejected):
            refuse(workspace, event, outcome)
        return
    lines = workspace.lines_of(event.batch)
    institution_id = event.key.institution_id
    # What missed its fine is older than the answer: money among it forbids a refusal.
    retry_parked(workspace, [FineKey(institution_id, line.fine_id) for line in lines.values()])
    fine_of = {
        n: workspace.fines[FineKey(institution_id, line.fine_id)] for n, line in lines.items()
    }
    answer = exports.respond(event, workspace.batches.get(event.batch), lines, fine_of)
    if isinstance(answer, Rejected):
        count(workspace, answer)
        named = len(event.refused_lines) or None
        _bind_response(workspace, event, ItemState.REJECTED, answer.reason, named)
        refuse(workspace, event, answer)
        return
    workspace.outcomes["applied"] += 1
    _bind_response(workspace, event, ItemState.APPLIED, None, answer.lines)
    workspace.batches.put(event.batch, answer.batch)
    for line, effect in answer.refused:
        workspace.lines.put(line.key, line)
        workspace.post(effect, event.origin.traceparent)


def _bind_response(
    workspace: Workspace,
    event: ExportResponse,
    state: ItemState,
    reason: Reason | None,
    lines: int | None,
) -> None:
    said = (event.outcome, lines, event.responded_at)
    response = Response(event.key, event.digest, event.batch, state, reason, *said)
    workspace.responses.put(event.key, response)
