"""Rejected records for people: listed, replayed, discarded; each decision is one commit."""

from collections.abc import Collection, Sequence
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
from ..core.events import Incoming, Rejection, Replay
from ..core.ledger import Origin
from ..core.words import Reason, RejectedState
from ..database import records
from ..database.references import references
from ..database.session import Connection, statements
from ..messages import RECORD_BYTES_MAX, parse
from .names import Names, contract_of, names_in, needles

SQL = statements("operators")
ALL_MAX = 1_000_000
PAGE_RECORDS = 500  # at most 64 KiB each


@dataclass(frozen=True, slots=True)
class RejectedFilter:
    """What is looked for; None: any. `topic` with its prefix or without."""

    institution_id: str | None = None
    reason: Reason | None = None
    topic: str | None = None
    state: RejectedState | None = None
    partition: int | None = None
    offset: int | None = None
    source: str | None = None
    id: str | None = None
    limit: int = ALL_MAX


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A rejected record without its bytes; the same place may be there for several reasons."""

    place: Place
    institution_id: str | None
    reason: Reason
    detail: str
    state: RejectedState
    size_bytes: int | None
    recorded_at: datetime

    @property
    def subject(self) -> Subject:
        return {**self.place.subject, "reason": self.reason.value}


async def find(connection: Connection, wanted: RejectedFilter) -> list[RejectedRecord]:
    """Oldest first. An identity (`id`, with `institution_id`) is looked for in the bytes."""
    if wanted.id is not None and wanted.institution_id is not None:
        return await _find_named(connection, wanted, wanted.institution_id, wanted.id)
    rows = await connection.fetch(
        SQL["rejected"],
        wanted.institution_id,
        wanted.reason,
        wanted.topic,
        wanted.state,
        wanted.partition,
        wanted.offset,
        wanted.limit,
    )
    return [_record(row) for row in rows]


async def _find_named(
    connection: Connection, wanted: RejectedFilter, institution_id: str, own_id: str
) -> list[RejectedRecord]:
    rows = await connection.fetch(SQL["rejected_naming"], institution_id, needles(own_id))
    found = []
    for row in rows:
        names = names_in(row["record_value"])
        if names is None or names.id != own_id:
            continue
        if wanted.source in (None, names.source):
            found.append(_record(row))
    return [one for one in found if _is_meant(one, wanted)][: wanted.limit]


def _is_meant(found: RejectedRecord, wanted: RejectedFilter) -> bool:
    return (
        wanted.reason in (None, found.reason)
        and wanted.state in (None, found.state)
        and (wanted.topic is None or _is_of_topic(found.place.topic, wanted.topic))
    )


def _is_of_topic(topic: str, wanted: str) -> bool:
    """With its prefix or without, and also where the topic was made anew since."""
    return any(f".{name}".endswith(f".{wanted}") for name in (topic, topic.partition("@")[0]))


async def find_naming(
    connection: Connection, institution_id: str, fine_ids: Collection[str], lines: Collection[str]
) -> list[tuple[RejectedRecord, Names]]:
    """Those that name one of the fines, or one of the bursar transaction ids."""
    bytes_of = sorted({one for text in {*fine_ids, *lines} for one in needles(text)})
    found = []
    for row in await connection.fetch(SQL["rejected_naming"], institution_id, bytes_of):
        names = names_in(row["record_value"])
        if names is not None and (names.fine_id in fine_ids or names.lines & set(lines)):
            found.append((_record(row), names))
    return found


def _record(row: asyncpg.Record) -> RejectedRecord:
    return RejectedRecord(
        Place(row["topic"], row["partition"], row["record_offset"]),
        row["institution_id"],
        Reason(row["reason"]),
        row["detail"],
        RejectedState(row["state"]),
        row["size_bytes"],
        row["recorded_at"],
    )


async def names_of(connection: Connection, items: Sequence[RejectedRecord]) -> list[Names | None]:
    """Whom each says it is, in their order: read from the bytes, page by page."""
    found: dict[tuple[object, ...], Names | None] = {}
    for begin in range(0, len(items), PAGE_RECORDS):
        keys = [(*one.place, one.reason) for one in items[begin : begin + PAGE_RECORDS]]
        columns = [list(column) for column in zip(*keys, strict=True)]
        for row in await connection.fetch(SQL["rejected_values"], *columns):
            *key, value = row.values()
            found[tuple(key)] = names_in(value)
    return [found.get((*one.place, one.reason.value)) for one in items]


async def origin_of(connection: Connection, item: RejectedRecord) -> Origin | None:
    """The record as it came: personal data."""
    row = await connection.fetchrow(SQL["rejected_record"], *item.place, item.reason)
    return None if row is None else records.origin(row)


async def replay(
    applier: Applier, item: RejectedRecord, justification: Justification
) -> DecisionResult:
    """Read anew and decided afresh; rejected again, nothing changes."""

    async def work(connection: Connection) -> str:
        event_again = Replay(_read_anew(item, await origin_of(connection, item)))
        changes = await applier.apply_events(connection, references((event_again,)), (event_again,))
        if any(Place(*refused.origin[:3]) == item.place for refused in changes.rejections):
            raise DecisionNotPossible(
                f"is rejected again: {outcome_of_event(changes).removeprefix('rejected: ')}"
            )
        outcome = outcome_of_event(changes)
        await _mark_open(connection, item, RejectedState.REPLAYED)
        await _put(connection, item, justification, "rejected_replay", outcome)
        return outcome

    return await carry_out(applier, item.subject, work)


def _read_anew(item: RejectedRecord, origin: Origin | None) -> Incoming:
    """Raises DecisionNotPossible."""
    if item.state is RejectedState.REPLAYED:
        raise DecisionNotPossible("is replayed already")
    if item.reason is Reason.NO_MATCHING_PAYMENT:
        # What is stored says "payment": which one it takes back was never found out.
        raise DecisionNotPossible("import the file again: each of its lines is matched anew")
    if origin is None:
        raise DecisionNotPossible("is not known any more")
    event = parse(contract_of(item.place.topic), origin)
    if isinstance(event, Rejection):
        raise DecisionNotPossible(_unreadable(item, event, origin))
    return event


def _unreadable(item: RejectedRecord, again: Rejection, origin: Origin) -> str:
    whole = origin.value is None or len(origin.value) > RECORD_BYTES_MAX
    if item.reason is Reason.INVALID_SIZE and not whole:
        return "its stored value was cut: it cannot be replayed"
    return f"would be rejected again: {again.reason}, {again.detail}"


async def discard(
    applier: Applier, item: RejectedRecord, justification: Justification
) -> DecisionResult:
    """Nothing more is to be done about it."""

    async def work(connection: Connection) -> str:
        if not await mark(connection, item.place, item.reason, "discarded", ("open",)):
            raise DecisionNotPossible(f"is not open: it is {item.state}")
        await _put(connection, item, justification, "rejected_discard", "discarded")
        return "discarded"

    return await carry_out(applier, item.subject, work)


async def _mark_open(connection: Connection, item: RejectedRecord, state: RejectedState) -> None:
    """A discarded one may be taken up again. Raises DecisionNotPossible."""
    from_states = (RejectedState.OPEN, RejectedState.DISCARDED)
    if not await mark(connection, item.place, item.reason, state, from_states):
        raise DecisionNotPossible("is replayed already")


async def mark(
    connection: Connection, place: Place, reason: Reason, state: str, before: Collection[str]
) -> bool:
    """Whether the row was in one of the states before."""
    done = await connection.fetchval(SQL["mark_rejected"], *place, reason, state, list(before))
    return done is not None


async def _put(
    connection: Connection,
    item: RejectedRecord,
    justification: Justification,
    action: str,
    outcome: str,
) -> None:
    await put_action(connection, justification, action, item.institution_id, item.subject, outcome)
