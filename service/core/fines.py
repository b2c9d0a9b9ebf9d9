"""Decides changes that the library reports about a fine that it collects itself, such as a payment
at the desk (rules.md, 2b).
"""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from .amendment import Amendment
from .events import FineChanged
from .ledger import Fine, LibraryRef
from .outcomes import Applied, Effect, Rejected, rejected
from .words import (
    DEFAULT_LABELS,
    EXCESS_PREFIX,
    ChangeKind,
    Considered,
    Kind,
    Reason,
    Status,
)


def change(fine: Fine, event: FineChanged) -> Applied | Rejected:
    """Decides a change in the library of a fine that the ledger has (rows 2b.2 to 2b.15).

    If the change is rejected, but its time still counts for later changes, the rejection has the
    fine with that time.
    """
    if event.currency not in (None, fine.facts.currency):
        return rejected(Reason.CURRENCY_MISMATCH)  # row 2b.2
    if _is_older(event.changed_at, _latest(fine.amendment, event.kind)):
        return rejected(Reason.OVERTAKEN)  # row 2b.11
    dated = _with_instant(fine, event)
    outcome = _decide(dated, event)
    if isinstance(outcome, Rejected) and outcome.reason is not Reason.EXCEEDS_REMAINING:
        return replace(outcome, fine=dated)
    return outcome


def _is_older(instant: datetime, latest: datetime | None) -> bool:
    return latest is not None and instant < latest


def _latest(amendment: Amendment, kind: ChangeKind) -> datetime | None:
    """The latest instant of a change of this sort; None if this sort of change is never late."""
    match kind:
        case ChangeKind.ADJUSTED:
            return amendment.adjusted_at
        case ChangeKind.DISPUTED | ChangeKind.RESTORED:
            return amendment.disputed_at
        case ChangeKind.PAID | ChangeKind.WAIVED | ChangeKind.CANCELLED:
            return None
        case _:
            assert_never(kind)


def _with_instant(fine: Fine, event: FineChanged) -> Fine:
    match event.kind:
        case ChangeKind.ADJUSTED:
            amendment = replace(fine.amendment, adjusted_at=event.changed_at)
        case ChangeKind.DISPUTED | ChangeKind.RESTORED:
            amendment = replace(fine.amendment, disputed_at=event.changed_at)
        case ChangeKind.PAID | ChangeKind.WAIVED | ChangeKind.CANCELLED:
            return fine
        case _:
            assert_never(event.kind)
    return replace(fine, amendment=amendment)


def _decide(fine: Fine, event: FineChanged) -> Applied | Rejected:
    if fine.bursar_transaction_id is not None:
        return rejected(Reason.ALREADY_EXPORTED)  # row 2b.3
    if fine.is_closed_in_library:
        return rejected(Reason.ALREADY_CLOSED)  # row 2b.4
    match event.kind:
        case ChangeKind.PAID:
            return _reduce(fine, event, Kind.DESK_PAYMENT, _amount(event))
        case ChangeKind.WAIVED:
            return _reduce(fine, event, Kind.WAIVER, _amount(event))
        case ChangeKind.ADJUSTED:
            return _adjust(fine, event, _amount(event))
        case ChangeKind.CANCELLED:
            return _reduce(fine, event, Kind.CANCELLATION, abs(fine.remaining))
        case ChangeKind.DISPUTED:
            return _move(fine, event, Kind.DISPUTED, Status.IN_DISPUTE)
        case ChangeKind.RESTORED:
            return _move(fine, event, Kind.RESTORED, Status.ACTIVE)
        case _:
            assert_never(event.kind)


def _amount(event: FineChanged) -> int:
    assert event.amount is not None
    return event.amount


def _reduce(fine: Fine, event: FineChanged, kind: Kind, amount: int) -> Applied | Rejected:
    """Takes a positive `amount` off what remains; if nothing remains, the fine is closed."""
    if amount > abs(fine.remaining):
        return rejected(Reason.EXCEEDS_REMAINING)  # row 2b.5
    step = fine.facts.toward_zero(amount)
    return _changed(_with_remaining(fine, fine.remaining + step), event, kind, amount, step)


def _adjust(fine: Fine, event: FineChanged, amount: int) -> Applied | Rejected:
    """Gives the fine a new amount; `amount` is positive, also that of a credit (row 2b.14).

    What was paid and waived before stands, so that what remains changes by the same difference.
    """
    taken_off = abs(fine.amount) - abs(fine.remaining)
    if amount < taken_off:
        detail = "amount: is less than what was paid and waived already"
        return Rejected(Reason.EXCEEDS_REMAINING, detail)  # row 2b.12
    if fine.facts.fine_id.startswith(EXCESS_PREFIX) and amount > abs(fine.facts.amount):
        detail = "amount: is more than that with which the credit was made"
        return Rejected(Reason.EXCEEDS_REMAINING, detail)  # row 2b.13
    adjusted = -fine.facts.toward_zero(amount)
    difference = adjusted - fine.amount
    if not difference:
        return Rejected(Reason.NO_CHANGE, "amount: is the fine's already")  # row 2b.15
    after = _with_remaining(fine, fine.remaining + difference)
    after = replace(after, amendment=replace(fine.amendment, amount=adjusted))
    return _changed(after, event, Kind.ADJUSTMENT, difference, difference)


def _with_remaining(fine: Fine, remaining: int) -> Fine:
    if remaining == 0:
        fine = replace(fine, status=Status.CLOSED, considered=Considered.CLOSED)
    return replace(fine, remaining=remaining)


def _move(fine: Fine, event: FineChanged, kind: Kind, status: Status) -> Applied | Rejected:
    if fine.status is status:
        return rejected(Reason.NO_CHANGE)  # row 2b.8
    return _changed(replace(fine, status=status), event, kind, 0, 0)


def made_as_exported(fine: Fine, remaining: int, at: datetime) -> list[Effect]:
    """Returns the transactions that make a fine Active with exactly `remaining` left, so that an
    adopted export line can be applied to it (row 5b.11): the end of a dispute if there is one, and
    an adjustment of the amount if needed.

    Earlier payments and waivers of the fine are not undone.
    """
    effects = []
    if fine.status is Status.IN_DISPUTE:
        fine = replace(fine, status=Status.ACTIVE, changed_at=at)
        effects.append(_of_person(fine, Kind.RESTORED, 0))
    difference = remaining - fine.remaining
    if difference:
        after = replace(
            fine,
            status=Status.ACTIVE,
            considered=Considered.ACTIVE,
            remaining=remaining,
            amendment=replace(fine.amendment, amount=fine.amount + difference),
            changed_at=at,
        )
        effects.append(_of_person(after, Kind.ADJUSTMENT, difference))
    return effects


def _of_person(after: Fine, kind: Kind, difference: int) -> Effect:
    """A transaction that no record has caused. The decision is kept with its reason elsewhere."""
    at = after.changed_at
    assert at is not None
    return Effect(after, kind, DEFAULT_LABELS[kind], difference, difference, 0, None, at)


def _changed(after: Fine, event: FineChanged, kind: Kind, amount: int, active: int) -> Applied:
    after = replace(after, changed_at=event.changed_at)
    cause = LibraryRef(event.key.source, event.key.id, event.reason)
    label = DEFAULT_LABELS[kind]
    effect = Effect(after, kind, label, amount, active, 0, cause, event.changed_at, event.comment)
    return Applied((effect,), after)
