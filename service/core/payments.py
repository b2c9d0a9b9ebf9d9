"""Decides what the bursar reports on an exported fine: payments, write-offs and statuses (rules.md,
3).

The cases are tried in the order of the rows in rules.md, and the first one that matches decides.
Amounts are in minor units; those of payments are always positive, and those of credits are
negative.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from .amendment import Amendment
from .batches import ExportLine
from .credits import made_credit, made_credit_id
from .events import BursarPayment
from .ledger import Fine, FineKey, LineKey, PaymentRef, SourceKey
from .outcomes import Applied, Effect, Outcome, Park, Rejected, rejected, unknown_line
from .terms import Terms
from .words import (
    BURSAR_COMMENT,
    Considered,
    ImportCredits,
    ItemState,
    Kind,
    Mode,
    Overpayment,
    Reason,
    Status,
    Wait,
)

UNCONFIRMED = Amendment(unconfirmed=True)


def excess_credit_id(key: SourceKey) -> str:
    """Returns the fine id of the credit that is made of a payment's excess; it is computed from the
    payment's identity.
    """
    return made_credit_id(*key)


def find(
    event: BursarPayment, lines: Mapping[LineKey, ExportLine], fines: Mapping[FineKey, Fine]
) -> Fine | Rejected | Park:
    """Returns the fine that a payment names by its export line, its fine id or both; if there is
    none, returns how the payment is rejected or parked (rows 4 and 5).
    """
    line = lines.get(event.line_key) if event.line_key is not None else None
    if line is None and event.fine_id is None:
        return unknown_line(event.bursar_transaction_id)
    if line is not None and event.fine_id not in (None, line.fine_id):
        return mismatch("bursar_transaction_id", "fine_id")
    fine_id = event.fine_id if line is None else line.fine_id
    assert fine_id is not None
    fine = fines.get(FineKey(event.key.institution_id, fine_id))
    if fine is None:
        return Park(Wait.UNKNOWN_FINE, fine_id)
    return fine if is_of_patron(fine, event) else rejected_for_patron()


def is_of_patron(fine: Fine, event: BursarPayment) -> bool:
    """Whether the record names the patron of the fine, or no patron at all (row 5)."""
    return event.patron_id in (None, fine.facts.patron_id)


def rejected_for_patron() -> Rejected:
    """Returns the rejection of a record that names another patron than the one who owes the fine
    (row 5).
    """
    return Rejected(Reason.REFERENCE_MISMATCH, "patron_id: is not that of the fine")


def pay(fine: Fine, event: BursarPayment, overpayment: Overpayment | None = None) -> Outcome:
    """Decides a payment, write-off or status that the bursar reports on this fine (rows 6 to 13,
    and 15).

    `overpayment` is given if an operator has decided about a payment that was held because it pays
    too much. Without an operator's decision, the terms of the fine's export say what happens to a
    payment of too much.
    """
    if event.currency not in (None, fine.facts.currency):
        return rejected(Reason.CURRENCY_MISMATCH)  # row 6
    if fine.is_open_in_library:
        return Park(Wait.NOT_EXPORTED, fine.facts.fine_id)  # row 7
    if fine.bursar_transaction_id is None:
        return rejected(Reason.NOT_LIVE)  # row 8: closed in the library
    terms = fine.terms
    assert terms is not None
    if terms.mode is Mode.EXPORT_ONLY:
        return rejected(Reason.IMPORT_NOT_ACTIVE)  # row 8
    fine = with_status_code(fine, event)
    if event.kind.settlement is None:
        return note(fine, event, Kind.STATUS_NOTED, 0)  # row 9: a status
    assert event.amount is not None
    paid = replace(fine, payments_live=fine.payments_live + 1)
    if fine.status is Status.CLOSED:
        return note(paid, event, Kind.PAYMENT_NOTED, event.amount)  # row 9: a lost fine
    rule = overpayment or overpayment_rule(paid, terms, event.amount)
    return _settle(paid, event, event.amount, rule)


def overpayment_rule(fine: Fine, terms: Terms, amount: int) -> Overpayment:
    """Returns what the terms say about a payment of `amount`: an excess that they would make a
    credit is held for an operator if it is above their maximum.
    """
    excess = amount - abs(fine.outstanding)
    maximum = terms.excess_max(fine.outstanding, fine.facts.currency)
    if terms.overpayment is Overpayment.CREDIT and excess > maximum:
        return Overpayment.HOLD
    return terms.overpayment


def _settle(paid: Fine, event: BursarPayment, amount: int, overpayment: Overpayment) -> Outcome:
    """Rows 10 to 13, and 15: pays what is outstanding, and decides about the excess."""
    fits = min(amount, abs(paid.outstanding))
    excess = amount - fits
    if excess and (paid.facts.is_credit or not event.kind.may_exceed):
        return rejected(Reason.EXCEEDS_OUTSTANDING)  # rows 13 and 15
    settled = (settlement(paid, event, fits),) if fits else ()
    after = settled[0].fine if settled else paid
    if not excess:
        return Applied(settled, after, applied=fits)  # rows 10 and 11
    match overpayment:  # row 12
        case Overpayment.REJECT:
            return rejected(Reason.OVERPAID)
        case Overpayment.HOLD:
            return Park(Wait.OVERPAID_HELD, paid.facts.fine_id)
        case Overpayment.CREDIT:
            credit = excess_credit(paid, event, excess)
            credit_id = credit.fine.facts.fine_id
            return Applied((*settled, credit), after, fits, excess, credit_id)
        case _:
            assert_never(overpayment)


def settlement(fine: Fine, event: BursarPayment, fits: int) -> Effect:
    """Returns the transaction that takes the amount `fits`, which is not more than the fine owes,
    off what the fine owes at the bursar (rows 10 and 11).
    """
    kind = event.kind.settlement
    assert kind is not None
    return transferred(fine, event, kind, fits, fine.facts.toward_zero(fits))


def transferred(fine: Fine, event: BursarPayment, kind: Kind, amount: int, step: int) -> Effect:
    """Returns the transaction that adds the signed amount `step` to what the fine owes at the
    bursar.
    """
    outstanding = fine.outstanding + step
    considered = Considered.ACTIVE if outstanding else Considered.CLOSED
    at = event.paid_at  # in one step with the amount: each copy of a fine takes its time
    after = replace(fine, outstanding=outstanding, considered=considered, changed_at=at)
    return effect_of(after, event, kind, amount, transferred=step)


def excess_credit(fine: Fine, event: BursarPayment, excess: int) -> Effect:
    """Returns the transaction that makes the excess of a payment a new credit on the account's
    active balance (row 12).

    The new credit refers to `fine`, and has the fine's patron and owner.
    """
    credit_id = excess_credit_id(event.key)
    credit = made_credit(fine, credit_id, excess, event.paid_at, BURSAR_COMMENT)
    if _needs_confirmation(fine, event):
        credit = replace(credit, amendment=UNCONFIRMED)
    return effect_of(credit, event, Kind.CREDIT, -excess, active=-excess, terms=fine.terms)


def _needs_confirmation(fine: Fine, event: BursarPayment) -> bool:
    """Whether a person has to confirm the credit: a file may have been read in a wrong way."""
    assert fine.terms is not None
    return event.import_file is not None and fine.terms.import_credits is ImportCredits.CONFIRM


def note(fine: Fine, event: BursarPayment, kind: Kind, amount: int) -> Applied:
    """Returns a transaction that notes a bursar's record on the fine and changes no balance (row 9,
    and row 3.9 of reversals).
    """
    effect = effect_of(fine, event, kind, amount)
    return Applied((effect,), effect.fine, name=ItemState.NOTED)


def mismatch(first: str, second: str) -> Rejected:
    """Returns the rejection of a record of which two members name different fines; it names both
    members, because the sender has to compare them.
    """
    return Rejected(Reason.REFERENCE_MISMATCH, f"{first}, {second}: must name the same fine")


def with_status_code(fine: Fine, event: BursarPayment) -> Fine:
    """Returns the fine with the record's `status_code`, the bursar system's own word for the fine's
    state; if the record has none, the earlier one stays.
    """
    return replace(fine, status_code=event.status_code) if event.status_code else fine


def effect_of(
    fine: Fine,
    event: BursarPayment,
    kind: Kind,
    amount: int,
    *,
    active: int = 0,
    transferred: int = 0,
    terms: Terms | None = None,
) -> Effect:
    """Returns one ledger transaction of which this bursar's record is the cause.

    The label of the transaction comes from `terms`. `terms` are given for a new credit, which has
    no terms of its own: they are those of the fine that was paid. Without `terms`, the label comes
    from the terms of `fine`.
    """
    terms = terms or fine.terms
    assert terms is not None  # the bursar reports on exported fines only
    cause = PaymentRef(
        event.key.source,
        event.key.id,
        event.reverses_payment_id,
        event.status_code,
        event.comment,
    )
    return Effect(
        fine if fine.changed_at == event.paid_at else replace(fine, changed_at=event.paid_at),
        kind,
        terms.label(kind),
        amount,
        active,
        transferred,
        cause,
        event.paid_at,
        BURSAR_COMMENT,
    )
