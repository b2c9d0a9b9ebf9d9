"""One event against the workspace: decided, and what waited for its effect tried again."""

from collections.abc import Iterable
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import assert_never

from . import fines, identities, payments
from .events import (
    BursarPayment,
    FineChanged,
    Incoming,
    Parkable,
    ParkedEvent,
    Rejection,
    institution_of,
)
from .ledger import Fine, FineKey, Payment, SourceKey
from .outcomes import Applied, Outcome, Park, Rejected, Repeat
from .words import ItemState, PaymentKind, Wait
from .workspace import ParkedFailure, ParkedKey, WaitQueue, Workspace

# What a person has to decide is not tried again by itself.
NOT_RETRIED = (Wait.OVERPAID_HELD, Wait.INTERNAL_ERROR)


def retry_parked(workspace: Workspace, queues: Iterable[WaitQueue]) -> None:
    """Whole passes over what waits in the queues, oldest first, until one moves none.

    What waits for a fine that an item touches joins the pass at its place by age, because an excess
    makes a credit and a reversal cancels it; what is older than the item joins the next pass.
    Items that were parked before this fold and cannot be decided go to `workspace.failures`.
    Raises ParkedFailure where one has changed the workspace before it failed.
    """
    reached = dict.fromkeys(queues)
    if workspace.are_still(reached):
        return
    while _pass(workspace, reached):
        pass
    workspace.keep_still(reached)


def _pass(workspace: Workspace, reached: dict[WaitQueue, None]) -> bool:
    """Tries each waiting record once and adds the queues it touches. True if one moved."""
    heap = workspace.ranked(reached)
    heapify(heap)
    in_heap = set(heap)
    moved = False
    while heap:
        rank, key = heappop(heap)
        item = workspace.parked.get(key)
        if item is None or item.wait in NOT_RETRIED or key in workspace.failures:
            continue
        outcome = _retry_noting_failure(workspace, key, item)
        moved = moved or outcome is not None
        fresh = [queue for queue in touched(outcome) if queue not in reached]
        reached |= dict.fromkeys(fresh)
        for later in workspace.ranked(fresh):
            if rank < later[0] and later not in in_heap:
                in_heap.add(later)
                heappush(heap, later)
    return moved


def _retry_noting_failure(
    workspace: Workspace, key: ParkedKey, item: ParkedEvent
) -> Outcome | None:
    """None where the item cannot be decided, as where it did not move."""
    before = workspace.parked.writes
    try:
        return _retry(workspace, key, item)
    except Exception as problem:
        if item.arrival is None:  # this fold parked it: one of its events is the cause
            raise
        workspace.failures[key] = problem
        if workspace.parked.writes != before:
            raise ParkedFailure(tuple(workspace.failures)) from problem
        return None


def decide(workspace: Workspace, event: Parkable) -> Outcome:
    """A change or a payment against the workspace; its identity is known to be new."""
    if isinstance(event, FineChanged):
        fine = workspace.fines.get(event.fine)
        if fine is None:
            return Park(Wait.UNKNOWN_FINE, event.fine_id)
        return fines.change(fine, event)
    if event.kind is PaymentKind.REVERSAL:
        return _decide_reversal(workspace, event)
    found = payments.find(event, workspace.lines.now, workspace.fines.now)
    return payments.pay(found, event) if isinstance(found, Fine) else found


def _decide_reversal(workspace: Workspace, event: BursarPayment) -> Outcome:
    assert event.original is not None
    original = workspace.payments.get(event.original)
    if original is None or original.state is ItemState.PARKED:
        queue = _queue_of(workspace, event.original)
        return Park(Wait.UNKNOWN_ORIGINAL, queue, event.original)
    institution_id = event.key.institution_id
    fine = credit = None
    if original.fine_id is not None:
        fine = workspace.fines.get(FineKey(institution_id, original.fine_id))
    if original.credit_id is not None:
        credit = workspace.fines.get(FineKey(institution_id, original.credit_id))
    line = workspace.lines.get(event.line_key) if event.line_key is not None else None
    return payments.reverse(event, _of_its_line(workspace, original), fine, credit, line)


def _of_its_line(workspace: Workspace, original: Payment) -> Payment:
    """Rejected before its line was known, it was meant for that line's fine all the same."""
    if original.fine_id is not None or original.line_key is None:
        return original
    line = workspace.lines.get(original.line_key)
    return original if line is None else replace(original, fine_id=line.fine_id)


def _queue_of(workspace: Workspace, original: SourceKey) -> str | None:
    """A reversal behind a parked payment waits in that payment's queue."""
    ahead = workspace.parked.get(("payment", original))
    return None if ahead is None else ahead.fine_id


def _retry(workspace: Workspace, key: ParkedKey, item: ParkedEvent) -> Outcome | None:
    """How a parked item moved on: applied, rejected, or into another queue. None: it did not."""
    outcome = decide(workspace, item.event)
    if isinstance(outcome, Park):
        again = replace(item, wait=outcome.wait, fine_id=outcome.fine_id, original=outcome.original)
        if again == item:
            return None
        workspace.park(key, again)
        return None if again.fine_id == item.fine_id else outcome
    workspace.unpark(key)
    workspace.outcomes[f"unparked:{item.wait}"] += 1
    conclude(workspace, item.event, outcome)
    return outcome


def conclude(workspace: Workspace, event: Parkable, outcome: Outcome) -> None:
    """The outcome under the event's identity: parked, rejected, or posted."""
    match outcome:
        case Park():
            item = ParkedEvent(event, outcome.wait, outcome.fine_id, outcome.original)
            workspace.park_newly(
                identities.parked_key(event),
                item,
                lambda: identities.remember(workspace, event, ItemState.PARKED, None, None),
            )
        case Rejected():
            identities.remember(workspace, event, ItemState.REJECTED, outcome.reason, None)
            refuse(workspace, event, outcome)
        case Applied():
            state = ItemState.NOTED if outcome.noted else ItemState.APPLIED
            identities.remember(workspace, event, state, None, outcome)
            post(workspace, outcome, event.origin.traceparent)
        case Repeat():
            raise AssertionError("a repeat is seen before anything is decided")
        case _:
            assert_never(outcome)


def post(workspace: Workspace, outcome: Applied, traceparent: str | None) -> None:
    for effect in outcome.effects:
        workspace.post(effect, traceparent)
    # A payment that was all excess leaves no transaction on its fine, and yet a trace.
    if workspace.fines[outcome.fine.facts.key] != outcome.fine:
        workspace.fines.put(outcome.fine.facts.key, outcome.fine)
    if outcome.loan_closed is not None:
        workspace.close_loan(outcome.loan_closed)


def refuse(workspace: Workspace, event: Incoming, outcome: Rejected) -> None:
    refused = Rejection(outcome.reason, outcome.detail, event.origin, institution_of(event))
    workspace.rejections.append(refused)


def touched(outcome: Outcome | None) -> tuple[FineKey, ...]:
    """The fines an outcome changed or made."""
    if not isinstance(outcome, Applied):
        return ()
    return (outcome.fine.facts.key, *(effect.fine.facts.key for effect in outcome.effects))


def count(workspace: Workspace, outcome: Outcome) -> None:
    match outcome:
        case Applied():
            workspace.outcomes["noted" if outcome.noted else "applied"] += 1
        case Repeat():
            workspace.outcomes["repeat"] += 1
        case Rejected():
            workspace.outcomes[f"rejected:{outcome.reason}"] += 1
        case Park():
            workspace.outcomes[f"parked:{outcome.wait}"] += 1
        case _:
            assert_never(outcome)
