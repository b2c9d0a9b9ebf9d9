"""One event against the books: decided, concluded, and what waited for its effect tried again."""

from collections.abc import Iterable
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import assert_never

from . import fines, identities, payments
from .books import Books, Lane, ParkedFailure, ParkedKey
from .events import (
    BursarPayment,
    FineChanged,
    Incoming,
    Parkable,
    Parked,
    Refused,
    institution_of,
)
from .ledger import Fine, FineKey, Payment, SourceKey
from .outcomes import Applied, Outcome, Park, Rejected, Repeat
from .words import ItemState, PaymentKind, Wait

# What a person has to decide is not tried again by itself.
NOT_RETRIED = (Wait.OVERPAID_HELD, Wait.INTERNAL_ERROR)


def settle(books: Books, lanes: Iterable[Lane]) -> None:
    """Whole passes over what waits in the lanes, oldest first, until one moves none.

    What waits for a fine that an item touches joins the pass at its place by age, because an excess
    makes a credit and a reversal cancels it; what is older than the item joins the next pass.
    Items that were parked before this fold and cannot be decided go to `failures` of the books.
    Raises ParkedFailure where one has changed the books before it failed.
    """
    reached = dict.fromkeys(lanes)
    if books.are_still(reached):
        return
    while _pass(books, reached):
        pass
    books.keep_still(reached)


def _pass(books: Books, reached: dict[Lane, None]) -> bool:
    """Tries what waits in the lanes once, adds the lanes it touches, and says whether one moved."""
    queue = books.ranked(reached)
    heapify(queue)
    queued = set(queue)
    moved = False
    while queue:
        rank, key = heappop(queue)
        item = books.parked.get(key)
        if item is None or item.wait in NOT_RETRIED or key in books.failures:
            continue
        outcome = _retry_noting_failure(books, key, item)
        moved = moved or outcome is not None
        fresh = [lane for lane in touched(outcome) if lane not in reached]
        reached |= dict.fromkeys(fresh)
        for later in books.ranked(fresh):
            if rank < later[0] and later not in queued:
                queued.add(later)
                heappush(queue, later)
    return moved


def _retry_noting_failure(books: Books, key: ParkedKey, item: Parked) -> Outcome | None:
    """None where the item cannot be decided, as where it did not move."""
    before = books.parked.writes
    try:
        return _retry(books, key, item)
    except Exception as problem:
        if item.arrival is None:  # this fold parked it: one of its events is the cause
            raise
        books.failures[key] = problem
        if books.parked.writes != before:
            raise ParkedFailure(tuple(books.failures)) from problem
        return None


def decide(books: Books, event: Parkable) -> Outcome:
    """A change or a payment against the books as they are; the identity was looked at before."""
    if isinstance(event, FineChanged):
        fine = books.fines.get(event.fine)
        if fine is None:
            return Park(Wait.UNKNOWN_FINE, event.fine_id)
        return fines.change(fine, event)
    if event.kind is PaymentKind.REVERSAL:
        return _decide_reversal(books, event)
    found = payments.find(event, books.lines.now, books.fines.now)
    return payments.pay(found, event) if isinstance(found, Fine) else found


def _decide_reversal(books: Books, event: BursarPayment) -> Outcome:
    assert event.original is not None
    original = books.payments.get(event.original)
    if original is None or original.state is ItemState.PARKED:
        lane = _lane_of(books, event.original)
        return Park(Wait.UNKNOWN_ORIGINAL, lane, event.original)
    institution_id = event.key.institution_id
    fine = credit = None
    if original.fine_id is not None:
        fine = books.fines.get(FineKey(institution_id, original.fine_id))
    if original.credit_id is not None:
        credit = books.fines.get(FineKey(institution_id, original.credit_id))
    line = books.lines.get(event.line) if event.line is not None else None
    return payments.reverse(event, _of_its_line(books, original), fine, credit, line)


def _of_its_line(books: Books, original: Payment) -> Payment:
    """Rejected before its line was known, it was meant for that line's fine all the same."""
    if original.fine_id is not None or original.line is None:
        return original
    line = books.lines.get(original.line)
    return original if line is None else replace(original, fine_id=line.fine_id)


def _lane_of(books: Books, original: SourceKey) -> str | None:
    """A reversal behind a parked payment waits in that payment's lane."""
    ahead = books.parked.get(("payment", original))
    return None if ahead is None else ahead.fine_id


def _retry(books: Books, key: ParkedKey, item: Parked) -> Outcome | None:
    """How a parked item moved on: applied, rejected, or into another lane. None: it did not."""
    outcome = decide(books, item.event)
    if isinstance(outcome, Park):
        again = replace(item, wait=outcome.wait, fine_id=outcome.fine_id, original=outcome.original)
        if again == item:
            return None
        books.park(key, again)
        return None if again.fine_id == item.fine_id else outcome
    books.unpark(key)
    books.outcomes[f"unparked:{item.wait}"] += 1
    conclude(books, item.event, outcome)
    return outcome


def conclude(books: Books, event: Parkable, outcome: Outcome) -> None:
    """The outcome under the event's identity: parked, rejected, or posted."""
    match outcome:
        case Park():
            item = Parked(event, outcome.wait, outcome.fine_id, outcome.original)
            books.park_newly(
                identities.parked_key(event),
                item,
                lambda: identities.remember(books, event, ItemState.PARKED, None, None),
            )
        case Rejected():
            identities.remember(books, event, ItemState.REJECTED, outcome.reason, None)
            refuse(books, event, outcome)
        case Applied():
            state = ItemState.NOTED if outcome.noted else ItemState.APPLIED
            identities.remember(books, event, state, None, outcome)
            post(books, outcome, event.origin.traceparent)
        case Repeat():
            raise AssertionError("a repeat is seen before anything is decided")
        case _:
            assert_never(outcome)


def post(books: Books, outcome: Applied, traceparent: str | None) -> None:
    for effect in outcome.effects:
        books.post(effect, traceparent)
    # A payment that was all excess leaves no transaction on its fine, and yet a trace.
    if books.fines[outcome.fine.facts.key] != outcome.fine:
        books.fines.put(outcome.fine.facts.key, outcome.fine)
    if outcome.loan_closed is not None:
        books.close_loan(outcome.loan_closed)


def refuse(books: Books, event: Incoming, outcome: Rejected) -> None:
    refused = Refused(outcome.reason, outcome.detail, event.origin, institution_of(event))
    books.refused.append(refused)


def touched(outcome: Outcome | None) -> tuple[FineKey, ...]:
    """The fines an outcome changed or made."""
    if not isinstance(outcome, Applied):
        return ()
    return (outcome.fine.facts.key, *(effect.fine.facts.key for effect in outcome.effects))


def count(books: Books, outcome: Outcome) -> None:
    match outcome:
        case Applied():
            books.outcomes["noted" if outcome.noted else "applied"] += 1
        case Repeat():
            books.outcomes["repeat"] += 1
        case Rejected():
            books.outcomes[f"rejected:{outcome.reason}"] += 1
        case Park():
            books.outcomes[f"parked:{outcome.wait}"] += 1
        case _:
            assert_never(outcome)
