"""Parked records for operators: listed, released and discarded, each decision in one commit."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ..apply.applier import Applier
from ..apply.operator_actions import (
    Decision,
    DecisionNotPossible,
    DecisionResult,
    Justification,
    Place,
    Subject,
    carry_out,
    outcome_of_event,
)
from ..apply.tally import TallyMetric
from ..core.events import Discard, Incoming, Rejection, Release
from ..core.ledger import Change, FineKey, Origin, Payment, SourceKey
from ..core.outcomes import GONE, rejected
from ..core.words import Reason, Wait
from ..core.workspace import Changes
from ..database.encodings import origin_of
from ..database.references import References, references_of
from ..database.session import Connection, statements
from ..messages.decode import parse
from .names import LIMIT_MAX, Names, RecordFilter, contract_of, names_in
from .rejected import mark

SQL = statements("operators")
NOT_PARKED = "is not parked any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedFilter(RecordFilter):
    """Which parked records a command is about; a field that is None allows any value.
    `older_than_seconds` counts from the parking.

    `record` is `payment` or `change`, of internal errors also `fine` or `response`.
    """

    wait: Wait | None = None
    older_than_seconds: int | None = None
    record: str | None = None
    fine_id: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A record that waits. `record` is as in ParkedFilter.

    `is_bound` says that the record was parked under its identity. Otherwise the program failed on
    it before it was decided for the first time; its identity is then what its bytes say. `original`
    is the id of the payment that it reverses.
    """

    institution_id: str
    record: str
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
        """The topic, partition and offset of the record in Kafka."""
        return Place(*self.origin[:3])

    @property
    def subject(self) -> Subject:
        """The text by which decisions name the record."""
        if not self.is_bound or self.source is None or self.id is None:
            return self.place.subject
        return {
            "institution_id": self.institution_id,
            "record": self.record,
            "source": self.source,
            "id": self.id,
        }


async def find(connection: Connection, selected: ParkedFilter) -> list[ParkedRecord]:
    """The records parked under their identity, oldest first; then those with an internal error."""
    place = (selected.topic, selected.partition, selected.offset)
    rows = await connection.fetch(
        SQL["parked"],
        selected.institution_id,
        selected.wait,
        selected.older_than_seconds,
        selected.source,
        selected.id,
        selected.record,
        *place,
        selected.limit,
        selected.fine_id,
    )
    parked = [_parked(row) for row in rows]
    if selected.wait in (None, Wait.INTERNAL_ERROR):
        key = (selected.institution_id, selected.older_than_seconds, *place)
        rows = await connection.fetch(SQL["parked_errors"], *key, LIMIT_MAX)
        parked += [record for record in map(_error, rows) if _is_meant(record, selected)]
    return parked[: selected.limit]


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
        origin_of(row),
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
    origin = origin_of(row)
    names = names_in(origin.value) or Names()
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


def _is_meant(record: ParkedRecord, selected: ParkedFilter) -> bool:
    """What the statement cannot compare: it is in the record's bytes."""
    return (
        selected.source in (None, record.source)
        and selected.id in (None, record.id)
        and selected.record in (None, record.record)
        and selected.fine_id in (None, record.fine_id)
    )


