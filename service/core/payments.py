"""The bursar's money on an exported fine (rules.md, 3): ladders, cheapest refusal first."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import assert_never

from .batches import ExportLine
from .events import BursarPayment
from .ledger import (
    Fine,
    FineFacts,
    FineKey,
    LineKey,
    Payment,
    PaymentRef,
    SourceKey,
    Terms,
)
from .outcomes import Applied, Effect, Outcome, Park, Rejected, rejected
from .words import (
    BURSAR_COMMENT,
    CREDIT_TYPE,
    EXCESS_PREFIX,
    Considered,
    ItemState,
    Kind,
    Mode,
    Overpayment,
    PaymentKind,
    Reason,
    Status,
    Wait,
)


def excess_credit_id(key: SourceKey) -> str:
    """The fine id of the credit that a payment's excess becomes: deterministic (rules.md, 3)."""
    return EXCESS_PREFIX + sha256("\n".join(key).encode()).hexdigest()[:32]


def find(
    event: BursarPayment, lines: Mapping[LineKey, ExportLine], fines: Mapping[FineKey, Fine]
) -> Fine | Rejected | Park:
    """The fine a payment means: by bursar id, then by fine id (rows 4 and 5)."""
    line = lines.get(event.line_key) if event.line_key is not None else None
    if line is None and event.fine_id is None:
        return rejected(Reason.UNKNOWN_LINE)
    if line is not None and event.fine_id is not None and event.fine_id != line.fine_id:
        return _mismatch("bursar_transaction_id", "fine_id")
    fine_id = event.fine_id if line is None else line.fine_id
    assert fine_id is not None
    fine = fines.get(FineKey(event.key.institution_id, fine_id))
    return Park(Wait.UNKNOWN_FINE, fine_id) if fine is None else fine


def pay(fine: Fine, event: BursarPayment, overpayment: Overpayment | None = None) -> Outcome:
    """A payment, write-off or status on its fine (rows 6-13 and 15).

    `overpayment` is a person's decision about a held one; otherwise the profile's counts, and its
    maximum with it.
    """
    if event.currency is not None and event.currency != fine.facts.currency:
        return rejected(Reason.CURRENCY_MISMATCH)
    if fine.is_open_in_library:
        return Park(Wait.NOT_EXPORTED, fine.facts.fine_id)
    if (
        fine.bursar_transaction_id is None
    ):  # closed in the library: the bursar has nothing to collect
        return rejected(Reason.NOT_LIVE)
    assert fine.terms is not None
    if fine.terms.mode is Mode.EXPORT_ONLY:
        return rejected(Reason.IMPORT_NOT_ACTIVE)
    if event.kind is PaymentKind.STATUS:
        return note(_seen(fine, event), event, Kind.STATUS_NOTED, 0)
    assert event.amount is not None
    if fine.status is Status.CLOSED:  # lost items: the money is noted, nothing moves
        counted = replace(_seen(fine, event), payments_live=fine.payments_live + 1)
        return note(counted, event, Kind.PAYMENT_NOTED, event.amount)
    rule = overpayment or overpayment_rule(fine, fine.terms, event.amount)
    return _settle(fine, event, event.amount, rule)


def overpayment_rule(fine: Fine, terms: Terms, amount: int) -> Overpayment:
    """The profile's rule for a payment of `amount`; an excess above its maximum is held."""
    excess = amount - abs(fine.outstanding)
    maximum = terms.excess_max(fine.outstanding, fine.facts.currency)
    if terms.overpayment is Overpayment.CREDIT and excess > maximum:
        return Overpayment.HOLD
    return terms.overpayment


def _settle(fine: Fine, event: BursarPayment, amount: int, overpayment: Overpayment) -> Outcome:
    """Rows 10-13 and 15: what fits settles the fine; the excess goes by the profile."""
    fits = min(amount, abs(fine.outstanding))
    paid = replace(_seen(fine, event), payments_live=fine.payments_live + 1)
    settled = _settlement(paid, event, fits) if fits else None
    effects = (settled,) if settled else ()
    after = settled.fine if settled else paid
    excess = amount - fits
    if excess == 0:
        return Applied(effects, after, applied=fits)
    if event.kind is PaymentKind.WRITE_OFF or fine.facts.is_credit:
        return rejected(Reason.EXCEEDS_OUTSTANDING)
    match overpayment:
        case Overpayment.REJECT:
            return rejected(Reason.OVERPAID)
        case Overpayment.HOLD:
            return Park(Wait.OVERPAID_HELD, fine.facts.fine_id)
        case Overpayment.CREDIT:
            return with_excess(after, event, effects, fits, excess)
        case _:
            assert_never(overpayment)


def with_excess(
    after: Fine, event: BursarPayment, effects: tuple[Effect, ...], fits: int, excess: int
) -> Applied:
    """The excess becomes a credit on the active balance, in a transaction of its own (row 12)."""
    credit = _excess_credit(after, event, excess)
    return Applied(
        (*effects, credit),
        after,
        applied=fits,
        excess=excess,
        credit_id=credit.fine.facts.fine_id,
    )


def _settlement(fine: Fine, event: BursarPayment, fits: int) -> Effect:
    """Towards zero by `fits`; a credit from the other side."""
    step = fits if fine.facts.is_credit else -fits
    outstanding = fine.outstanding + step
    considered = Considered.ACTIVE if outstanding else Considered.CLOSED
    after = replace(fine, outstanding=outstanding, considered=considered)
    kind = Kind.WRITE_OFF if event.kind is PaymentKind.WRITE_OFF else Kind.PAYMENT
    return _effect(after, event, kind, fits, 0, step)


