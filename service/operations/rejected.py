"""Lets operators list, replay and discard rejected records; each decision is one commit."""

from collections.abc import AsyncIterator, Collection, Sequence
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
from ..core.events import Incoming, Rejection, Replay
from ..core.ledger import Origin
from ..core.words import Reason, RejectedState
from ..database import encodings
from ..database.references import references_of
from ..database.session import Connection, statements
from ..database.tables import columns_of
from ..messages.decode import RECORD_BYTES_MAX, parse
from .names import (
    Names,
    RecordFilter,
    byte_patterns,
    contract_of,
    names_in,
    names_of_text,
)

SQL = statements("operators")
PAGE_RECORDS = 500  # at most 64 KiB each


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedFilter(RecordFilter):
    """Which rejected records a command is about; a field that is None allows any value. `topic` may
    be given with or without its prefix.
    """

    reason: Reason | None = None
    state: RejectedState | None = None


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A rejected record without its bytes. The same topic, partition and offset may be rejected for
    several reasons, one row for each.

    `removed_after_days` is the age in days at which the purge has removed the record's bytes; None
    if they are still stored.
    """

    place: Place
    institution_id: str | None
    reason: Reason
    detail: str
    state: RejectedState
    size_bytes: int | None
    recorded_at: datetime
    removed_after_days: int | None

    @property
    def subject(self) -> Subject:
        """The names and values by which a recorded operator decision refers to this record."""
        return {**self.place.subject, "reason": self.reason.value}


async def find(connection: Connection, selected: RejectedFilter) -> list[RejectedRecord]:
    """Returns the rejected records that the filter allows, oldest first.

    The table of rejected records has no column for a record's own id: if `id` is given with
    `institution_id`, it is searched in the bytes of the records.
    """
    if selected.id is not None and selected.institution_id is not None:
        named = _naming(connection, selected.institution_id, {selected.id})
        records_named = [
            record
            async for record, names in named
            if names.id == selected.id
            and selected.source in (None, names.source)
            and _is_meant(record, selected)
        ]
        return records_named[: selected.limit]
    rows = await connection.fetch(
        SQL["rejected"],
        selected.institution_id,
        selected.reason,
        selected.topic,
        selected.state,
        selected.partition,
        selected.offset,
        selected.limit,
    )
    return [_record(row) for row in rows]


def _is_meant(record: RejectedRecord, selected: RejectedFilter) -> bool:
    return (
        selected.reason in (None, record.reason)
        and selected.state in (None, record.state)
        and (selected.topic is None or _is_of_topic(record.place.topic, selected.topic))
    )


def _is_of_topic(topic: str, selected: str) -> bool:
    """Whether a topic is the selected one, which may be named without its prefix. The name under
    which an earlier topic of the same name is kept counts as well.
    """
    return any(f".{name}".endswith(f".{selected}") for name in (topic, topic.partition("@")[0]))


async def find_naming(
    connection: Connection,
    institution_id: str,
    fine_ids: Collection[str],
    bursar_transaction_ids: Collection[str],
) -> list[tuple[RejectedRecord, Names]]:
    """Returns the rejected records that name one of the fines or one of the export lines with these
    bursar transaction ids.
    """
    ids = {*fine_ids, *bursar_transaction_ids}
    return [
        (record, names)
        async for record, names in _naming(connection, institution_id, ids)
        if names.has_any(fine_ids, bursar_transaction_ids)
    ]


async def _naming(
    connection: Connection, institution_id: str, texts: Collection[str]
) -> AsyncIterator[tuple[RejectedRecord, Names]]:
    """Records whose bytes hold one of the texts anywhere, with what they name; of records whose
    bytes were removed, those that name one of the texts.
    """
    patterns = sorted({pattern for text in texts for pattern in byte_patterns(text)})
    key = (institution_id, patterns, sorted(texts))
    for row in await connection.fetch(SQL["rejected_naming"], *key):
        if (names := _names(row["record_value"], row["named"])) is not None:
            yield _record(row), names


def _names(value: bytes | None, named: str | None) -> Names | None:
    """What a record says of itself, or said before its bytes were removed."""
    return names_in(value) if named is None else names_of_text(named)


def _record(row: asyncpg.Record) -> RejectedRecord:
    return RejectedRecord(
        Place(row["topic"], row["partition"], row["record_offset"]),
        row["institution_id"],
        Reason(row["reason"]),
        row["detail"],
        RejectedState(row["state"]),
        row["size_bytes"],
        row["recorded_at"],
        row["removed_after_days"],
    )


async def names_of(connection: Connection, items: Sequence[RejectedRecord]) -> list[Names | None]:
    """Returns for each record, in the same order, the ids that its bytes contain, or contained
    before they were removed.
    """
    named: dict[tuple[object, ...], Names | None] = {}
    for begin in range(0, len(items), PAGE_RECORDS):
        page = items[begin : begin + PAGE_RECORDS]
        columns = columns_of((*record.place, record.reason) for record in page)
        for row in await connection.fetch(SQL["rejected_values"], *columns):
            *key, value, text = row.values()
            named[tuple(key)] = _names(value, text)
    return [named.get((*record.place, record.reason.value)) for record in items]


async def origin_of(connection: Connection, item: RejectedRecord) -> Origin | None:
    """Returns the record as it arrived, which may hold personal data; None if it is not stored any
    more.
    """
    row = await connection.fetchrow(SQL["rejected_record"], *item.place, item.reason)
    return None if row is None else encodings.origin_of(row)


def _decision(item: RejectedRecord, action: str, justification: Justification) -> Decision:
    return Decision(action, item.institution_id, item.subject, justification)


async def replay(
    applier: Applier, item: RejectedRecord, justification: Justification
) -> DecisionResult:
    """Parses and decides the record again, and marks it as replayed.

    If the record is rejected again, was replayed before or cannot be replayed, nothing changes and
    the result says why.
    """

    async def work(connection: Connection) -> str:
        event = Replay(_parsed_again(item, await origin_of(connection, item)))
        changes = await applier.apply_events(connection, references_of((event,)), (event,))
        outcome = outcome_of_event(changes)
        if any(Place(*rejection.origin[:3]) == item.place for rejection in changes.rejections):
            raise DecisionNotPossible(f"is rejected again: {outcome.removeprefix('rejected: ')}")
        # A record that was discarded may be taken up again.
        states = (RejectedState.OPEN, RejectedState.DISCARDED)
        if not await mark(connection, item.place, item.reason, RejectedState.REPLAYED, states):
            raise DecisionNotPossible("is replayed already")
        return outcome

    return await carry_out(applier, _decision(item, "rejected_replay", justification), work)


def _parsed_again(item: RejectedRecord, origin: Origin | None) -> Incoming:
    """Raises DecisionNotPossible."""
    if item.state is RejectedState.REPLAYED:
        raise DecisionNotPossible("is replayed already")
    if item.reason is Reason.NO_MATCHING_PAYMENT:
        # The stored bytes say "payment"; which payment they reverse was never determined.
        raise DecisionNotPossible("import the file again: each of its lines is matched anew")
    if item.removed_after_days is not None:
        gone = f"its bytes were removed after {item.removed_after_days} days"
        raise DecisionNotPossible(f"{gone}: its sender can send it again")
    if origin is None:
        raise DecisionNotPossible("is not known any more")
    event = parse(contract_of(item.place.topic), origin)
    if isinstance(event, Rejection):
        raise DecisionNotPossible(_unreadable(item, event, origin))
    return event


def _unreadable(item: RejectedRecord, again: Rejection, origin: Origin) -> str:
    is_whole = origin.value is None or len(origin.value) > RECORD_BYTES_MAX
    if item.reason is Reason.INVALID_SIZE and not is_whole:
        return "its stored value was cut: it cannot be replayed"
    return f"would be rejected again: {again.reason}, {again.detail}"


async def discard(
    applier: Applier, item: RejectedRecord, justification: Justification
) -> DecisionResult:
    """Marks the rejected record as discarded, which means that nobody has to do anything about it
    any more.
    """

    async def work(connection: Connection) -> str:
        if not await mark(connection, item.place, item.reason, "discarded", ("open",)):
            raise DecisionNotPossible(f"is not open: it is {item.state}")
        return "discarded"

    return await carry_out(applier, _decision(item, "rejected_discard", justification), work)


async def mark(
    connection: Connection, place: Place, reason: Reason, state: str, before: Collection[str]
) -> bool:
    """Moves a rejected record to `state`; returns false if it was in none of the states `before`.

    The new state is written in the caller's transaction.
    """
    marked = await connection.fetchval(SQL["mark_rejected"], *place, reason, state, list(before))
    return marked is not None
