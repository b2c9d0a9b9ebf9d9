"""An older database came back: nothing is written on top of it, whatever is tried and how often."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.restore.variants import (
    VARIANTS,
    Variant,
    World,
    a_day_of_everything,
    a_failover_that_lost_commits,
    an_empty_database_beside_old_topics,
    an_output_topic_that_cannot_be_read,
    exchanged_under_a_running_service_with_exports_alone,
    exchanged_under_a_running_service_with_inputs,
    group_offsets_gone,
    only_exports_since_the_backup,
    output_topics_made_anew_after_the_backup,
)
from tests.support.commands import Commands
from tests.support.restoring import (
    OLDER,
    Ended,
    last_line,
    start_and_end,
    state_of,
    writing_commands,
)
from tests.support.topic_rights import allow_reading

BATCH = Path(__file__).parents[1] / "golden" / "full.xml"
STARTS = 10


# One of each kind of evidence, and both ways in which a database is exchanged.
ALWAYS = (
    a_day_of_everything,
    an_empty_database_beside_old_topics,
    exchanged_under_a_running_service_with_inputs,
    group_offsets_gone,
    only_exports_since_the_backup,
    output_topics_made_anew_after_the_backup,
)


def name_of(variant: Variant) -> str:
    return variant.__name__


def chosen(variant: Variant) -> object:
    """The others take minutes together, so they are slow tests."""
    marks = () if variant in ALWAYS else (pytest.mark.slow,)
    return pytest.param(variant, marks=marks)


def commands_of(world: World) -> Commands:
    site = world.site
    settings = {name: text for name, text in site.environment.items() if name.startswith("BURSAR_")}
    return Commands(site.database_url, site.servers, **settings)


async def every_command(world: World) -> list[Ended]:
    commands = commands_of(world)
    file = world.site.folder / "returned.xml"
    file.write_text(BATCH.read_text("utf-8").replace(">972<", ">6050<"), "utf-8")
    ends = []
    for arguments in writing_commands(str(file)):
        result = await commands.call(*arguments)
        ends.append(Ended(result.exit_code, last_line(result.stderr)))
    return ends


async def check_show_and_clear(world: World) -> None:
    """What was found is shown, and cannot be cleared away while it is still there."""
    commands = commands_of(world)
    shown = await commands.call("restore-check", "show")
    assert (shown.exit_code, bool(shown.stdout)) == (OLDER, True), shown.output
    assert "`bursar-bridge recover --dry-run`" in shown.stderr
    cleared = await commands.call("restore-check", "clear", "--reason", "tried")
    assert cleared.exit_code in (OLDER, 0), cleared.output
    assert cleared.exit_code == 0 or "not cleared: `bursar-bridge recover" in cleared.stderr
    checked = await commands.call("check")
    assert (checked.exit_code, "restore check" in checked.stdout) == (1, True), checked.output
    reconciled = await commands.call("reconcile")
    assert reconciled.exit_code == OLDER, reconciled.output


def check_ends(ends: list[Ended]) -> None:
    """All with the same status, each with one line, and that the same."""
    assert [end for end in ends if end.code != OLDER] == []
    assert len({item.line for item in ends}) == 1, ends


@pytest.mark.fault("restored-backup")
@pytest.mark.parametrize("variant", list(map(chosen, VARIANTS)), ids=name_of)
async def test_nothing_is_written_on_top_of_an_older_database(
    world: World, variant: Variant
) -> None:
    await variant(world)
    before = await state_of(world.site)
    ends = [await start_and_end(world.site)]
    ends += await asyncio.gather(start_and_end(world.site), start_and_end(world.site))
    ends += await every_command(world)
    check_ends(ends)
    assert await state_of(world.site) == before
    if variant is not a_failover_that_lost_commits:
        await check_show_and_clear(world)
        check_ends([await start_and_end(world.site), ends[0]])
        assert await state_of(world.site) == before


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 1, 12])
@pytest.mark.parametrize("variant", VARIANTS, ids=name_of)
async def test_ten_starts_in_a_row_write_nothing(
    world: World, variant: Variant, seconds: int
) -> None:
    await variant(world)
    before = await state_of(world.site)
    ends = []
    for _ in range(STARTS):
        ends.append(await start_and_end(world.site))
        await asyncio.sleep(seconds)
    ends += await asyncio.gather(start_and_end(world.site), start_and_end(world.site))
    ends += await every_command(world)
    check_ends(ends)
    assert await state_of(world.site) == before


async def test_while_a_topic_may_not_be_read_the_service_waits_and_nothing_is_written(
    world: World,
) -> None:
    await an_output_topic_that_cannot_be_read(world)
    topic, before = world.site.topic("export-batch.v1"), await state_of(world.site)
    await world.site.start(until="restore_check_awaited")
    status, page = await world.site.page("/readyz")
    assert (status, f"topic {topic} cannot be read" in page) == (503, True)
    check_ends(await every_command(world))
    shown = await commands_of(world).call("restore-check", "show")
    assert (shown.exit_code, f"topic {topic} cannot be read" in shown.stdout) == (OLDER, True)
    checked = await commands_of(world).call("check")
    assert (checked.exit_code, "an older database" in checked.stdout) == (1, False)
    assert await state_of(world.site) == before
    await asyncio.to_thread(allow_reading, world.admin, topic)
    await world.ends_by_itself()  # now it is known that the database is older
    assert await state_of(world.site) == before


async def test_lost_commits_that_left_no_trace_are_cleared_by_a_person(world: World) -> None:
    await a_failover_that_lost_commits(world)
    commands = commands_of(world)
    shown = await commands.lines("restore-check", "show", code=OLDER)
    assert [row["finding"] for row in shown if row["what"] == "verdict"] == ["commits_lost"]
    group_is_ahead = any(row["what"] == "now" for row in shown)
    cleared = await commands.call("restore-check", "clear", "--reason", "the last second is lost")
    if group_is_ahead:  # the group was told in time: then Kafka knows it, too
        assert cleared.exit_code == OLDER
        return
    assert cleared.exit_code == 0
    await world.works(world.exports)


async def test_with_a_newer_backup_the_service_goes_on(world: World) -> None:
    await only_exports_since_the_backup(world)
    newest = world.backups.names[-1]  # what the older one took the place of
    assert (await start_and_end(world.site)).code == OLDER
    await world.backups.put_back(newest)
    await world.works(world.everything)
    batches = await world.site.rows("SELECT batch_number, state FROM export_batch ORDER BY 1")
    assert [row["batch_number"] for row in batches] == [1, 2]


async def test_a_copy_that_lacks_nothing_may_take_the_place_under_a_running_service(
    world: World,
) -> None:
    await world.site.start()
    await world.everything()
    await world.idle()
    await world.backups.put_back(await world.backups.take())
    await world.first_day()
    await world.idle()
    await world.site.stop()
    assert "database_changed" in {line["event"] for line in world.site.log()}


async def test_what_was_billed_since_the_backup_is_listed_with_its_lines(world: World) -> None:
    await world.works(world.first_day)
    await world.works(world.exports)
    backup = await world.backups.take()
    await world.works(world.everything)
    await world.backups.put_back(backup)
    commands = commands_of(world)
    listed = await commands.lines("restore-check", "billed")
    assert [(item["batch_number"], item["known_here"]) for item in listed] == [
        (1, True),
        (2, False),
    ]
    (lost,) = await commands.lines("restore-check", "billed", "--unknown")
    assert {line["fine_id"] for line in lost["lines"]} == {"F-3", "F-4"}


async def test_an_older_database_gone_again_leaves_the_service_as_it_was(world: World) -> None:
    await exchanged_under_a_running_service_with_exports_alone(world)
    await world.backups.put_back(world.backups.names[-1])
    await world.works(world.exports)
    reconciled = await commands_of(world).call("reconcile")
    assert reconciled.exit_code == 0, reconciled.output
