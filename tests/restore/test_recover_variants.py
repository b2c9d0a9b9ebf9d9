"""Ways to an older database after which the topics do not tell all, or say it in another way."""

from __future__ import annotations

import asyncio

import pytest

from tests.restore.test_older_database import commands_of
from tests.restore.test_recover import check_agrees, check_recovered, reads_again, recover
from tests.restore.variants import (
    World,
    an_output_topic_that_cannot_be_read,
    only_a_decision_since_the_backup,
    output_topics_made_anew_after_the_backup,
)
from tests.support.restoring import state_of
from tests.support.topic_rights import allow_reading

LIVE = """
SELECT batch_number, fine_id FROM export_line WHERE state = 'live' ORDER BY batch_number, fine_id
"""


@pytest.mark.slow
async def test_a_decision_that_is_all_that_was_lost_is_listed_to_be_made_again(
    world: World,
) -> None:
    await only_a_decision_since_the_backup(world)
    shown = await commands_of(world).lines("recover", "--dry-run")
    assert [row["action"] for row in shown if row["what"] == "decision"] == ["export_pause"]
    await recover(world)
    (decision,) = await commands_of(world).lines("recovered", "decisions")
    assert (decision["action"], decision["subject"]["profile"]) == ("export_pause", "bursar")
    await reads_again(world)
    await check_agrees(world)


@pytest.mark.slow
async def test_nothing_is_recovered_while_a_topic_may_not_be_read(world: World) -> None:
    await an_output_topic_that_cannot_be_read(world)
    topic, lost = world.site.topic("export-batch.v1"), world.backups.names[-1]
    before = await state_of(world.site)
    for how in ("--dry-run", "--yes"):
        result = await commands_of(world).call("recover", how)
        assert (result.exit_code == 0, topic in result.stderr) == (False, True), result.output
    assert await state_of(world.site) == before
    await asyncio.to_thread(allow_reading, world.admin, topic)
    await recover(world)
    await reads_again(world)
    await check_recovered(world, lost)


@pytest.mark.slow
async def test_what_topics_that_were_made_anew_hold_is_recovered(world: World) -> None:
    """What the former topics held is in the backup; the audit misses it in the new ones."""
    await output_topics_made_anew_after_the_backup(world)
    await recover(world)
    await reads_again(world)
    await world.works(world.exports_more)
    assert await world.site.rows(LIVE) == [
        {"batch_number": 1, "fine_id": "F-1"},
        {"batch_number": 2, "fine_id": "F-3"},
        {"batch_number": 3, "fine_id": "F-8"},
    ]
    commands = commands_of(world)
    for arguments in (("restore-check", "show"), ("reconcile",)):
        result = await commands.call(*arguments)
        assert result.exit_code == 0, result.output
    rows = await commands.lines("audit", code=1)
    missed = {row["finding"] for row in rows if row["what"] == "difference"}
    assert missed == {"not_published"}
