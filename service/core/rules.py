"""The state rules: events in order onto a view; pure, without await (rules.md)."""

from collections.abc import Sequence
from typing import assert_never

from . import exports, fines, identities, operators
from .batches import Response
from .books import Books, Changes, Lane, ParkedFailure, View
from .events import (
    BursarPayment,
    Discard,
    Event,
    ExportFine,
    ExportResponse,
    FineChanged,
    FineCreated,
    Parkable,
    Release,
    ReleaseFine,
    Replay,
)
from .ledger import FineKey
from .outcomes import Applied, Rejected, Repeat, rejected
from .settling import conclude, count, decide, post, refuse, settle, touched
from .words import ItemState, Reason


def fold(view: View, events: Sequence[Event], lanes: Sequence[Lane] = ()) -> Changes:
    """Events in their order, then the `lanes` a sweep names. One outcome is counted per event.

    Raises ParkedFailure for all records that were parked before and cannot be decided.
    """
    books = Books(view)
    try:
        for event in events:
            take(books, event)
        for lane in lanes:
            settle(books, (lane,))
    except Exception:
        _require_none_failed(books)  # what was raised may be their doing
        raise
    _require_none_failed(books)
    return books.changes_made()


def _require_none_failed(books: Books) -> None:
    if books.failures:
        raise ParkedFailure(tuple(books.failures)) from next(iter(books.failures.values()))


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
        case Release():
            operators.release(books, event)
        case Discard():
            operators.discard(books, event)
        case ReleaseFine():
            operators.release_fine(books, event)
        case Replay():
            identities.forget_rejected(books, event.event)
            take(books, event.event)
        case _:
            assert_never(event)


def _create(books: Books, event: FineCreated) -> None:
    known = books.fines.get(event.fine)
    outcome = fines.create(known, event)
    count(books, outcome)
    if isinstance(outcome, Rejected):
        refuse(books, event, outcome)
        return
    # A snapshot of an instant to come counts as of its first reading. Read again, it would win over
    # everything that was learned since.
    is_to_come = books.recorded_at is not None and event.patron.seen_at > books.recorded_at
    if not (is_to_come and isinstance(outcome, Repeat)):
        books.see_patron(event.patron)
    if isinstance(outcome, Applied):
        post(books, outcome, event.origin.traceparent)
        settle(books, (event.fine,))


def _take_parkable(books: Books, event: Parkable) -> None:
    known = identities.known(books, event)
    if known is not None:
        if known.digest == event.digest:
            count(books, Repeat())
            return
        is_change = isinstance(event, FineChanged)
        reason = Reason.CHANGE_CONFLICT if is_change else Reason.PAYMENT_CONFLICT
        count(books, rejected(reason))
        refuse(books, event, rejected(reason))
        return
    lane = identities.lane_of(books, event)
    own: tuple[Lane, ...] = () if lane is None else (lane,)
    settle(books, own)
    outcome = decide(books, event)
    count(books, outcome)
    conclude(books, event, outcome)
    behind = () if isinstance(event, FineChanged) else (event.key,)
    settle(books, (*own, *touched(outcome), *behind))


def _export(books: Books, event: ExportFine) -> None:
    fine = books.fines[event.fine]
    outcome = exports.export(fine, event)
    count(books, outcome)
    line = exports.line_of(fine, event)
    books.lines.put(line.key, line)
    post(books, outcome, None)
    settle(books, (event.fine,))


def _respond(books: Books, event: ExportResponse) -> None:
    known = books.responses.get(event.key)
    if known is not None:
        same = known.digest == event.digest
        outcome: Repeat | Rejected = Repeat() if same else rejected(Reason.RESPONSE_CONFLICT)
        count(books, outcome)
        if isinstance(outcome, Rejected):
            refuse(books, event, outcome)
        return
    lines = books.lines_of(event.batch)
    institution_id = event.key.institution_id
    # What missed its fine is older than the answer: money among it forbids a refusal.
    settle(books, [FineKey(institution_id, line.fine_id) for line in lines.values()])
    fine_of = {n: books.fines[FineKey(institution_id, line.fine_id)] for n, line in lines.items()}
    answer = exports.respond(event, books.batches.get(event.batch), lines, fine_of)
    if isinstance(answer, Rejected):
        count(books, answer)
        named = len(event.refused_lines) or None
        _bind_response(books, event, ItemState.REJECTED, answer.reason, named)
        refuse(books, event, answer)
        return
    books.outcomes["applied"] += 1
    _bind_response(books, event, ItemState.APPLIED, None, answer.lines)
    books.batches.put(event.batch, answer.batch)
    for line, effect in answer.refused:
        books.lines.put(line.key, line)
        books.post(effect, event.origin.traceparent)


def _bind_response(
    books: Books,
    event: ExportResponse,
    state: ItemState,
    reason: Reason | None,
    lines: int | None,
) -> None:
    said = (event.outcome, lines, event.responded_at)
    response = Response(event.key, event.digest, event.batch, state, reason, *said)
    books.responses.put(event.key, response)
