"""A restored database goes on where the lost one had stopped."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from contextlib import closing

import pytest
from confluent_kafka import Consumer

from tests.auditor.judge import broken
from tests.auditor.sources import read_evidence
from tests.restore.test_older_database import commands_of, name_of
from tests.restore.variants import (
    RECOVERABLE,
    Variant,
    World,
    a_day_of_everything,
    only_exports_since_the_backup,
    output_records_expired_by_retention,
)
from tests.support.process import connected, end
from tests.support.programs import start_program
from tests.support.restoring import (
    OLDER,
    SECONDS_MAX,
    Ended,
    fine,
    ledger_of,
    published_sequences,
    start_and_end,
    state_of,
)

KILLED = 137
POINTS = ("recovery_begun", "batch_adopted", "accounts_raised", "marks_stored", "group_set_back")


async def recover(world: World) -> None:
    ended = await commands_of(world).call("recover", "--yes")
    assert ended.exit_code == 0, ended.output


async def reads_again(world: World) -> None:
    """The service runs until the recovery has ended, and everything is sent."""

    async def has_ended() -> bool:
        rows = await world.site.rows("SELECT FROM recovery WHERE state <> 'done'")
        return not rows

    async def work() -> None:
        await world.site.until(has_ended, SECONDS_MAX)

    await world.works(work)


async def check_recovered(world: World, lost: str, late_changes: int = 0) -> None:
    """The books are those of the lost database, and agree with themselves and with Kafka.

    `late_changes` are those that their fine did without, because it met its line before them.
    """
    now = await ledger_of(world.site.database_url)
    before = await ledger_of(world.backups.url_of(lost))
    late = [row for row in now["rejected"] if row not in before["rejected"]]
    assert [row[-1] for row in late] == ["already_exported"] * late_changes
    now["rejected"] = [row for row in now["rejected"] if row not in late]
    # Fines may have come since.
    grown = {"account", "fine"}
    assert {table: set(before[table]) - set(now[table]) for table in grown} == {
        table: set() for table in grown
    }
    assert {t: rows for t, rows in now.items() if t not in grown} == {
        t: rows for t, rows in before.items() if t not in grown
    }
    await check_agrees(world)


async def check_agrees(world: World) -> None:
    """What is recorded agrees with itself, with what was published and with what readers have."""
    for arguments in (("restore-check", "show"), ("reconcile",), ("audit",)):
        result = await commands_of(world).call(*arguments)
        assert result.exit_code == 0, result.output
    await check_readers(world)
    site = world.site
    evidence = await read_evidence(site.database_url, site.servers, site.prefix)
    assert broken(evidence) == []


async def check_readers(world: World) -> None:
    """Each reader ends with the account as it is, whatever came before.

    The last event may be of an earlier epoch, if nothing has happened to the account since.
    """
    latest = await asyncio.to_thread(published_sequences, world.site)
    rows = await world.site.rows(
        "SELECT institution_id, patron_id, currency, sequence, active, transferred FROM account"
    )
    accounts = {
        (row["institution_id"], row["patron_id"], row["currency"]): (
            row["sequence"],
            (row["active"], row["transferred"]),
        )
        for row in rows
    }
    assert {key: (place[1], balance) for key, (place, balance) in latest.items()} == accounts


@pytest.mark.fault("restored-backup")
async def test_after_a_day_of_everything_it_goes_on_above_all_that_was_published(
    world: World,
) -> None:
    await a_day_of_everything(world)
    before = await state_of(world.site)
    commands = commands_of(world)
    shown = await commands.lines("recover", "--dry-run")
    assert await state_of(world.site) == before
    assert [row["batch_number"] for row in shown if row["what"] == "batch"] == [1]
    assert {row["fine_id"] for row in shown if row["what"] == "line"} == {
        "F-1",
        "F-2",
        "F-3",
        "F-4",
    }
    await recover(world)
    again = await start_and_end(world.site, "recover", "--yes")
    assert again == Ended(1, again.line)
    assert "nothing to recover" in again.line
    await reads_again(world)
    await check_agrees(world)
    batches = await world.site.rows("SELECT batch_number FROM export_batch ORDER BY 1")
    assert [row["batch_number"] for row in batches] == [1]


async def test_it_refuses_without_a_reason_and_beside_an_instance(world: World) -> None:
    await world.works(world.first_day)
    for_nothing = await start_and_end(world.site, "recover", "--yes")
    assert (for_nothing.code, "nothing to recover" in for_nothing.line) == (1, True), for_nothing
    await world.site.rows(
        "INSERT INTO restore_verdict (finding, detail, evidence, found_by)"
        " VALUES ('commits_lost', 'tried', '[]', 'test') RETURNING 1"
    )
    with closing(await asyncio.to_thread(member_of_group, world)):
        beside = await start_and_end(world.site, "recover", "--yes")
    assert (beside.code, "has members" in beside.line) == (1, True), beside


def member_of_group(world: World) -> Consumer:
    """A member as an instance is one; the restored rows know nothing of it."""
    member = Consumer(
        {
            "bootstrap.servers": world.site.servers,
            "group.id": world.site.group,
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    member.subscribe([world.site.topic("fine-created.v1")])
    for _ in range(SECONDS_MAX):
        member.poll(1)
        if member.assignment():
            break
    return member


@pytest.mark.slow
async def test_it_refuses_when_what_was_published_is_gone(world: World) -> None:
    await output_records_expired_by_retention(world)
    before = await ledger_of(world.site.database_url)
    result = await commands_of(world).call("recover", "--yes")
    assert (result.exit_code, "is gone" in result.stderr) == (1, True), result.output
    assert await ledger_of(world.site.database_url) == before
    assert (await start_and_end(world.site)).code == OLDER


async def killed_at(world: World, point: str) -> None:
    site = world.site
    settings: Mapping[str, str] = site.settings
    site.settings = {**settings, "CRASH_AT": f"{point}:1"}
    process = await start_program("recover", "--yes", environment=site.environment, output=DEVNULL)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            assert await process.wait() == KILLED, point
    finally:
        await end(process)
    site.settings = settings


@pytest.mark.slow
async def test_killed_at_each_step_it_goes_on_when_it_is_called_again(world: World) -> None:
    await a_day_of_everything(world)
    lost = world.backups.names[-1]
    for point in POINTS[:-1]:
        await killed_at(world, point)
        assert (await start_and_end(world.site)).code == OLDER
    cleared = await commands_of(world).call("restore-check", "clear", "--reason", "tried")
    assert (cleared.exit_code, "a recovery was interrupted" in cleared.stderr) == (1, True)
    await killed_at(world, POINTS[-1])
    assert (await start_and_end(world.site)).code == OLDER
    await recover(world)
    await reads_again(world)
    await check_recovered(world, lost)


@pytest.mark.slow
@pytest.mark.parametrize("variant", RECOVERABLE, ids=name_of)
async def test_every_way_to_an_older_database_is_recovered_from(
    world: World, variant: Variant
) -> None:
    await variant(world)
    _, lost, *_ = world.backups.names  # what the first older one took the place of
    await recover(world)
    await reads_again(world)
    await check_recovered(world, lost)


@pytest.mark.slow
async def test_the_same_backup_is_recovered_from_twice(world: World) -> None:
    """The second time the topics hold the first recovery and what came after it."""
    await world.works(world.first_day)
    backup = await world.backups.take()
    await world.works(world.everything)
    await world.backups.put_back(backup)
    await recover(world)
    await reads_again(world)
    world.send("fine-created.v1", fine(7))
    await world.works(world.exports)
    await world.backups.put_back(backup)
    lost = world.backups.names[-1]
    await recover(world)
    await reads_again(world)
    await check_recovered(world, lost)
    await world.works(world.exports_more)
    async with connected(world.site.database_url) as connection:
        assert await connection.fetchval("SELECT min(epoch) FROM account") == 3


@pytest.mark.slow
async def test_a_backup_from_the_middle_of_a_recovery_is_recovered_from(world: World) -> None:
    await only_exports_since_the_backup(world)
    lost = world.backups.names[-1]
    await recover(world)
    backup = await world.backups.take()
    await reads_again(world)
    await world.backups.put_back(backup)
    await recover(world)
    await reads_again(world)
    await check_recovered(world, lost)


@pytest.mark.slow
async def test_a_backup_from_after_a_recovery_is_recovered_from(world: World) -> None:
    """It holds the events that the first recovery has published again."""
    await a_day_of_everything(world)
    await recover(world)
    await reads_again(world)
    backup = await world.backups.take()
    await world.works(world.exports_more)
    await world.backups.put_back(backup)
    lost = world.backups.names[-1]
    await recover(world)
    await reads_again(world)
    await check_recovered(world, lost)
