"""Parked records for people: listed, released, discarded; each decision is one commit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ..apply.applier import Applier
from ..apply.operator_actions import (
    DecisionNotPossible,
    DecisionResult,
    Justification,
    Place,
    Subject,
    carry_out,
    outcome_of_event,
    put_action,
)
from ..core.events import Discard, Incoming, Rejection, Release
from ..core.ledger import Change, FineKey, Origin, Payment, SourceKey
from ..core.outcomes import GONE, rejected
from ..core.words import Reason, Wait
from ..core.workspace import Changes
from ..database import records
from ..database.references import References, references
from ..database.session import Connection, statements
from ..messages import parse
from .names import NOBODY, contract_of, names_in
from .rejected import mark

SQL = statements("operators")
ALL_MAX = 1_000_000
NOT_PARKED = "is not parked any more"
MADE_NOW = ("open",)  # the state of a row of `rejected` right after it was written


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """What is looked for; None: any. `older_than_seconds` since it was parked."""

    institution_id: str | None = None
    wait: Wait | None = None
    older_than_seconds: int | None = None
    source: str | None = None
    id: str | None = None
    record: str | None = None
    place: Place | None = None
    limit: int = ALL_MAX
    fine_id: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A record that waits.

    `is_bound`: it was parked under its identity, whether it failed since or not. Of any other the
    program failed on, the identity is what its bytes say.
    """

    institution_id: str
    record: str  # payment, change; of internal errors also fine, response
    source: str | None
    id: str | None
    wait: Wait
    fine_id: str | None
    original: str | None
    bursar_transaction_id: str | None
    error: str | None
    origin: Origin
    recorded_at: datetime
    age_seconds: int
    is_bound: bool = True

    @property
    def place(self) -> Place:
        return Place(*self.origin[:3])

    @property
    def subject(self) -> Subject:
        if not self.is_bound or self.source is None or self.id is None:
            return self.place.subject
        return {
            "institution_id": self.institution_id,
            "record": self.record,
            "source": self.source,
            "id": self.id,
        }


async def find(connection: Connection, wanted: ParkedFilter) -> list[ParkedRecord]:
    """Oldest first: those under their identity by arrival, then those with an internal error."""
    place = wanted.place or (None, None, None)
    rows = await connection.fetch(
        SQL["parked"],
        wanted.institution_id,
        wanted.wait,
        wanted.older_than_seconds,
        wanted.source,
        wanted.id,
        wanted.record,
        *place,
        wanted.limit,
        wanted.fine_id,
    )
    found = [_parked(row) for row in rows]
    if wanted.wait in (None, Wait.INTERNAL_ERROR):
        rows = await connection.fetch(
            SQL["parked_errors"], wanted.institution_id, wanted.older_than_seconds, *place, ALL_MAX
        )
        found += [one for one in map(_error, rows) if _is_meant(one, wanted)]
    return found[: wanted.limit]


def _parked(row: asyncpg.Record) -> ParkedRecord:
    return ParkedRecord(
        row["institution_id"],
        row["record"],
        row["source"],
        row["id"],
        Wait(row["wait"]),
        row["fine_id"],
        row["original"],
        row["bursar_transaction_id"],
        row["error"],
        records.origin(row),
        row["recorded_at"],
        row["age_seconds"],
    )


_RECORD_OF = {
    "fine-created.v1": "fine",
    "fine-changed.v1": "change",
    "bursar-payment.v1": "payment",
    "export-response.v1": "response",
}


def _error(row: asyncpg.Record) -> ParkedRecord:
    origin = records.origin(row)
    names = names_in(origin.value) or NOBODY
    return ParkedRecord(
        row["institution_id"],
        _RECORD_OF[contract_of(origin.topic)],
        names.source,
        names.id,
        Wait.INTERNAL_ERROR,
        names.fine_id,
        None,
        None,
        row["error"],
        origin,
        row["recorded_at"],
        row["age_seconds"],
        is_bound=False,
    )


def _is_meant(found: ParkedRecord, wanted: ParkedFilter) -> bool:
    pairs = (
        (wanted.source, found.source),
        (wanted.id, found.id),
        (wanted.record, found.record),
        (wanted.fine_id, found.fine_id),
    )
    return all(named is None or named == own for named, own in pairs)


