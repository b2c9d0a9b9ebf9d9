"""What looks like an older database and is none: the service starts, and its books are right."""

from __future__ import annotations

import asyncio
import random
from itertools import cycle, islice

import pytest

from service.database.session import Connection, create_pool
from service.kafka.topics import OUTPUTS
from service.restore.check import Answer, RestoreCheck, Scope
from service.restore.findings import CannotAsk, FindingKind
from service.settings.access import KafkaAccess
from tests.restore.test_older_database import commands_of
from tests.restore.variants import World
from tests.support.guards import opened_guard
from tests.support.members import remove_members
from tests.support.process import connected
from tests.support.restoring import OLDER, PROFILE, SECONDS_MAX, fine, start_and_end
from tests.support.topics import delete_records, end_offsets, produce, read_topic

KILLED = 137
POINTS = (
    "offsets_moved",
    "ledger_written",
    "outbox_put",
    "before_commit",
    "after_commit",
    "page_acknowledged",
    "page_deleted",
    "export_selected",
    "export_rendered",
    "export_sealed",
)


async def check_ledger(world: World, fines: int) -> None:
    """Everything was applied once, and everything is out once and without a gap."""
    (row,) = await world.site.rows("SELECT count(*) AS n FROM fine")
    assert row["n"] == fines
    shown = await commands_of(world).call("restore-check", "show")
    assert shown.exit_code == 0, shown.output
    reconciled = await commands_of(world).call("reconcile")
    assert reconciled.exit_code == 0, reconciled.output


def exports_all_the_time(world: World) -> None:
    world.site.write_profiles(PROFILE + "interval_seconds = 1\n")
    quick = {"BURSAR_EXPORT_CHECK_SECONDS": "1", "BURSAR_RELAY_LEASE_SECONDS": "2"}
    world.site.settings = {**world.site.settings, **quick}


def work_by_single_records(world: World) -> None:
    """A poll, a page of the relay and a batch have one fine each."""
    single = {"BURSAR_POLL_RECORDS_MAX": "1", "BURSAR_RELAY_PAGE_ROWS_MAX": "1"}
    world.site.settings = {**world.site.settings, **single}
    world.site.write_profiles(PROFILE + "fines_max = 1\ninterval_seconds = 1\n")


async def killed_again_and_again(world: World, points: list[str], passage: int = 1) -> None:
    """At each point in turn, when it is passed for the `passage`-th time, with work at hand, and
    then to the end.
    """
    exports_all_the_time(world)
    if passage > 1:
        work_by_single_records(world)
    for number, point in enumerate(points):
        for each in range(passage):
            world.send("fine-created.v1", fine(number * passage + each))
        world.site.settings = {**world.site.settings, "CRASH_AT": f"{point}:{passage}"}
        await world.site.start()
        process = world.site.take_over()
        async with asyncio.timeout(SECONDS_MAX):
            assert await process.wait() == KILLED, (point, world.site.log()[-3:])
        await remove_members(world.site.servers, world.site.group)
    world.site.settings = {**world.site.settings, "CRASH_AT": ""}
    await world.works(world.idle)
    await check_ledger(world, len(points) * passage)


@pytest.mark.fault("kill-at-each-step")
@pytest.mark.parametrize("passage", [1, 2])
async def test_killed_at_each_step_it_starts_again(world: World, passage: int) -> None:
    """When it takes the step for the first time after its start, and for the second time."""
    await killed_again_and_again(world, list(POINTS), passage)


@pytest.mark.slow
async def test_killed_fifty_times_it_starts_again(world: World) -> None:
    await killed_again_and_again(world, list(islice(cycle(POINTS), 50)))


@pytest.mark.slow
async def test_killed_at_random_fifty_times_it_starts_again(world: World) -> None:
    exports_all_the_time(world)
    chance = random.Random(2026)
    for number in range(50):
        world.send("fine-created.v1", *(fine(number * 10 + n) for n in range(10)))
        await world.site.start()
        await asyncio.sleep(chance.random())
        await world.site.kill()
    await world.works(world.idle)
    await check_ledger(world, 500)


async def test_retention_up_to_what_was_acknowledged_stops_nobody(world: World) -> None:
    await world.works(world.everything)
    site = world.site
    for topic in await site.rows("SELECT DISTINCT topic FROM output_offset"):
        name = str(topic["topic"])
        ends = await asyncio.to_thread(end_offsets, site.servers, name)
        await asyncio.to_thread(delete_records, world.admin, name, ends)
    await world.works(world.first_day)
    await check_ledger(world, 4)