async def release(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """Decides the record again. An over-payment that was held is taken, with a credit."""
    if item.wait is Wait.INTERNAL_ERROR and not item.is_bound:
        return await _apply_again(applier, item, justification)
    return await _decide(applier, item, justification, Release)


async def discard(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """Rejects the record as `discarded`, with its bytes. What waits behind it is decided, too."""
    if item.wait is Wait.INTERNAL_ERROR:
        return await _reject_unread(applier, item, justification)
    return await _decide(applier, item, justification, Discard)


def _decision(item: ParkedRecord, action: str, justification: Justification) -> Decision:
    return Decision(action, item.institution_id, item.subject, justification)


async def _decide(
    applier: Applier,
    item: ParkedRecord,
    justification: Justification,
    sort: type[Release] | type[Discard],
) -> DecisionResult:
    assert item.source is not None
    assert item.id is not None
    institution_id, is_change = item.institution_id, item.record == "change"
    key = SourceKey(institution_id, item.source, item.id)
    fine = None if item.fine_id is None else FineKey(institution_id, item.fine_id)
    original = None if item.original is None else key._replace(id=item.original)
    event = sort(key, is_change, fine, original)

    async def work(connection: Connection) -> str:
        identity = (institution_id, item.record, item.source, item.id)
        await connection.execute(SQL["delete_parked_failure"], *identity)
        changes = await applier.apply_events(connection, references_of((event,)), (event,))
        outcome = _outcome(changes, key, item)
        if sort is Discard:
            await _mark_discarded(connection, item)
        return outcome

    action = "parked_release" if sort is Release else "parked_discard"
    decision = _decision(item, action, justification)
    return await carry_out(applier, decision, work, [(item.record, key)])


async def _mark_discarded(connection: Connection, item: ParkedRecord) -> None:
    """The rejection that this commit has written is not open: a person has decided it already."""
    await mark(connection, item.place, Reason.DISCARDED, "discarded", ("open",))


def _outcome(changes: Changes, key: SourceKey, item: ParkedRecord) -> str:
    """What became of the record. Raises DecisionNotPossible if it waits as before or no more."""
    if GONE in changes.outcomes:
        raise DecisionNotPossible(NOT_PARKED)
    is_change = item.record == "change"
    if (item.record, key) in changes.parked.removed:
        decided: tuple[Payment | Change, ...] = changes.payments.changed
        if is_change:
            decided = changes.changes.changed
        return _state(next(value for value in decided if value.key == key))
    for parked in changes.parked.changed:
        if (parked.event.key, parked.is_change) == (key, is_change):
            return f"waits: {parked.wait}"
    if item.error is not None:
        return "can be decided again, and waits"
    raise DecisionNotPossible(f"still waits: {item.wait}")


def _state(decided: Payment | Change) -> str:
    if decided.reason is Reason.DISCARDED:
        return "discarded"
    if decided.reason is not None:
        return f"rejected: {decided.reason}"
    if isinstance(decided, Payment) and decided.credit_id is not None:
        return f"{decided.state}, excess as credit {decided.credit_id}"
    return decided.state.value


async def _apply_again(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """Parses the bytes again: the identity is not bound, and this release may read them better."""

    async def work(connection: Connection) -> str:
        event = parse(contract_of(item.place.topic), item.origin)
        outcome = outcome_of_event(await _applied(applier, connection, event))
        if await connection.fetchval(SQL["delete_parked_error"], *item.place) is None:
            raise DecisionNotPossible(NOT_PARKED)
        applier.tally.add(TallyMetric.UNPARKED, (item.wait.value,))
        return outcome

    return await carry_out(applier, _decision(item, "parked_release", justification), work)


async def _applied(
    applier: Applier, connection: Connection, event: Incoming | Rejection
) -> Changes:
    if isinstance(event, Rejection):
        return await applier.apply_events(connection, References(), (), (), (event,))
    return await applier.apply_events(connection, references_of((event,)), (event,))


async def _reject_unread(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """Rejects a record on which the program failed, without the rules, which may fail again.

    A bound identity is rejected with it. What waits behind it learns of that from the sweep.
    """
    detail = rejected(Reason.DISCARDED).detail
    rejection = Rejection(Reason.DISCARDED, detail, item.origin, item.institution_id)
    identity = (item.institution_id, item.record, item.source, item.id)

    async def remove(connection: Connection) -> object:
        if item.is_bound:
            return await connection.fetchval(SQL["discard_failed"], *identity)
        return await connection.fetchval(SQL["delete_parked_error"], *item.place)

    async def work(connection: Connection) -> str:
        if await remove(connection) is None:
            raise DecisionNotPossible(NOT_PARKED)
        await _applied(applier, connection, rejection)
        await _mark_discarded(connection, item)
        return "discarded"

    return await carry_out(applier, _decision(item, "parked_discard", justification), work)