async def release(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """Held for its excess: taken, with a credit; anything else is tried again."""
    if item.wait is Wait.INTERNAL_ERROR and not item.is_bound:
        return await _apply_again(applier, item, justification)
    return await _decide(applier, item, justification, Release)


async def discard(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """Rejected as `discarded`, with its bytes; what is behind it learns of it."""
    if item.wait is Wait.INTERNAL_ERROR:
        give_up = _give_up_bound if item.is_bound else _give_up
        return await give_up(applier, item, justification)
    return await _decide(applier, item, justification, Discard)


Decide = Callable[[SourceKey, bool, FineKey | None, SourceKey | None], Release | Discard]


async def _decide(
    applier: Applier, item: ParkedRecord, justification: Justification, decide: Decide
) -> DecisionResult:
    assert item.source is not None
    assert item.id is not None
    owner = item.institution_id
    key = SourceKey(owner, item.source, item.id)
    lane = None if item.fine_id is None else FineKey(owner, item.fine_id)
    behind = None if item.original is None else SourceKey(owner, item.source, item.original)
    event = decide(key, item.record == "change", lane, behind)
    action = "release" if isinstance(event, Release) else "discard"

    async def work(connection: Connection) -> str:
        await connection.execute(SQL["delete_parked_failure"], owner, item.record, *key[1:])
        changes = await applier.apply_events(connection, references((event,)), (event,))
        outcome = _outcome(changes, key, item)
        await put_action(
            connection, justification, f"parked_{action}", owner, item.subject, outcome
        )
        if action == "discard":
            await mark(connection, item.place, Reason.DISCARDED, "discarded", MADE_NOW)
        return outcome

    return await carry_out(applier, item.subject, work, [(item.record, key)])


def _outcome(changes: Changes, key: SourceKey, item: ParkedRecord) -> str:
    """What became of the record. Raises DecisionNotPossible if it waits as before or no more."""
    if GONE in changes.outcomes:
        raise DecisionNotPossible(NOT_PARKED)
    own = (item.record, key)
    if own in changes.parked.removed:
        known: tuple[Payment | Change, ...] = changes.payments.changed
        if item.record == "change":
            known = changes.changes.changed
        return _state(next(one for one in known if one.key == key))
    for moved in changes.parked.changed:
        if (moved.event.key, moved.is_change) == (key, item.record == "change"):
            return f"waits: {moved.wait}"
    if item.error is not None:
        return "can be decided again, and waits"
    raise DecisionNotPossible(f"still waits: {item.wait}")


def _state(known: Payment | Change) -> str:
    if known.reason is Reason.DISCARDED:
        return "discarded"
    if known.reason is not None:
        return f"rejected: {known.reason}"
    if isinstance(known, Payment) and known.credit_id is not None:
        return f"{known.state}, excess as credit {known.credit_id}"
    return known.state.value


async def _apply_again(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """The bytes are read anew: their identity is not bound, and this release may know better."""

    async def work(connection: Connection) -> str:
        event = parse(contract_of(item.place.topic), item.origin)
        changes = await _applied(applier, connection, event)
        outcome = outcome_of_event(changes)
        await _put_away(connection, item, justification, "parked_release", outcome)
        return outcome

    return await carry_out(applier, item.subject, work)


async def _applied(
    applier: Applier, connection: Connection, event: Incoming | Rejection
) -> Changes:
    if isinstance(event, Rejection):
        return await applier.apply_events(connection, References(), (), (), (event,))
    return await applier.apply_events(connection, references((event,)), (event,))


async def _give_up(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    detail = rejected(Reason.DISCARDED).detail
    refused = Rejection(Reason.DISCARDED, detail, item.origin, item.institution_id)

    async def work(connection: Connection) -> str:
        await _applied(applier, connection, refused)
        await mark(connection, item.place, Reason.DISCARDED, "discarded", MADE_NOW)
        await _put_away(connection, item, justification, "parked_discard", "discarded")
        return "discarded"

    return await carry_out(applier, item.subject, work)


async def _give_up_bound(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """One that can be read no more: its identity is rejected without the rules.

    What waits behind it learns of that from the sweep.
    """
    detail = rejected(Reason.DISCARDED).detail
    refused = Rejection(Reason.DISCARDED, detail, item.origin, item.institution_id)
    identity = (item.institution_id, item.record, item.source, item.id)

    async def work(connection: Connection) -> str:
        if await connection.fetchval(SQL["discard_failed"], *identity) is None:
            raise DecisionNotPossible(NOT_PARKED)
        await _applied(applier, connection, refused)
        await mark(connection, item.place, Reason.DISCARDED, "discarded", MADE_NOW)
        owner = item.institution_id
        await put_action(
            connection, justification, "parked_discard", owner, item.subject, "discarded"
        )
        return "discarded"

    return await carry_out(applier, item.subject, work)


async def _put_away(
    connection: Connection,
    item: ParkedRecord,
    justification: Justification,
    action: str,
    outcome: str,
) -> None:
    if await connection.fetchval(SQL["delete_parked_error"], *item.place) is None:
        raise DecisionNotPossible(NOT_PARKED)
    await put_action(connection, justification, action, item.institution_id, item.subject, outcome)