def _excess_credit(fine: Fine, event: BursarPayment, excess: int) -> Effect:
    paid = fine.facts
    facts = FineFacts(
        institution_id=paid.institution_id,
        fine_id=excess_credit_id(event.key),
        patron_id=paid.patron_id,
        type=CREDIT_TYPE,
        amount=-excess,
        currency=paid.currency,
        owner=paid.owner,
        created_at=event.paid_at,
        comment=BURSAR_COMMENT,
        credit_of=paid.fine_id,
    )
    credit = Fine(
        facts, Status.ACTIVE, Considered.ACTIVE, remaining=-excess, changed_at=event.paid_at
    )
    effect = _effect(credit, event, Kind.CREDIT, -excess, -excess, 0)
    return replace(effect, terms=fine.terms)


def note(fine: Fine, event: BursarPayment, kind: Kind, amount: int) -> Applied:
    """A transaction without effect on the balances (row 9)."""
    effect = _effect(fine, event, kind, amount, 0, 0)
    return Applied((effect,), effect.fine, noted=True)


def reverse(
    event: BursarPayment,
    original: Payment,
    fine: Fine | None,
    credit: Fine | None,
    line: ExportLine | None,
) -> Outcome:
    """Row 14: undoes exactly what the original did, whole and once. `fine` is the original's."""
    if (fields := _other_reference(event, original, line)) is not None:
        return _mismatch(*fields)
    if event.currency is not None and original.currency not in (None, event.currency):
        return rejected(Reason.CURRENCY_MISMATCH)
    if original.state is ItemState.REJECTED:
        return rejected(Reason.ORIGINAL_REJECTED)
    if original.kind in (PaymentKind.REVERSAL, PaymentKind.STATUS):
        return rejected(Reason.NOT_REVERSIBLE)
    if original.reversed_by is not None:
        return rejected(Reason.ALREADY_REVERSED)
    if event.amount is not None and event.amount != original.amount:
        return rejected(Reason.AMOUNT_MISMATCH)
    if credit is not None and not _is_whole(credit):
        return rejected(Reason.CREDIT_ALREADY_EXPORTED)
    assert fine is not None
    freed = replace(_seen(fine, event), payments_live=fine.payments_live - 1)
    if original.state is ItemState.NOTED:
        assert original.amount is not None  # a status, which has none, cannot be reversed
        return note(freed, event, Kind.REVERSAL_NOTED, original.amount)
    return _undo(freed, event, original, credit)


def _undo(fine: Fine, event: BursarPayment, original: Payment, credit: Fine | None) -> Applied:
    effects: tuple[Effect, ...] = ()
    after = fine
    if original.applied:
        step = -original.applied if fine.facts.is_credit else original.applied
        outstanding = fine.outstanding + step
        reopened = replace(fine, outstanding=outstanding, considered=Considered.ACTIVE)
        effect = _effect(reopened, event, Kind.REVERSAL, original.applied, 0, step)
        effects, after = (effect,), effect.fine
    if credit is not None:
        effects = (*effects, _cancelled(credit, event, fine.terms))
    return Applied(effects, after, applied=original.applied)


def _cancelled(credit: Fine, event: BursarPayment, terms: Terms | None) -> Effect:
    closed = replace(credit, status=Status.CLOSED, considered=Considered.CLOSED, remaining=0)
    excess = abs(credit.remaining)
    effect = _effect(closed, event, Kind.CREDIT_CANCELLED, excess, excess, 0)
    return replace(effect, terms=terms)


def _is_whole(credit: Fine) -> bool:
    return credit.status is Status.ACTIVE and credit.remaining == credit.facts.amount


def _other_reference(
    event: BursarPayment, original: Payment, line: ExportLine | None
) -> tuple[str, str] | None:
    """The two fields by which a reversal names different fines, if any (row 5)."""
    by_line = event.bursar_transaction_id
    if line is not None and event.fine_id not in (None, line.fine_id):
        return "bursar_transaction_id", "fine_id"
    if event.fine_id is not None and event.fine_id != original.fine_id:
        is_known = original.fine_id is not None or original.bursar_transaction_id is not None
        return ("reverses_payment_id", "fine_id") if is_known else None
    if by_line is None or by_line == original.bursar_transaction_id:
        return None
    if line is None or line.fine_id != original.fine_id:
        return "reverses_payment_id", "bursar_transaction_id"
    return None


def _mismatch(first: str, second: str) -> Rejected:
    """Names both fields, so that the sender knows which two ids to compare."""
    return Rejected(Reason.REFERENCE_MISMATCH, f"{first}, {second}: must name the same fine")


def _seen(fine: Fine, event: BursarPayment) -> Fine:
    """The ERP's own word for the fine's state: the latest is kept."""
    return replace(fine, status_code=event.status_code) if event.status_code else fine


def _effect(
    fine: Fine, event: BursarPayment, kind: Kind, amount: int, active: int, transferred: int
) -> Effect:
    cause = PaymentRef(
        event.key.source,
        event.key.id,
        event.reverses_payment_id,
        event.status_code,
        event.comment,
    )
    after = replace(fine, changed_at=event.paid_at)
    return Effect(
        after,
        kind,
        amount,
        active,
        transferred,
        cause,
        event.paid_at,
        BURSAR_COMMENT,
        fine.terms,
    )
