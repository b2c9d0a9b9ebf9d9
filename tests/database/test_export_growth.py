"""However long a run is: what it holds does not grow, and no batch costs more than the first."""

from __future__ import annotations

import gc

import asyncpg

from service.database.session import statements
from service.export.manifest import Manifest
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, fine, profile_of, profiles_of

SQL = statements("export")
PROFILE = institution() + profile(fines_max=1)


async def test_a_run_forgets_each_manifest_once_it_is_sealed(path: WritePath) -> None:
    await path.take(*(fine(fine_id=f"F-{n}", loan_id=f"L-{n}") for n in range(6)))
    profiles = profiles_of(PROFILE)
    alive: list[int] = []

    def sealed(_: Manifest) -> None:
        alive.append(sum(isinstance(get_object, Manifest) for get_object in gc.get_objects()))

    batches = await path.exports(profiles).run_profile(profile_of(profiles, "bursar"), sealed)
    assert batches == len(alive) == 6
    assert alive[-1] == alive[0]


async def test_a_page_is_read_from_the_mark_on_in_the_order_of_the_index(database_url: str) -> None:
    plan = await plan_of(database_url, SQL["open_fines"], "972", "USD", "P-7", "F-7", 1_000)
    assert "Index Scan using fine_open" in plan
    assert "ROW((patron_id)::text, (fine_id)::text) > ROW('P-7'" in plan
    assert "Sort" not in plan


async def test_whole_patrons_are_read_by_the_index_of_open_fines(database_url: str) -> None:
    patrons = ["P-7", "P-8"]
    sql = SQL["open_fines_of_patrons"]
    plan = await plan_of(database_url, sql, "972", "USD", "P-7", "F-7", patrons, ["F-8"], 2_000)
    conditions = [line for line in plan.splitlines() if "Index Cond" in line]
    (condition,) = (line for line in conditions if "patron_id" in line)
    assert "Scan using fine_open" in plan
    assert "(patron_id)::text = ANY" in condition
    assert "hashed SubPlan" in plan, "each row would be compared with all fines that are known"
    assert "Sort" not in plan, "each page would sort all that is left of these patrons"


async def plan_of(database_url: str, sql: str, *arguments: object) -> str:
    """As in a table too large to be read whole."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET enable_seqscan = off")
        rows = await connection.fetch(f"EXPLAIN {sql}", *arguments)
    finally:
        await connection.close()
    return "\n".join(row[0] for row in rows)
