"""Days with everything that happens to a fine are lost, and read again as they were."""

from __future__ import annotations

import json

import pytest

from tests.restore.days import ITEM, a_lost_day, export_all, line_of, meanwhile
from tests.restore.test_recover import (
    check_agrees,
    check_recovered,
    killed_at,
    reads_again,
    recover,
)
from tests.restore.variants import World
from tests.support.topics import read_topic

BILLED = """
SELECT institution_id, fine_id FROM export_line
 WHERE state = 'live' GROUP BY institution_id, fine_id HAVING count(*) > 1
"""


async def test_a_day_of_three_profiles_is_read_again_as_it_was(world: World) -> None:
    """Among it: fines that were paid in part, waived, adjusted and disputed before their export; a
    payment at the desk after a refusal; a refusal of what was paid; a loan with two lost fines.
    """
    await a_lost_day(world)
    lost = world.backups.names[-1]
    await recover(world)
    await reads_again(world)
    await check_recovered(world, lost, late_changes=2)  # a dispute and its end
    assert await world.site.rows("SELECT FROM adopted_line WHERE state <> 'taken'") == []
    assert await world.site.rows("SELECT DISTINCT profile FROM adopted_batch ORDER BY 1") == [
        {"profile": name} for name in ("bursar", "fees", "other")
    ]
    closed = read_topic(world.site.servers, world.site.topic("loan-closed.v1"))
    events = [json.loads(record.value or b"") for record in closed]
    of_item = {(each["fine_id"], each["closed_at"]) for each in events if each["loan_id"] == ITEM}
    assert [name for name, _ in of_item] == ["F-item-1"]


@pytest.mark.slow
async def test_killed_between_batches_it_adopts_each_of_them_once(world: World) -> None:
    await a_lost_day(world)
    lost = world.backups.names[-1]
    for adopted in (1, 2, 3):
        await killed_at(world, "batch_adopted")
        (row,) = await world.site.rows("SELECT count(*) AS batches FROM adopted_batch")
        assert row["batches"] == adopted
    await recover(world)
    await reads_again(world)
    await check_recovered(world, lost, late_changes=2)


@pytest.mark.slow
async def test_payments_and_answers_that_arrive_meanwhile_are_for_the_adopted_lines(
    world: World,
) -> None:
    """They come while nothing runs, and a whole batch of them is refused."""
    await a_lost_day(world)
    site, url = world.site, world.site.database_url
    world.site.database_url = world.backups.url_of(world.backups.names[-1])
    names = ("new", "early", "adjusted", "waived")
    lines = {name: await line_of(world, name) for name in names}
    site.database_url = url
    await meanwhile(world, lines)
    await recover(world)
    await reads_again(world)
    await check_agrees(world)
    rows = await site.rows(
        "SELECT fine_id, status, outstanding FROM fine WHERE institution_id = '6050'"
    )
    fines = {str(row["fine_id"]).removeprefix("F-"): row for row in rows}
    owed = {name: (fines[name]["status"], fines[name]["outstanding"]) for name in names}
    assert owed == {
        "new": ("Transferred", 0),
        "early": ("Transferred", 80_50),  # what was paid cannot be refused
        "adjusted": ("Transferred", 50_00),
        "waived": ("Transferred", 70_00),
    }
    assert {fines[name]["status"] for name in ("fee", "more")} == {"Active"}
    batches = await site.rows(
        "SELECT state FROM export_batch WHERE (profile, batch_number) = ('fees', 1)"
    )
    assert batches == [{"state": "refused"}]
    assert await site.rows(
        "SELECT response_id, reason FROM export_response WHERE state = $1 ORDER BY 1", "rejected"
    ) == [{"response_id": name, "reason": "already_paid"} for name in ("R-late", "R-whole-1")]
    await site.start()
    await export_all(world)
    assert await site.rows(BILLED) == []
    await site.stop()
    await check_agrees(world)
