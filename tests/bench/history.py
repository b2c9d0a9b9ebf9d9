"""The records that a ledger comes from, where they stand in no topic of a measurement.

A measurement may begin with a copy of a ledger. The auditor then gets the earlier records as if
they stood in front of the first record of each topic, and judges the whole ledger.
"""

from collections.abc import Mapping, Sequence

import asyncpg

from tests.auditor.evidence import Evidence, Record
from tests.bench import load
from tests.bench.ledgers import BALANCES, put, tidy

# Records by their contract, in the order of their topics.
History = Mapping[str, Sequence[Record]]
EMPTY: History = {}


async def fill_with_history(database_url: str, count: int) -> History:
    """Puts `count` fines into an empty ledger; returns their records and their events, which are
    not sent.
    """
    fines = list(load.fines(count))
    await put(database_url, iter(fines))
    connection = await asyncpg.connect(database_url)
    try:
        waiting = await connection.fetch("SELECT * FROM outbox ORDER BY id")
    finally:
        await connection.close()
    await tidy(database_url, "TRUNCATE outbox")
    tables = {"outbox": [dict(row) for row in waiting], "outbox_set_aside": []}
    events = Evidence("", {BALANCES: []}, {}, {}, tables).published(BALANCES)
    return {load.FINE: [Record("", 0, 0, *record) for record in fines], BALANCES: events}


def preceded(evidence: Evidence, before: History) -> Evidence:
    """The same evidence with earlier records in front, which get offsets below zero."""
    records = {
        contract: [*_in_front(evidence.topic(contract), before.get(contract, ())), *those]
        for contract, those in evidence.records.items()
    }
    whole = Evidence(evidence.prefix, records, evidence.starts, evidence.ends)
    return whole.with_tables(evidence.tables)


def _in_front(topic: str, records: Sequence[Record]) -> list[Record]:
    return [
        record._replace(topic=topic, partition=0, offset=place)
        for place, record in enumerate(records, start=-len(records))
    ]
