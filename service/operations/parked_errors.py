"""Parked records on which the program failed, and which were sent again and decided since then, so
that the parked copy can be removed.

A record on which the program failed does not occupy its identity, so that its sender can send it
again once the error is corrected. Once the second copy was decided, nothing is left to decide about
the parked first copy: it would be a repeat.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import asyncpg

from ..apply.isolation import is_of_a_record
from ..apply.operator_actions import Place
from ..core.batches import Response
from ..core.events import FineCreated, Incoming, Rejection
from ..core.ledger import Change, Payment
from ..core.words import ItemState
from ..database import encodings
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, statements
from ..database.tables import columns_of
from ..messages.decode import parse
from .conflicts import TABLE_OF
from .names import contract_of

SQL = statements("retention")
PAGE_RECORDS = 100  # at most 64 KiB each
_BEGIN = (datetime(1, 1, 1, tzinfo=UTC), "", 0, 0)


async def count_decided(connection: Connection, days: int, rows_max: int) -> int:
    """Returns how many parked records that were decided since then are older than `days` days,
    counted up to `rows_max`.
    """
    return len(await _decided(connection, days, rows_max))


async def remove_decided(connection: Connection, days: int, rows_max: int) -> int:
    """Removes up to `rows_max` parked records that were decided since then and are older than
    `days` days, in the caller's transaction; returns how many it has removed.
    """
    places = await _decided(connection, days, rows_max)
    if not places:
        return 0
    columns = columns_of(places)
    return int(await connection.fetchval(SQL["remove_parked_errors"], *columns))


async def _decided(connection: Connection, days: int, rows_max: int) -> list[Place]:
    """All old records are read each time, because those that still wait stay. They are few."""
    decided: list[Place] = []
    after: tuple[object, ...] = _BEGIN
    while len(decided) < rows_max:
        rows = await connection.fetch(SQL["old_parked_errors"], days, *after, PAGE_RECORDS)
        decided += await _decided_of(connection, rows)
        if len(rows) < PAGE_RECORDS:
            break
        last = rows[-1]
        after = (last["recorded_at"], last["topic"], last["partition"], last["record_offset"])
    return decided[:rows_max]


async def _decided_of(connection: Connection, rows: Sequence[asyncpg.Record]) -> list[Place]:
    """The places of those records whose identity is known with the same content."""
    by_type: dict[type, list[Incoming]] = {}
    for event in map(_event, rows):
        if event is not None:
            by_type.setdefault(type(event), []).append(event)
    repeats: list[Incoming] = []
    for sort, events in by_type.items():
        known = _known_fines if sort is FineCreated else _known_records
        digests = await known(connection, sort, events)
        repeats += [event for event in events if _is_known(event, digests.get(event.key))]
    return [Place(*event.origin[:3]) for event in repeats]


def _event(row: asyncpg.Record) -> Incoming | None:
    """The event of a record; None if the program still fails on it, or would reject it."""
    try:
        event = parse(contract_of(row["topic"]), encodings.origin_of(row))
    except Exception as problem:
        if not is_of_a_record(problem):
            raise
        return None
    return None if isinstance(event, Rejection) else event


async def _known_fines(
    connection: Connection, _: type, events: Collection[Incoming]
) -> dict[object, bytes]:
    keys = {event.key for event in events if isinstance(event, FineCreated)}
    fines = await LedgerReader(parse).fines_by_key(connection, keys)
    return {key: fine.facts.digest for key, fine in fines.items()}


async def _known_records(
    connection: Connection, sort: type, events: Collection[Incoming]
) -> dict[object, bytes]:
    table = TABLE_OF[sort]
    columns = columns_of({event.key for event in events})
    rows = await connection.fetch(statements("ledger")[f"read_{table.name}"], *columns)
    items = [table.value(row) for row in rows]
    return {item.key: item.digest for item in items if _is_decided(item)}


def _is_decided(item: Payment | Change | Response) -> bool:
    """An answer that was rejected is decided anew when it comes again."""
    return not (isinstance(item, Response) and item.state is ItemState.REJECTED)


def _is_known(event: Incoming, digest: bytes | None) -> bool:
    return digest is not None and event.has_content(digest)
