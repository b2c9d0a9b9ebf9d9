"""Ledgers with fines in them, for measurements that begin where others end."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

import asyncpg

from service.apply.applier import Applier
from service.core.events import Rejection
from service.core.ledger import Origin
from service.database.ledger_read import LedgerReader
from service.database.outbox import Outputs
from service.database.references import references_of
from service.database.session import Connection, create_pool
from service.export.batch import Limits
from service.export.job import ExportJob
from service.export.profiles.profile import Profiles
from service.export.profiles.reading import read_profiles
from service.export.publish import ExportTopics
from service.messages.decode import parse
from tests.bench.load import FINE, Line, Record, fines
from tests.bench.world import profiles_file
from tests.support.guards import Unguarded

POLL = 2_000
BALANCES = "balance-changed.v1"
OUTPUTS = Outputs(BALANCES, "l", "r", "o", "/bench")


async def fill(database_url: str, count: int) -> None:
    """Puts `count` fines into an empty ledger by the service's own write path, nothing to send."""
    await put(database_url, fines(count))
    await tidy(database_url, "TRUNCATE outbox")


async def put(database_url: str, records: Iterator[Record]) -> None:
    """The same with these fines; what they would send stays in the outbox."""
    async with await create_pool(database_url) as pool:
        applier = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS)
        while poll := list(islice(records, POLL)):
            await apply(applier, poll)


async def tidy(database_url: str, *first: str) -> None:
    """Statistics as a ledger in use has them; no vacuum starts in the middle of a measurement."""
    connection = await asyncpg.connect(database_url)
    try:
        for statement in (*first, "VACUUM ANALYZE"):
            await connection.execute(statement)
    finally:
        await connection.close()


async def export_whole(database_url: str, batch: Limits) -> None:
    """Everything that the profile takes, in batches of this size; nothing to send."""
    profile = replace(read_profiles(profiles_file()).profiles[0], limits=batch)
    async with await create_pool(database_url) as pool:
        applier = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS)
        job = ExportJob(applier, ExportTopics("x", "m"), Profiles((), (profile,)))
        await job.run_profile(profile)
    await tidy(database_url, "TRUNCATE outbox")


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


async def apply(applier: Applier, poll: list[Record], contract: str = FINE) -> None:
    """All of them in one commit."""
    events = []
    for offset, record in enumerate(poll):
        origin = Origin("bench", 0, offset, record.key, record.value, record.headers)
        event = parse(contract, origin)
        assert not isinstance(event, Rejection), event.detail
        events.append(event)
    await applier.run_in_transaction(
        lambda connection: applier.apply_events(connection, references_of(events), events)
    )


async def multiply(database_url: str, times: int) -> None:
    """The same fines of ever more patrons: a large ledger in the time of a few statements."""
    connection = await asyncpg.connect(database_url)
    try:
        statements = [await _copies(connection, table, times) for table in _CHANGED]
    finally:
        await connection.close()
    await tidy(database_url, *statements)


async def keep_due(database_url: str, count: int) -> None:
    """Of all open fines only so many are due, evenly spread; the others are too young for ever."""
    await tidy(database_url, _TOO_YOUNG.format(count=count))


_TOO_YOUNG = """
UPDATE fine SET created_at = '2999-01-01Z'
FROM (
    SELECT
        institution_id,
        fine_id,
        row_number() OVER (ORDER BY patron_id, fine_id) AS place,
        count(*) OVER () AS fines
    FROM fine
) AS ranked
WHERE
    fine.institution_id = ranked.institution_id
    AND fine.fine_id = ranked.fine_id
    AND ranked.place % (ranked.fines / {count}) <> 0
"""


async def _copies(connection: Connection, table: str, times: int) -> str:
    """Every row with other keys, `times - 1` times."""
    described = await connection.prepare(f"SELECT * FROM {table}")
    names = [attribute.name for attribute in described.get_attributes()]
    columns = ", ".join(_CHANGED[table].get(name, f"row.{name}") for name in names)
    return (
        f"INSERT INTO {table} SELECT {columns} FROM {table} AS row,"
        f" generate_series(2, {times}) AS copy (n)"
    )


_PATRON = {"patron_id": "row.patron_id || '-' || copy.n"}
_FINE = {"fine_id": "row.fine_id || '-' || copy.n"}
_TRANSACTION = {"transaction_id": "md5(row.transaction_id || copy.n)"}
_CHANGED: Mapping[str, Mapping[str, str]] = {
    "account": _PATRON,
    "patron": _PATRON,
    "fine": _PATRON | _FINE,
    "ledger_transaction": _PATRON | _FINE | _TRANSACTION,
}
