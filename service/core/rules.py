"""Decides the events of one commit in their order, from the rows that were read for them from the
database (rules.md).

The functions use no database, no clock and no `await`. A *fold* is one pass of the rules over the
events of one commit.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import assert_never

from . import exports, taking
from .batches import Response
from .credits import closes_with_other
from .decisions import conclude, decide, fine_meant, identities_like, repeat_or_conflict
from .events import (
    AdoptedEvent,
    BursarPayment,
    Discard,
    DropLine,
    Event,
    ExportFine,
    ExportResponse,
    FineChanged,
    FineCreated,
    GiveLine,
    Incoming,
    Parkable,
    Release,
    ReleaseFine,
    Replay,
    TakeLines,
    WaitQueue,
)
from .ledger import Fine, FineFacts, FineKey
from .outcomes import GONE, Applied, Effect, Rejected, Repeat, fines_changed, rejected
from .parked import ParkedFailure, decide_for_operator, retry_parked, retry_sums
from .responses import respond
from .words import DEFAULT_LABELS, ItemState, Kind, LineState, Reason
from .workspace import Changes, View, Workspace

_OF_BATCHES = (ExportFine, TakeLines)


def fold(view: View, events: Sequence[Event], queues: Sequence[WaitQueue] = ()) -> Changes:
    """Decides the events of one commit in their order; then tries the parked records of the wait
    queues `queues` again, which the sweep gives.

    The result counts one outcome for each event. Raises ParkedFailure with the keys of all records
    that were parked in earlier commits and on which the program fails.
    """
    workspace = Workspace(view)
    try:
        for event in events:
            take(workspace, event)
            if not isinstance(event, _OF_BATCHES):
                retry_sums(workspace)
        retry_sums(workspace)  # once for a batch, after all its fines
        for queue in queues:
            _retry(workspace, (queue,))
            _retry_after_taking(workspace)
            retry_sums(workspace)
    except Exception:
        _raise_failures(workspace)  # they may be the cause of what was raised
        raise
    _raise_failures(workspace)
    return workspace.changes_made()


def _raise_failures(workspace: Workspace) -> None:
    if workspace.failures:
        raise ParkedFailure(tuple(workspace.failures)) from next(iter(workspace.failures.values()))


def take(workspace: Workspace, event: Event) -> None:
    """Decides one event. Records that are parked for the event's fine are tried before the event,
    because they are older, and records that wait for what the event changes are tried after it.
    """
    match event:
        case FineCreated():
            _create(workspace, event)
        case FineChanged() | BursarPayment():
            _take_parkable(workspace, event)
        case ExportResponse():
            _respond(workspace, event)
        case ExportFine():
            _export(workspace, event)
        case Release() | Discard():
            _retry(workspace, decide_for_operator(workspace, event))
        case ReleaseFine():
            _release_fine(workspace, event)
        case Replay():
            _forget_rejected(workspace, event.event)
            take(workspace, event.event)
        case TakeLines() | GiveLine() | DropLine():
            _take_adopted(workspace, event)
        case _:
            assert_never(event)
    _retry_after_taking(workspace)


def _retry_after_taking(workspace: Workspace) -> None:
    """Tries what waits for the fines that have taken adopted lines (row 5b.1)."""
    while fines := workspace.adopted.pop_fines_with_lines():
        _retry(workspace, fines)


def _create(workspace: Workspace, event: FineCreated) -> None:
    known = workspace.fines.get(key := event.facts.key)
    if known is not None and not event.has_content(known.facts.digest):
        _count(workspace, event, rejected(Reason.FINE_CONFLICT))
        return
    # A snapshot whose time lies in the future counts as of the time at which it was first read. If
    # it were taken again from a repeat, it would win over everything that came in between.
    if known is None or event.patron.seen_at <= workspace.recorded_at:
        workspace.update_patron(event.patron)
    if known is not None:
        reason = Reason.ALREADY_CLOSED if known.is_closed_in_library else None
        _count(workspace, event, Repeat(reason))
        return
    outcome = _new_fine(event.facts)
    workspace.outcomes[outcome.name] += 1
    workspace.apply(outcome, event.origin.traceparent)
    _take_lines(workspace, (key,))
    _retry(workspace, (key,))


def _new_fine(facts: FineFacts) -> Applied:
    """Adds a fine or a credit to the active balance (rows 2.1 and 2.2)."""
    fine = Fine.created(facts)
    kind, amount = Kind.CREDIT if facts.is_credit else Kind.FINE, facts.amount
    effect = Effect(fine, kind, DEFAULT_LABELS[kind], amount, amount, 0, None, facts.created_at)
    return Applied((effect,), fine)


def _count(workspace: Workspace, event: Incoming, outcome: Repeat | Rejected) -> None:
    """Counts the outcome of a record that changes nothing, and keeps it if it was rejected."""
    workspace.outcomes[outcome.name] += 1
    if isinstance(outcome, Rejected):
        workspace.reject(event, outcome)


def _take_parkable(workspace: Workspace, event: Parkable) -> None:
    if (known := repeat_or_conflict(workspace, event)) is not None:
        _count(workspace, event, known)
        return
    fine = fine_meant(workspace, event)
    queues: tuple[FineKey, ...] = () if fine is None else (fine,)
    _take_lines(workspace, queues)
    _retry(workspace, queues)
    outcome = decide(workspace, event)
    workspace.outcomes[outcome.name] += 1
    conclude(workspace, event, outcome)
    behind = () if isinstance(event, FineChanged) else (event.key,)
    _retry(workspace, (*queues, *fines_changed(outcome), *behind))


def _take_lines(workspace: Workspace, fines: Collection[FineKey]) -> None:
    """Lets fines take adopted lines, if there are any: nearly always there are none."""
    if workspace.adopted:
        taking.take_lines(workspace, fines)


def _retry(workspace: Workspace, queues: Collection[WaitQueue]) -> None:
    """Tries parked records again, unless nothing waits in these queues or nothing has changed."""
    if not workspace.are_still(queues):
        retry_parked(workspace, queues)


def _export(workspace: Workspace, event: ExportFine) -> None:
    fine = workspace.fines[event.fine]
    together = closes_with_other(workspace.credited(fine), workspace.credits_of(fine))
    outcome = exports.export(
        fine, event, closes=together or exports.closes_by_terms(fine, event.terms)
    )
    workspace.outcomes[outcome.name] += 1
    line = exports.line_of(fine, event)
    workspace.lines.put(line.key, line)
    workspace.apply(outcome, None)
    _retry(workspace, (event.fine,))


def _respond(workspace: Workspace, event: ExportResponse) -> None:
    if (known := repeat_or_conflict(workspace, event)) is not None:
        _count(workspace, event, known)
        return
    fines = workspace.fines_of_batch(event.batch)
    _take_lines(workspace, fines)
    # What waits for these fines is older than the answer: money among it forbids a refusal.
    _retry(workspace, fines)
    answer = respond(workspace, event)
    if isinstance(answer, Rejected):
        _count(workspace, event, answer)
        state, reason, count = ItemState.REJECTED, answer.reason, len(event.refused_lines) or None
    else:
        workspace.outcomes["applied"] += 1
        state, reason, count = ItemState.APPLIED, None, answer.lines
        workspace.batches.put(event.batch, answer.batch)
        for line, effect in answer.refused:
            workspace.lines.put(line.key, line)
            if effect is not None:
                workspace.post(effect, event.origin.traceparent)
        for adopted in answer.kept:
            workspace.adopted.put(adopted)
            line = adopted.as_line(LineState.WAITING)
            workspace.lines.put(line.key, line, can_unblock=False)
        _take_lines(workspace, fines)
    response = Response(
        event.key,
        event.digest,
        event.batch,
        state,
        reason,
        event.outcome,
        count,
        event.responded_at,
    )
    workspace.responses.put(event.key, response)


def _take_adopted(workspace: Workspace, event: AdoptedEvent) -> None:
    """Adopted lines without a record: they are taken or dropped, and their fines' queues tried."""
    match event:
        case TakeLines():
            taking.take_lines(workspace, (event.fine,))
        case GiveLine():
            taking.give(workspace, event)
        case DropLine():
            taking.drop(workspace, event)
        case _:
            assert_never(event)


def _release_fine(workspace: Workspace, event: ReleaseFine) -> None:
    """The next run may export the fine. Its balances stay, so there is no transaction."""
    fine = workspace.fines.get(event.fine)
    if fine is None or not fine.is_open_in_library:
        workspace.outcomes[GONE] += 1
        return
    amendment = fine.amendment
    if amendment.unconfirmed:
        amendment = replace(amendment, unconfirmed=False)
    released = replace(fine, refused_reason=None, released=True, amendment=amendment)
    workspace.fines.put(event.fine, released)
    workspace.outcomes["released"] += 1


def _forget_rejected(workspace: Workspace, event: Incoming) -> None:
    """A rejected record keeps its identity, but an operator's replay is decided afresh."""
    if isinstance(event, FineCreated):
        return
    table = identities_like(workspace, event)
    known = table.get(event.key)
    if known and known.state is ItemState.REJECTED and event.has_content(known.digest):
        table.remove(event.key)
