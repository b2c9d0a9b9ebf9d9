"""Lets operators list, release and discard parked records; each decision is one commit."""

import asyncpg

from ..apply.applier import Applier
from ..apply.operator_actions import (
    Decision,
    DecisionNotPossible,
    DecisionResult,
    Justification,
    Subject,
    carry_out,
    outcome_of_event,
)
from ..apply.tally import TallyMetric
from ..core.events import Discard, Incoming, Rejection, Release
from ..core.ledger import FineKey, SourceKey
from ..core.money import format_minor
from ..core.outcomes import rejected
from ..core.shares import LumpRule, Share
from ..core.sums import InvalidAllocations
from ..core.words import Reason, Wait
from ..core.workspace import Changes
from ..database.encodings import origin_of
from ..database.references import References, references_of
from ..database.session import Connection, statements
from ..messages.decode import parse
from .names import LIMIT_MAX, Names, contract_of, names_in
from .parked_outcomes import CAN_BE_DECIDED, NOT_PARKED, TOPIC_STOPPED, outcome_of_decision
from .parked_records import ParkedFilter, ParkedRecord
from .rejected import mark

SQL, STOPS = statements("operators"), statements("stops")
UNREAD = (Wait.INTERNAL_ERROR, Wait.INTAKE_STOPPED)


async def find(connection: Connection, selected: ParkedFilter) -> list[ParkedRecord]:
    """Returns parked records: first those that wait under their identity, oldest first, then those
    on which the program failed, then those of stopped topics.
    """
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
    if selected.wait in (None, Wait.INTAKE_STOPPED):
        key = (selected.institution_id, selected.older_than_seconds, *place)
        rows = await connection.fetch(STOPS["stopped_records"], *key, LIMIT_MAX)
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
        patron_id=row["patron_id"],
        currency=row["currency"],
        amount=row["amount"],
        rule=None if row["rule"] is None else LumpRule(row["rule"]),
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
        Wait(row["wait"]),
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
    applier: Applier,
    item: ParkedRecord,
    justification: Justification,
    allocations: tuple[Share, ...] = (),
) -> DecisionResult:
    """Applies the rules to a parked record again. An over-payment that was held for a person is
    accepted, and its excess becomes a credit.

    A payment that names only a patron (a sum without a line) pays the fines and amounts, in minor
    units, that `allocations` lists; if it lists none, the payment pays the oldest fines first.
    """
    if item.wait is Wait.INTAKE_STOPPED:
        return DecisionResult(item.subject, done=False, outcome=TOPIC_STOPPED)
    if item.wait is Wait.INTERNAL_ERROR and not item.is_bound:
        return await _apply_again(applier, item, justification)
    if item.wait is Wait.INTERNAL_ERROR and item.rule is LumpRule.HOLD and not allocations:
        return await _wait_again(applier, item, justification)
    key, queues = _identity_and_queues(item)
    event = Release(key, item.record == "change", *queues, item.account, allocations)
    if not allocations:
        return await _decide(applier, item, justification, event)
    assert item.currency is not None
    named = (f"{fine}={format_minor(amount, item.currency)}" for fine, amount in allocations)
    return await _decide(applier, item, justification, event, {"fines": " ".join(named)})


async def discard(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """Rejects the record with the reason `discarded`, and keeps its bytes. Records that waited
    behind the discarded one are then decided as well, in this commit or by the sweep.
    """
    if item.wait in UNREAD:
        return await _reject_unread(applier, item, justification)
    key, queues = _identity_and_queues(item)
    event = Discard(key, item.record == "change", *queues, item.account)
    return await _decide(applier, item, justification, event)


def _decision(
    item: ParkedRecord, action: str, justification: Justification, more: Subject | None = None
) -> Decision:
    return Decision(action, item.institution_id, {**item.subject, **(more or {})}, justification)


def _identity_and_queues(
    item: ParkedRecord,
) -> tuple[SourceKey, tuple[FineKey | None, SourceKey | None]]:
    """The identity of a record that is bound, and the queues of its fine and its original."""
    assert item.source is not None
    assert item.id is not None
    key = SourceKey(item.institution_id, item.source, item.id)
    fine = None if item.fine_id is None else FineKey(item.institution_id, item.fine_id)
    original = None if item.original is None else key._replace(id=item.original)
    return key, (fine, original)


async def _decide(
    applier: Applier,
    item: ParkedRecord,
    justification: Justification,
    event: Release | Discard,
    more: Subject | None = None,
) -> DecisionResult:
    is_discard = isinstance(event, Discard)

    async def work(connection: Connection) -> str:
        identity = (item.institution_id, item.record, item.source, item.id)
        await connection.execute(SQL["delete_parked_failure"], *identity)
        try:
            changes = await applier.apply_events(connection, references_of((event,)), (event,))
        except InvalidAllocations as why:
            raise DecisionNotPossible(str(why)) from None
        outcome = outcome_of_decision(changes, event, item.wait, has_failed=item.error is not None)
        if is_discard:
            await _mark_discarded(connection, item)
        return outcome

    action = "parked_discard" if is_discard else "parked_release"
    decision = _decision(item, action, justification, more)
    return await carry_out(applier, decision, work, [event.parked_key])


async def _wait_again(
    applier: Applier, item: ParkedRecord, justification: Justification
) -> DecisionResult:
    """Lets a sum that a person has to decide about wait as it did before the program failed on it.

    That the record can be read again does not decide which fines get the money.
    """

    async def work(connection: Connection) -> str:
        identity = (item.institution_id, item.record, item.source, item.id)
        await connection.execute(SQL["delete_parked_failure"], *identity)
        return CAN_BE_DECIDED

    return await carry_out(applier, _decision(item, "parked_release", justification), work)


async def _mark_discarded(connection: Connection, item: ParkedRecord) -> None:
    """The rejection that this commit has written is not open: a person has decided it already."""
    await mark(connection, item.place, Reason.DISCARDED, "discarded", ("open",))


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
    """Rejects a record that is not decided, without the rules, which may fail on it again.

    A bound identity is rejected with it. What waits behind it learns of that from the sweep.
    """
    detail = rejected(Reason.DISCARDED).detail
    rejection = Rejection(Reason.DISCARDED, detail, item.origin, item.institution_id)
    identity = (item.institution_id, item.record, item.source, item.id)

    async def remove(connection: Connection) -> object:
        if item.wait is Wait.INTAKE_STOPPED:
            return await connection.fetchval(STOPS["delete_stopped"], *item.place)
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
