"""Changes and payments under their identity: known, meant for a fine, remembered (rules.md, 3)."""

from dataclasses import replace

from .batches import Response
from .events import (
    BursarPayment,
    ExportResponse,
    FineChanged,
    FineCreated,
    Incoming,
    Parkable,
)
from .ledger import Change, FineKey, Payment, SourceKey
from .outcomes import Applied
from .words import ItemState, Reason
from .workspace import ChangeTracker, ParkedKey, Workspace


def known(workspace: Workspace, event: Parkable) -> Change | Payment | None:
    if isinstance(event, FineChanged):
        return workspace.changes.get(event.key)
    return workspace.payments.get(event.key)


def forget_rejected(workspace: Workspace, event: Incoming) -> None:
    """A rejected record keeps its identity, but an operator's replay is decided afresh."""
    if isinstance(event, FineCreated):
        return
    bound: (
        ChangeTracker[SourceKey, Change]
        | ChangeTracker[SourceKey, Payment]
        | ChangeTracker[SourceKey, Response]
    )
    bound = workspace.payments
    if isinstance(event, FineChanged):
        bound = workspace.changes
    elif isinstance(event, ExportResponse):
        bound = workspace.responses
    known = bound.get(event.key)
    if known is None or known.state is not ItemState.REJECTED or known.digest != event.digest:
        return
    bound.remove(event.key)


def parked_key(event: Parkable) -> ParkedKey:
    return ("change" if isinstance(event, FineChanged) else "payment", event.key)


def queue_of(workspace: Workspace, event: Parkable) -> FineKey | None:
    """The fine an event is for, as far as it is known."""
    if isinstance(event, FineChanged):
        return event.fine
    named = meant(workspace, event)
    if named is None and event.original is not None:
        original = workspace.payments.get(event.original)
        named = original.fine_id if original is not None else None
    return FineKey(event.key.institution_id, named) if named is not None else None


def meant(workspace: Workspace, event: BursarPayment) -> str | None:
    """The fine a payment names, as far as it is known, for one that was not applied."""
    line = workspace.lines.get(event.line_key) if event.line_key is not None else None
    if line is not None and event.fine_id is None:
        return line.fine_id
    return event.fine_id


def remember(
    workspace: Workspace,
    event: Parkable,
    state: ItemState,
    reason: Reason | None,
    applied: Applied | None,
) -> None:
    if isinstance(event, FineChanged):
        change = Change(event.key, event.digest, state, event.fine_id, reason)
        workspace.changes.put(event.key, change)
        return
    fine = meant(workspace, event) if applied is None else applied.fine.facts.fine_id
    workspace.payments.put(event.key, _payment(event, state, reason, fine, applied))
    if applied is not None and event.original is not None:
        original = workspace.payments[event.original]
        workspace.payments.put(event.original, replace(original, reversed_by=event.key.id))


def _payment(
    event: BursarPayment,
    state: ItemState,
    reason: Reason | None,
    fine_id: str | None,
    applied: Applied | None,
) -> Payment:
    return Payment(
        key=event.key,
        kind=event.kind,
        digest=event.digest,
        state=state,
        fine_id=fine_id,
        bursar_transaction_id=event.bursar_transaction_id,
        currency=event.currency,
        amount=event.amount,
        paid_at=event.paid_at,
        applied=applied.applied if applied else 0,
        excess=applied.excess if applied else 0,
        credit_id=applied.credit_id if applied else None,
        reverses=event.reverses_payment_id,
        reason=reason,
    )
