"""What the library reports about a fine that it has not exported (rules.md, 2b)."""

from dataclasses import replace
from typing import assert_never

from .events import FineChanged
from .ledger import Fine, LibraryRef
from .outcomes import Applied, Effect, Rejected, rejected
from .words import DEFAULT_LABELS, ChangeKind, Considered, Kind, Reason, Status


def change(fine: Fine, event: FineChanged) -> Applied | Rejected:
    """Pays a fine at the desk, waives, cancels, disputes or restores it (rows 2b.2 to 2b.10)."""
    if event.currency not in (None, fine.facts.currency):
        return rejected(Reason.CURRENCY_MISMATCH)  # row 2b.2
    if fine.bursar_transaction_id is not None:
        return rejected(Reason.ALREADY_EXPORTED)  # row 2b.3
    if not fine.is_open_in_library:
        return rejected(Reason.ALREADY_CLOSED)  # row 2b.4
    match event.kind:
        case ChangeKind.PAID:
            return _reduce(fine, event, Kind.DESK_PAYMENT, _amount(event))
        case ChangeKind.WAIVED:
            return _reduce(fine, event, Kind.WAIVER, _amount(event))
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
    left = fine.remaining + step
    after = replace(fine, remaining=left, changed_at=event.changed_at)
    if left == 0:
        after = replace(after, status=Status.CLOSED, considered=Considered.CLOSED)
    return _changed(after, event, kind, amount, step)


def _move(fine: Fine, event: FineChanged, kind: Kind, status: Status) -> Applied | Rejected:
    if fine.status is status:
        return rejected(Reason.NO_CHANGE)  # row 2b.8
    return _changed(replace(fine, status=status, changed_at=event.changed_at), event, kind, 0, 0)


def _changed(after: Fine, event: FineChanged, kind: Kind, amount: int, active: int) -> Applied:
    cause = LibraryRef(event.key.source, event.key.id, event.reason)
    label = DEFAULT_LABELS[kind]
    effect = Effect(after, kind, label, amount, active, 0, cause, event.changed_at, event.comment)
    return Applied((effect,), after)
