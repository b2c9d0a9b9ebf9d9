"""Decides reversals, by which the bursar takes back a payment or write-off that it has reported
(rules.md, 3: reversals).

The cases are tried in the order of the rows in rules.md, and the first one that matches decides.
Amounts of reversals are in minor units and positive.
"""

from dataclasses import replace

from .batches import ExportLine
from .events import BursarPayment
from .ledger import Fine, Payment
from .outcomes import Applied, Effect, Outcome, Rejected, rejected
from .payments import (
    effect_of,
    is_of_patron,
    mismatch,
    note,
    rejected_for_patron,
    transferred,
    with_status_code,
)
from .words import Considered, ItemState, Kind, Reason, Status

_LEFT_AN_EXCESS = "amount: that payment left an excess, so it can only be reversed whole"


def reverse(
    event: BursarPayment,
    original: Payment,
    fine: Fine | None,
    credit: Fine | None,
    line: ExportLine | None,
) -> Outcome:
    """Decides a reversal, which undoes all or a part of what a payment or write-off did (row 14,
    with 3.2 to 3.11).

    `original` is the payment that is reversed, `fine` the fine that it paid, `credit` the credit
    that was made of its excess, and `line` the export line that the reversal names; each of the
    last three may be None.
    """
    if (rejection := _other_fine(event, original, fine, line)) is not None:
        return rejection  # row 3.2
    if (reason := fault_of_original(event, original)) is not None:
        return rejected(reason)
    left, amount = amount_left(original), _amount(event, original)
    if amount > left:
        return rejected(Reason.AMOUNT_MISMATCH)  # row 3.7
    if original.excess and amount != original.amount:
        return Rejected(Reason.AMOUNT_MISMATCH, _LEFT_AN_EXCESS)  # row 3.11
    if credit is not None and is_in_use(credit, original.excess):
        return rejected(Reason.CREDIT_ALREADY_EXPORTED)  # row 3.8
    assert fine is not None
    live = fine.payments_live - (amount == left)
    freed = replace(with_status_code(fine, event), payments_live=live)
    if original.state is ItemState.NOTED:
        return note(freed, event, Kind.REVERSAL_NOTED, amount)  # row 3.9
    return _undo(freed, event, amount - original.excess, credit)  # row 3.10


def fault_of_original(event: BursarPayment, original: Payment) -> Reason | None:
    """Returns the reason why the payment cannot be reversed, such as another currency than that of
    the reversal; None if it can (rows 3.3 to 3.6).
    """
    if event.currency is not None and original.currency not in (None, event.currency):
        return Reason.CURRENCY_MISMATCH  # row 3.3
    if original.state is ItemState.REJECTED:
        return Reason.ORIGINAL_REJECTED  # row 3.4
    if original.kind.settlement is None:
        return Reason.NOT_REVERSIBLE  # row 3.5
    return Reason.ALREADY_REVERSED if amount_left(original) == 0 else None  # row 3.6


def amount_left(payment: Payment) -> int:
    """Returns how much of a payment or write-off can still be reversed.

    Older releases, which reversed payments only as a whole, have stored `reversed_by` without an
    amount; nothing is left of such a payment.
    """
    if payment.reversed_by is not None or payment.amount is None:
        return 0
    return payment.amount - payment.reversed_amount


def after_reversal(original: Payment, event: BursarPayment) -> Payment:
    """Returns the reversed payment with the amount of this reversal added to what was reversed of
    it.
    """
    amount = _amount(event, original)
    return replace(
        original,
        reversed_amount=original.reversed_amount + amount,
        reversed_by=event.key.id if amount == amount_left(original) else None,
    )


def _amount(event: BursarPayment, original: Payment) -> int:
    """How much a reversal takes back; one that names no amount takes all that is left."""
    return amount_left(original) if event.amount is None else event.amount


def _undo(fine: Fine, event: BursarPayment, amount: int, credit: Fine | None) -> Applied:
    """Makes `amount` outstanding again, and cancels the credit of the original's excess."""
    effects: tuple[Effect, ...] = ()
    if amount:
        effects = (made_outstanding(fine, event, amount),)
        fine = effects[0].fine
    if credit is not None:
        effects += (cancelled(credit, event, fine),)
    return Applied(effects, fine, applied=amount)


def is_in_use(credit: Fine, excess: int) -> bool:
    """Whether the credit that was made of a payment's excess was exported or closed, or has another
    amount left than `excess` (row 3.8).
    """
    return not credit.is_open_in_library or abs(credit.remaining) != excess


def made_outstanding(fine: Fine, event: BursarPayment, amount: int) -> Effect:
    """Returns the transaction by which the fine owes `amount` at the bursar again (row 3.10)."""
    return transferred(fine, event, Kind.REVERSAL, amount, -fine.facts.toward_zero(amount))


def cancelled(credit: Fine, event: BursarPayment, fine: Fine) -> Effect:
    """Returns the transaction that closes the credit that was made of a payment's excess; `fine` is
    the fine of that payment.

    The label of the transaction comes from the terms of the fine, because the credit has none of
    its own (row 3.10).
    """
    closed = replace(credit, status=Status.CLOSED, considered=Considered.CLOSED, remaining=0)
    back, kind = abs(credit.remaining), Kind.CREDIT_CANCELLED
    return effect_of(closed, event, kind, back, active=back, terms=fine.terms)


def _other_fine(
    event: BursarPayment, original: Payment, fine: Fine | None, line: ExportLine | None
) -> Rejected | None:
    """The rejection of a reversal that names another fine or patron than its original has."""
    if (fields := _other_reference(event, original, line)) is not None:
        return mismatch(*fields)
    return rejected_for_patron() if fine is not None and not is_of_patron(fine, event) else None


def _other_reference(
    event: BursarPayment, original: Payment, line: ExportLine | None
) -> tuple[str, str] | None:
    """The two members by which a reversal names different fines, if any (row 5)."""
    by_line = event.bursar_transaction_id
    if line is not None and event.fine_id not in (None, line.fine_id):
        return "bursar_transaction_id", "fine_id"
    if event.fine_id is not None and event.fine_id != original.fine_id:
        is_known = original.fine_id is not None or original.bursar_transaction_id is not None
        return ("reverses_payment_id", "fine_id") if is_known else None
    if by_line in (None, original.bursar_transaction_id):
        return None
    if line is None or line.fine_id != original.fine_id:
        return "reverses_payment_id", "bursar_transaction_id"
    return None
