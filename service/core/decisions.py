"""Decides what a change in the library or a bursar's payment does, and stores the outcome under the
record's identity (rules.md, 3).
"""

from dataclasses import replace
from typing import assert_never

from . import after_export, fines, payments, reversals, sums, taking
from .batches import Response
from .changes import ChangeTracker
from .events import BursarPayment, ExportResponse, FineChanged, Parkable, ParkedEvent
from .ledger import Change, Fine, FineKey, Payment, SourceKey
from .outcomes import Applied, Outcome, Park, Rejected, Repeat, fines_changed, rejected
from .words import ItemState, PaymentKind, Reason, Wait
from .workspace import Workspace

# The tables of records that are known by institution, source and id.
IdentityTable = (
    ChangeTracker[SourceKey, Change]
    | ChangeTracker[SourceKey, Payment]
    | ChangeTracker[SourceKey, Response]
)
_CONFLICTS = {
    FineChanged: Reason.CHANGE_CONFLICT,
    BursarPayment: Reason.PAYMENT_CONFLICT,
    ExportResponse: Reason.RESPONSE_CONFLICT,
}


def identities_like(workspace: Workspace, event: Parkable | ExportResponse) -> IdentityTable:
    """Returns the table that has the outcomes of records of the event's type by their identity."""
    tables: dict[type, IdentityTable] = {
        FineChanged: workspace.changes,
        BursarPayment: workspace.payments,
        ExportResponse: workspace.responses,
    }
    return tables[type(event)]


def repeat_or_conflict(
    workspace: Workspace, event: Parkable | ExportResponse
) -> Repeat | Rejected | None:
    """Decides a record with an identity that was read before: as a repeat if the content is the
    same, else as a conflict (rows 2 and 3). Returns None if the identity is new.
    """
    known = identities_like(workspace, event).get(event.key)
    if known is None:
        return None
    return Repeat() if event.has_content(known.digest) else rejected(_CONFLICTS[type(event)])


def decide(workspace: Workspace, event: Parkable) -> Outcome:
    """Decides a change in the library or a bursar's payment, whether it is new or was parked, by
    the present state of the rows in memory.
    """
    if isinstance(event, FineChanged):
        changed = workspace.fines.get(event.fine)
        if changed is None:
            return Park(Wait.UNKNOWN_FINE, event.fine_id)  # row 2b.1
        if after_export.makes_credit(changed, event):
            line = workspace.lines.get(changed.line_key)
            return after_export.make_credit(changed, event, line, workspace.credits_of(changed))
        return fines.change(changed, event)
    match event.kind:
        case PaymentKind.REVERSAL:
            return _decide_reversal(workspace, event)
        case PaymentKind.PAYMENT if event.account is not None:
            return sums.decide_sum(workspace, event)
        case PaymentKind.PAYMENT | PaymentKind.WRITE_OFF | PaymentKind.STATUS:
            fine = payments.find(event, workspace.lines.now, workspace.fines.now)
            if not isinstance(fine, Fine):
                return fine
            if workspace.adopted and taking.has_to_wait(workspace, fine, event):
                return Park(Wait.NOT_EXPORTED, fine.facts.fine_id)  # row 5b.7
            return payments.pay(fine, event)
        case _:
            assert_never(event.kind)


def _decide_reversal(workspace: Workspace, event: BursarPayment) -> Outcome:
    assert event.original is not None
    original = workspace.payments.get(event.original)
    if original is None or original.state is ItemState.PARKED:  # row 3.1
        ahead = workspace.parked.get(("payment", event.original))
        if ahead is None and original is not None:
            # Nothing that this fold knows can set the original free, so that its row was not read:
            # the reversal stays in the queue in which it is.
            ahead = workspace.parked.get(("payment", event.key))
        return Park(Wait.UNKNOWN_ORIGINAL, ahead.fine_id if ahead else None, event.original)
    if event.original in workspace.sums.now:
        return sums.reverse_sum(workspace, event, original)
    line = workspace.lines.get(event.line_key)
    return reversals.reverse(
        event,
        _with_fine_of_line(workspace, original),
        _fine_of(workspace, event, original.fine_id),
        _fine_of(workspace, event, original.credit_id),
        line,
    )


def _fine_of(workspace: Workspace, event: BursarPayment, fine_id: str | None) -> Fine | None:
    if fine_id is None:
        return None
    return workspace.fines.get(FineKey(event.key.institution_id, fine_id))


def _with_fine_of_line(workspace: Workspace, original: Payment) -> Payment:
    """A payment that was rejected before its line was known was meant for that line's fine."""
    line = workspace.lines.get(original.line_key)
    if original.fine_id is not None or line is None:
        return original
    return replace(original, fine_id=line.fine_id)


def conclude(workspace: Workspace, event: Parkable, outcome: Outcome) -> None:
    """Carries out the outcome of an event: parks or rejects the record, or posts its transactions,
    and stores the outcome under the event's identity.
    """
    match outcome:
        case Park():
            remember(workspace, event, ItemState.PARKED)
            item = ParkedEvent(event, outcome.wait, outcome.fine_id, outcome.original)
            workspace.park(item, is_new=True)
        case Rejected():
            remember(workspace, event, ItemState.REJECTED, outcome.reason)
            workspace.reject(event, outcome)
            if outcome.fine is not None:  # an instant that lets no parked record go on
                workspace.fines.put(outcome.fine.facts.key, outcome.fine, can_unblock=False)
        case Applied():
            remember(workspace, event, outcome.name, applied=outcome)
            workspace.apply(outcome, event.origin.traceparent)
            if workspace.adopted:
                taking.take_lines(workspace, fines_changed(outcome))
        case Repeat():
            raise AssertionError("a repeat is known before anything is decided")
        case _:
            assert_never(outcome)


def remember(
    workspace: Workspace,
    event: Parkable,
    state: ItemState,
    reason: Reason | None = None,
    applied: Applied | None = None,
) -> None:
    """Stores the outcome of an event under its identity, so that a repeat is recognised."""
    if isinstance(event, FineChanged):
        change = Change(event.key, event.digest, state, event.fine_id, reason)
        workspace.changes.put(event.key, change)
        return
    payment = Payment(
        key=event.key,
        kind=event.kind,
        digest=event.digest,
        state=state,
        fine_id=_fine_id_of(applied) if applied else _fine_id_meant(workspace, event),
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
    # Reversals that wait behind a parked payment go on waiting.
    workspace.payments.put(event.key, payment, can_unblock=state is not ItemState.PARKED)
    if applied is not None and event.original is not None:
        original = workspace.payments[event.original]
        workspace.payments.put(event.original, reversals.after_reversal(original, event))


def _fine_id_of(applied: Applied) -> str | None:
    """The fine of a payment; a sum without a line has parts instead."""
    return None if applied.fine is None else applied.fine.facts.fine_id


def fine_meant(workspace: Workspace, event: Parkable) -> FineKey | None:
    """Returns the fine for which a change or payment is meant; None if that is not known, or if a
    payment names only a patron.
    """
    if isinstance(event, FineChanged):
        return event.fine
    fine_id = _fine_id_meant(workspace, event)
    if fine_id is None:
        original = workspace.payments.get(event.original)
        fine_id = original.fine_id if original else None
    return None if fine_id is None else FineKey(event.key.institution_id, fine_id)


def _fine_id_meant(workspace: Workspace, event: BursarPayment) -> str | None:
    """The fine that a payment names itself, or that of the line that it names."""
    line = workspace.lines.get(event.line_key)
    return line.fine_id if line is not None and event.fine_id is None else event.fine_id
