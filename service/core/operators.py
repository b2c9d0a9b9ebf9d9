"""What a person decides about a waiting record or a held fine; each is one event (rules.md, 3)."""

from dataclasses import replace

from . import payments
from .events import BursarPayment, Discard, Release, ReleaseFine
from .ledger import Fine
from .outcomes import Outcome, Park, rejected
from .settling import conclude, count, retry_parked, touched
from .words import Overpayment, Reason, Wait
from .workspace import ParkedKey, WaitQueue, Workspace

GONE = "gone"  # someone or something else was faster: nothing is left to decide


def release(workspace: Workspace, event: Release) -> None:
    """What is held for its excess becomes a payment and a credit; the rest is tried again."""
    key = _key(event)
    item = workspace.parked.get(key)
    if item is None:
        workspace.outcomes[GONE] += 1
        return
    if item.wait is not Wait.OVERPAID_HELD:
        retry_parked(workspace, _queues(event))
        return
    assert isinstance(item.event, BursarPayment)
    outcome = _with_credit(workspace, item.event)
    count(workspace, outcome)
    if isinstance(outcome, Park):
        workspace.park(key, replace(item, wait=outcome.wait))
        return
    workspace.unpark(key)
    conclude(workspace, item.event, outcome)
    retry_parked(workspace, (*_queues(event), *touched(outcome), event.key))


def _with_credit(workspace: Workspace, event: BursarPayment) -> Outcome:
    found = payments.find(event, workspace.lines.now, workspace.fines.now)
    if not isinstance(found, Fine):
        return found
    return payments.pay(found, event, Overpayment.CREDIT)


def discard(workspace: Workspace, event: Discard) -> None:
    """Rejected for good; a reversal that waits behind it learns that its original is."""
    key = _key(event)
    item = workspace.parked.get(key)
    if item is None:
        workspace.outcomes[GONE] += 1
        return
    outcome = rejected(Reason.DISCARDED)
    count(workspace, outcome)
    workspace.unpark(key)
    conclude(workspace, item.event, outcome)
    retry_parked(workspace, (*_queues(event), event.key))


def release_fine(workspace: Workspace, event: ReleaseFine) -> None:
    """The next run may claim it; neither balance moves, so there is no transaction."""
    fine = workspace.fines.get(event.fine)
    if fine is None or not fine.is_open_in_library:
        workspace.outcomes[GONE] += 1
        return
    workspace.fines.put(event.fine, replace(fine, refused_reason=None, released=True))
    workspace.outcomes["released"] += 1


def _key(event: Release | Discard) -> ParkedKey:
    return ("change" if event.is_change else "payment", event.key)


def _queues(event: Release | Discard) -> tuple[WaitQueue, ...]:
    return tuple(queue for queue in (event.fine, event.original) if queue is not None)
