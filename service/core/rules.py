"""The state rules: events in order onto a view; pure, without await (rules.md)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from service.core import exports, fines, identities, payments
from service.core.batches import Response
from service.core.books import Books, Changes, Lane, ParkedKey, View
from service.core.events import (
    BursarPayment,
    Event,
    ExportFine,
    ExportResponse,
    FineChanged,
    FineCreated,
    Incoming,
    Parkable,
    Parked,
    Refused,
)
from service.core.ledger import Fine, FineKey, SourceKey
from service.core.outcomes import Applied, Outcome, Park, Rejected, Repeat, rejected
from service.core.words import ItemState, PaymentKind, Reason, Wait

# What a person has to decide is not tried again by itself.
NOT_RETRIED = (Wait.OVERPAID_HELD, Wait.INTERNAL_ERROR)


def fold(view: View, events: Sequence[Event], lanes: Sequence[Lane] = ()) -> Changes:
    """Events in their order, then the `lanes` a sweep names. One outcome is counted per event."""
    books = Books(view)
    for event in events:
        take(books, event)
    for lane in lanes:
        settle(books, (lane,))
    return books.changes_made()


def take(books: Books, event: Event) -> None:
    """One event: what is parked for its fine goes first, what waits for its effect after."""
    match event:
        case FineCreated():
            _create(books, event)
        case FineChanged() | BursarPayment():
            _take_parkable(books, event)
        case ExportResponse():
            _respond(books, event)
        case ExportFine():
            _export(books, event)
        case _:
            assert_never(event)


def settle(books: Books, lanes: Iterable[Lane]) -> None:
    """Whole passes over what waits in the lanes, oldest first, until one moves none.

    What an item touches joins the next pass: an excess makes a credit, a reversal cancels it.
    """
    reached = dict.fromkeys(lanes)
    moved = True
    while moved:
        moved = False
        for key, item in books.in_order(books.waiting(reached)):
            if item.wait in NOT_RETRIED:
                continue
            outcome = _retry(books, key, item)
            moved = moved or outcome is not None
            reached |= dict.fromkeys(_touched(outcome))


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
    return payments.reverse(event, original, fine, credit, line)


def _lane_of(books: Books, original: SourceKey) -> str | None:
    """A reversal behind a parked payment waits in that payment's lane."""
    ahead = books.parked.get(("payment", original))
    return None if ahead is None else ahead.fine_id


def _create(books: Books, event: FineCreated) -> None:
    known = books.fines.get(event.fine)
    outcome = fines.create(known, event)
    _count(books, outcome)
    if isinstance(outcome, Rejected):
        _refuse(books, event, outcome)
        return
    books.see_patron(event.patron)
    if isinstance(outcome, Applied):
        _post(books, outcome, event.origin.traceparent)
        settle(books, (event.fine,))


def _take_parkable(books: Books, event: Parkable) -> None:
    known = identities.known(books, event)
    if known is not None:
        if known.digest == event.digest:
            _count(books, Repeat())
            return
        is_change = isinstance(event, FineChanged)
        reason = Reason.CHANGE_CONFLICT if is_change else Reason.PAYMENT_CONFLICT
        _count(books, rejected(reason))
        _refuse(books, event, rejected(reason))
        return
    lane = identities.lane_of(books, event)
    own: tuple[Lane, ...] = () if lane is None else (lane,)
    settle(books, own)
    outcome = decide(books, event)
    _count(books, outcome)
    _conclude(books, event, outcome)
    behind = () if isinstance(event, FineChanged) else (event.key,)
    settle(books, (*own, *_touched(outcome), *behind))


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
    _conclude(books, item.event, outcome)
    return outcome


def _conclude(books: Books, event: Parkable, outcome: Outcome) -> None:
    """The outcome under the event's identity: parked, rejected, or posted."""
    match outcome:
        case Park():
            item = Parked(event, outcome.wait, outcome.fine_id, outcome.original)
            books.park(identities.parked_key(event), item)
            identities.remember(books, event, ItemState.PARKED, None, None)
        case Rejected():
            identities.remember(books, event, ItemState.REJECTED, outcome.reason, None)
            _refuse(books, event, outcome)
        case Applied():
            state = ItemState.NOTED if outcome.noted else ItemState.APPLIED
            identities.remember(books, event, state, None, outcome)
            _post(books, outcome, event.origin.traceparent)
        case Repeat():
            raise AssertionError("a repeat is seen before anything is decided")
        case _:
            assert_never(outcome)


def _post(books: Books, outcome: Applied, traceparent: str | None) -> None:
    for effect in outcome.effects:
        books.post(effect, traceparent)
    # A payment that was all excess leaves no transaction on its fine, and yet a trace.
    if books.fines[outcome.fine.facts.key] != outcome.fine:
        books.fines.put(outcome.fine.facts.key, outcome.fine)
    if outcome.loan_closed is not None:
        books.close_loan(outcome.loan_closed)


def _export(books: Books, event: ExportFine) -> None:
    fine = books.fines[event.fine]
    outcome = exports.export(fine, event)
    _count(books, outcome)
    line = exports.line_of(fine, event)
    books.lines.put(line.key, line)
    _post(books, outcome, None)
    settle(books, (event.fine,))


def _respond(books: Books, event: ExportResponse) -> None:
    known = books.responses.get(event.key)
    if known is not None:
        same = known.digest == event.digest
        outcome: Repeat | Rejected = Repeat() if same else rejected(Reason.RESPONSE_CONFLICT)
        _count(books, outcome)
        if isinstance(outcome, Rejected):
            _refuse(books, event, outcome)
        return
    lines = books.lines_of(event.batch)
    institution_id = event.key.institution_id
    fine_of = {n: books.fines[FineKey(institution_id, line.fine_id)] for n, line in lines.items()}
    answer = exports.respond(event, books.batches.get(event.batch), lines, fine_of)
    if isinstance(answer, Rejected):
        _count(books, answer)
        _bind_response(books, event, ItemState.REJECTED, answer.reason)
        _refuse(books, event, answer)
        return
    books.outcomes["applied"] += 1
    _bind_response(books, event, ItemState.APPLIED, None)
    books.batches.put(event.batch, answer.batch)
    for line, effect in answer.refused:
        books.lines.put(line.key, line)
        books.post(effect, event.origin.traceparent)


def _bind_response(
    books: Books, event: ExportResponse, state: ItemState, reason: Reason | None
) -> None:
    response = Response(event.key, event.digest, event.batch, state, reason)
    books.responses.put(event.key, response)


def _refuse(books: Books, event: Incoming, outcome: Rejected) -> None:
    institution_id = (
        event.facts.institution_id if isinstance(event, FineCreated) else event.key.institution_id
    )
    refused = Refused(outcome.reason, outcome.detail, event.origin, institution_id)
    books.refused.append(refused)


def _touched(outcome: Outcome | None) -> tuple[FineKey, ...]:
    """The fines an outcome changed or made."""
    if not isinstance(outcome, Applied):
        return ()
    return (outcome.fine.facts.key, *(effect.fine.facts.key for effect in outcome.effects))


def _count(books: Books, outcome: Outcome) -> None:
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
