"""What a large ledger costs: the rate of the same fines with it, by that with a small one."""

from collections.abc import Sequence
from random import Random

import asyncpg

from tests.bench.ledgers import fill, multiply
from tests.bench.load import FINE, SEED, Record, more_fines
from tests.bench.throughput import PEAK, SERVICE, Plan, Tell, pace
from tests.bench.world import BenchFailed, new_database, new_topics, new_world
from tests.support.services import Services

TURNS = 3
PATRONS = "SELECT patron_id FROM patron ORDER BY md5(patron_id) LIMIT $1"
# Of a ledger in which nothing has happened but fines, in one pass over each table.
SUMS = """
SELECT fines, open, transactions, active, transferred
FROM (SELECT count(*) AS fines, sum(remaining) AS open FROM fine) AS fine
CROSS JOIN (SELECT count(*) AS transactions FROM ledger_transaction) AS ledger_transaction
CROSS JOIN (
    SELECT sum(active) AS active, sum(transferred) AS transferred FROM account
) AS account
"""


async def measure(
    services: Services, fines: tuple[int, int], plan: Plan, tell: Tell
) -> dict[str, list[float]]:
    """In turns. Each turn begins with the small ledger as it was made; the large one keeps what it
    has got, for a copy of it would take longer than the measurement and as much room again.
    """
    small, large = fines
    rates: dict[str, list[float]] = {"growth_small_rate": [], "growth_large_rate": []}
    peaks = []
    async with new_database(services) as few, new_database(services) as many:
        for url in (few, many):
            await fill(url, small)
        tell(f"a ledger with {large} fines")
        await multiply(many, large // small)
        patrons = await _patrons(few, small)
        spread = await _patrons(many, len(patrons))
        count = plan.events + plan.warm_up
        for turn in range(TURNS):
            tell(f"fines into a ledger with {small}, turn {turn + 1} of {TURNS}")
            async with new_world(services, few) as world:
                load = _load(patrons, turn, count)
                paced = await pace(world, SERVICE, FINE, load, plan.warm_up)
                await _require_sound(world.database_url, small + count)
            rates["growth_small_rate"].append(paced.rate)
            peaks.append(paced.peak_mb)
            tell(f"fines into a ledger with {large}, turn {turn + 1} of {TURNS}")
            async with new_topics(services, many) as world:
                load = _load(spread, turn, count)
                paced = await pace(world, SERVICE, FINE, load, plan.warm_up)
            rates["growth_large_rate"].append(paced.rate)
            peaks.append(paced.peak_mb)
        await _require_sound(many, large + TURNS * count)
    pairs = zip(rates["growth_large_rate"], rates["growth_small_rate"], strict=True)
    growth = [with_many / with_few for with_many, with_few in pairs]
    return {"growth": growth, PEAK: [max(peaks)]} | rates


async def _patrons(url: str, count_max: int) -> list[str]:
    """Of so many patrons of the ledger, from all over it: the load has as many in both."""
    connection = await asyncpg.connect(url)
    try:
        return [row["patron_id"] for row in await connection.fetch(PATRONS, count_max)]
    finally:
        await connection.close()


def _load(patrons: Sequence[str], turn: int, count: int) -> list[Record]:
    """Other fines in each turn."""
    chosen = Random(SEED + turn).choices(patrons, k=count)
    return list(more_fines(chosen, turn * count))


async def _require_sound(url: str, fines: int) -> None:
    """Raises BenchFailed unless the ledger has so many fines and owes what they say.

    The auditor has no records of the fines that a ledger was filled with.
    """
    connection = await asyncpg.connect(url)
    try:
        sums = await connection.fetchrow(SUMS)
    finally:
        await connection.close()
    assert sums is not None
    expected = (fines, sums["active"], fines, sums["active"], 0)
    if tuple(sums.values()) != expected:
        raise BenchFailed(f"{fines} fines have left a ledger with {dict(sums)}")
