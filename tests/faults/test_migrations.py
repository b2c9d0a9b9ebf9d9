"""Several instances migrate the same database at once, and are killed while they do."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.databases import FEW_EVENTS
from tests.faults.stage import Stage
from tests.support.process import connected
from tests.support.waiting import until

NAMES = ("one", "two", "three")
# One waits for the table that the test is making, and the others for their turn.
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
REVISIONS = "SELECT count(*) AS n FROM alembic_version"


@pytest.mark.slow
@pytest.mark.fault("migrations")
async def test_instances_that_migrate_at_once_and_are_killed_meanwhile_migrate_once(
    empty_stage: Stage,
) -> None:
    stage, url = empty_stage, empty_stage.site.database_url
    processes = len(NAMES) * stage.row.processes
    await stage.prepare()
    # A transaction sees the same list of sessions all the time.
    async with connected(url) as rival, connected(url) as watch:
        block = rival.transaction()
        await block.start()
        await rival.execute("CREATE TABLE relay_lease (name text)")
        starting = asyncio.gather(*(stage.start(name, restart=True) for name in NAMES))
        await until(lambda: watch.fetchval(f"{WAITING} HAVING count(*) = {processes}"))
        for name in NAMES:
            stage.row.count("SIGKILL in a migration")
            await stage.members[name].kill()
        # Those that were started again wait as well, behind sessions whose clients are gone.
        await until(lambda: watch.fetchval(f"{WAITING} HAVING count(*) > {processes}"))
        await block.rollback()
    await starting
    # A parent has started before its members have migrated.
    await until(lambda: len(migrated(stage)) > 0)
    assert len(migrated(stage)) == 1
    assert await stage.site.rows(REVISIONS) == [{"n": 1}]

    async def nothing() -> None:
        """The fault is over."""

    await stage.under_load(nothing, FEW_EVENTS)
    assert len(migrated(stage)) == 1


def migrated(stage: Stage) -> list[object]:
    """What the instances have logged of a migration that they have made."""
    logs = [entry for name in NAMES for entry in stage.site.log(name)]
    return [entry for entry in logs if entry["event"] == "migrated"]
