"""What a person decides about a waiting record or a held fine; each is one event (rules.md, 3)."""

from dataclasses import replace

from . import payments
from .books import Books, Lane, ParkedKey
from .events import BursarPayment, Discard, Release, ReleaseFine
from .ledger import Fine
from .outcomes import Outcome, Park, rejected
from .settling import conclude, count, settle, touched
from .words import Overpayment, Reason, Wait

GONE = "gone"  # someone or something else was faster: nothing is left to decide


def release(books: Books, event: Release) -> None:
    """What is held for its excess becomes a payment and a credit; the rest is tried again."""
    key = _key(event)
    item = books.parked.get(key)
    if item is None:
        books.outcomes[GONE] += 1
        return
    if item.wait is not Wait.OVERPAID_HELD:
        settle(books, _lanes(event))
        return
    assert isinstance(item.event, BursarPayment)
    outcome = _with_credit(books, item.event)
    count(books, outcome)
    if isinstance(outcome, Park):
        books.park(key, replace(item, wait=outcome.wait))
        return
    books.unpark(key)
    conclude(books, item.event, outcome)
    settle(books, (*_lanes(event), *touched(outcome), event.key))


def _with_credit(books: Books, event: BursarPayment) -> Outcome:
    found = payments.find(event, books.lines.now, books.fines.now)
    if not isinstance(found, Fine):
        return found
    return payments.pay(found, event, Overpayment.CREDIT)


def discard(books: Books, event: Discard) -> None:
    """Rejected for good; a reversal that waits behind it learns that its original is."""
    key = _key(event)
    item = books.parked.get(key)
    if item is None:
        books.outcomes[GONE] += 1
        return
    outcome = rejected(Reason.DISCARDED)
    count(books, outcome)
    books.unpark(key)
    conclude(books, item.event, outcome)
    settle(books, (*_lanes(event), event.key))


def release_fine(books: Books, event: ReleaseFine) -> None:
    """The next run may claim it; neither balance moves, so there is no transaction."""
    fine = books.fines.get(event.fine)
    if fine is None or not fine.is_open_in_library:
        books.outcomes[GONE] += 1
        return
    books.fines.put(event.fine, replace(fine, refused_reason=None, released=True))
    books.outcomes["released"] += 1


def _key(event: Release | Discard) -> ParkedKey:
    return ("change" if event.is_change else "payment", event.key)


def _lanes(event: Release | Discard) -> tuple[Lane, ...]:
    return tuple(lane for lane in (event.lane, event.original) if lane is not None)
