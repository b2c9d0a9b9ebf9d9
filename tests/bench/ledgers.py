"""Ledgers with fines in them, for measurements that begin where others end."""

from itertools import islice

import asyncpg

from service.apply import Applier, Outputs
from service.core.events import Refused
from service.core.ledger import Origin
from service.database.ledger_store import LedgerStore
from service.database.pool import create_pool
from service.database.references import references
from service.messages import parse
from tests.bench.load import FINE, Line, Record, fines

POLL = 2_000


async def fill(database_url: str, count: int) -> None:
    """Puts `count` fines into an empty ledger by the service's own write path, nothing to send."""
    records = fines(count)
    async with await create_pool(database_url) as pool:
        applier = Applier(pool, LedgerStore(parse), Outputs("b", "l", "r", "/bench"))
        while poll := list(islice(records, POLL)):
            await _apply(applier, poll)
    await tidy(database_url, "TRUNCATE outbox")


async def tidy(database_url: str, *first: str) -> None:
    """Statistics as a ledger in use has them; no vacuum starts in the middle of a measurement."""
    connection = await asyncpg.connect(database_url)
    try:
        for statement in (*first, "VACUUM ANALYZE"):
            await connection.execute(statement)
    finally:
        await connection.close()


async def exported_lines(database_url: str) -> list[Line]:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT patron_id, bursar_transaction_id, line.amount FROM export_line AS line"
            " JOIN fine USING (institution_id, fine_id) ORDER BY bursar_transaction_id"
        )
    finally:
        await connection.close()
    return [Line(*row.values()) for row in rows]


async def _apply(applier: Applier, poll: list[Record]) -> None:
    events = []
    for offset, record in enumerate(poll):
        origin = Origin("bench", 0, offset, record.key, record.value, record.headers)
        event = parse(FINE, origin)
        assert not isinstance(event, Refused), event.detail
        events.append(event)
    await applier.retried(
        lambda connection: applier.apply_events(connection, references(events), events)
    )


async def multiply(database_url: str, times: int) -> None:
    """The same fines of ever more patrons: a large ledger in the time of a few statements."""
    copies = f"generate_series(2, {times}) AS copy (n)"
    statements = [
        f"INSERT INTO {table} SELECT (jsonb_populate_record(row, {changed})).*"
        f" FROM {table} AS row, {copies}"
        for table, changed in _CHANGED.items()
    ]
    await tidy(database_url, *statements)


_PATRON = "'patron_id', row.patron_id || '-' || copy.n"
_FINE = "'fine_id', row.fine_id || '-' || copy.n"
_TRANSACTION = "'transaction_id', md5(row.transaction_id || copy.n)"
_CHANGED = {
    "account": f"jsonb_build_object({_PATRON})",
    "patron": f"jsonb_build_object({_PATRON})",
    "fine": f"jsonb_build_object({_PATRON}, {_FINE})",
    "ledger_transaction": f"jsonb_build_object({_PATRON}, {_FINE}, {_TRANSACTION})",
}