async def test_a_copy_that_came_late_and_expired_stops_nobody(world: World) -> None:
    """A record that was acknowledged and sent once more: it is known, and counts from then on."""
    await world.works(world.everything)
    site, topic = world.site, world.site.topic("export-manifest.v1")
    (record,) = await asyncio.to_thread(read_topic, site.servers, topic)
    copy = [(record.key, record.value)]
    produce(site.servers, topic, copy, "murmur2_random", headers=record.headers)
    await world.works(world.first_day)
    ends = await asyncio.to_thread(end_offsets, site.servers, topic)
    await asyncio.to_thread(delete_records, world.admin, topic, ends)
    await world.works(world.idle)
    await check_ledger(world, 4)


async def test_a_record_of_another_program_stops_until_a_person_passes_over_it(
    world: World,
) -> None:
    await world.works(world.first_day)
    topic = world.site.topic("rejected.v1")
    produce(world.site.servers, topic, [(b"k", b"garbage")])
    stopped = await start_and_end(world.site)
    assert (stopped.code, "neither this database" in stopped.line) == (OLDER, True), stopped
    commands = commands_of(world)
    cleared = await commands.call("restore-check", "clear", "--reason", "tried")
    assert cleared.exit_code == OLDER, cleared.output
    accept = ("--accept-foreign-records", "--reason", "a test tool wrote it")
    cleared = await commands.call("restore-check", "clear", *accept)
    assert cleared.exit_code == 0, cleared.output
    await world.works(world.exports)


async def test_a_new_database_beside_old_topics_starts_where_a_person_says_so(
    world: World,
) -> None:
    await world.works(world.first_day)
    await world.backups.empty()
    await world.site.command("migrate")
    world.site.group = f"{world.site.group}-new"
    assert (await start_and_end(world.site)).code == OLDER
    accept = ("--accept-existing-topics", "--reason", "a new beginning")
    cleared = await commands_of(world).call("restore-check", "clear", *accept)
    assert cleared.exit_code == 0, cleared.output
    await world.works(world.exports)
    again = await commands_of(world).call("restore-check", "clear", *accept)
    assert (again.exit_code, "new database" in again.stderr) == (1, True), again.output


async def test_everything_that_was_published_is_known_by_its_content(world: World) -> None:
    """As after the longest crash there can be: nothing of what was sent is acknowledged."""
    await world.works(world.first_day)
    await world.works(world.everything)
    await world.works(world.decides)
    async with connected(world.site.database_url) as connection:
        await connection.execute("UPDATE output_offset SET acknowledged_offset = -1")
    await check_ledger(world, 4)
    await world.works(world.exports)


CHANGED = (
    "UPDATE export_batch SET file_name = 'bursar-100000000000001-1.xml'",
    "UPDATE export_batch SET sha256 = sha256('other')",
    "UPDATE export_batch SET manifest = '{}'",
    "UPDATE loan_closed SET closed_at = closed_at + interval '1 microsecond'",
    "DELETE FROM rejected",
    "UPDATE operator_action SET recorded_at = recorded_at + interval '1 microsecond'",
    "UPDATE operator_action SET action = 'rejected_replay'",
)


async def test_the_same_numbers_with_other_content_are_not_known(world: World) -> None:
    await world.works(world.first_day)
    await world.works(world.everything)
    await world.works(world.decides)
    site = world.site
    scope = Scope(site.group, [], [site.topic(contract) for contract in OUTPUTS])
    access = KafkaAccess(kafka_bootstrap_servers=site.servers, topic_prefix=site.prefix)
    check = RestoreCheck(access, scope)
    async with await create_pool(site.database_url) as pool, pool.acquire() as connection:
        await connection.execute("UPDATE output_offset SET acknowledged_offset = -1")
        for change in CHANGED:
            reversal = connection.transaction()
            await reversal.start()
            for table in (
                "export_batch",
                "loan_closed",
                "operator_action",
            ):  # they refuse what is tried here
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await connection.execute(change)
            answer = await answer_of(check, connection)
            await reversal.rollback()
            assert {finding.kind for finding in answer.findings} == {FindingKind.UNKNOWN_RECORD}, (
                change
            )
        assert (await answer_of(check, connection)).findings == ()


async def answer_of(check: RestoreCheck, connection: Connection) -> Answer:
    """Asks again if the brokers do not tell, as the service does: the client's coordinator can fail
    by an assertion of its own.
    """
    try:
        return await check.ask(connection)
    except CannotAsk:
        return await check.ask(connection)


@pytest.mark.fault("commits-in-doubt-at-a-start")
async def test_commits_in_doubt_stop_nobody(world: World) -> None:
    """They are committed, and the process never learns of it."""
    await world.site.command("migrate")
    async with await create_pool(world.site.database_url) as pool:
        guard = await opened_guard(
            pool, KafkaAccess(kafka_bootstrap_servers=world.site.servers), world.site.group
        )
        for _ in range(25):
            async with pool.acquire() as connection:
                await guard.count(connection, "intake")
        async with guard.writer("intake").transaction() as connection:
            await connection.execute("SELECT 1")
        rows = await pool.fetch("SELECT commits FROM process_commit WHERE writer = 'intake'")
        assert [row["commits"] for row in rows] == [26]
