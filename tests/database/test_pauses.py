"""A paused profile is run neither by its schedule nor by a command, until a person resumes it."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from prometheus_client import generate_latest

from service.export.job import ExportJob
from service.export.profiles.profile import Profiles
from service.operations.gauges import Gauges
from service.runtime.telemetry import Metrics
from tests.support.commands import Commands, MakeCommands
from tests.support.deciding import check_published
from tests.support.exports import fines, waiters
from tests.support.installation import institution, profile
from tests.support.write_path import TOPICS, WritePath, fine, profiles_of

OPTIONS = {"fines_max": 1, "interval_seconds": 1}
TEXT = institution() + profile("A", **OPTIONS) + profile("B", fine_types=["OTHER"], **OPTIONS)
WHY = ("--reason", "year end", "--operator", "ann")


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(TEXT)


@pytest.fixture
def profiles() -> Profiles:
    return profiles_of(TEXT)


async def batches(path: WritePath) -> list[str]:
    rows = await path.rows("SELECT profile FROM export_batch ORDER BY sealed_at")
    return [str(row["profile"]) for row in rows]


async def gauges(path: WritePath, profiles: Profiles) -> dict[str, str]:
    metrics = Metrics()
    await Gauges(path.pool, metrics, profiles=profiles).run_once()
    lines = generate_latest(metrics.registry).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line.startswith("bursar_profile_paused"))


async def test_a_paused_profile_is_not_run_until_it_is_resumed(
    path: WritePath, commands: Commands, profiles: Profiles
) -> None:
    await path.take(*fines(2), fine(fine_id="G-1", type="OTHER"))
    (result,) = await commands.lines("export", "pause", "--profile", "A", *WHY)
    assert (result["profile"], result["done"], result["outcome"]) == ("A", True, "paused")
    (again,) = await commands.lines("export", "pause", "--profile", "A", *WHY, code=1)
    assert again["outcome"] == "is paused already"

    assert await path.exports(profiles).run_once() == 1  # both are due by their schedules
    assert await batches(path) == ["B"]
    named = await commands.call("export", "run", "--profile", "A")
    assert (named.exit_code, named.stdout) == (1, "")
    assert "A is paused since" in named.stderr
    assert "by ann: year end; `export resume` lets it go on, --even-if-paused" in named.stderr
    every = await commands.call("export", "run", "--all")
    assert every.exit_code == 0
    assert "by ann: year end; it is not run" in every.stderr
    assert await batches(path) == ["B"]
    assert await path.value("SELECT count(*) FROM export_run WHERE profile = 'A'") == 0

    assert await path.exports(profiles).run_profile(profiles.profiles[0]) == 0
    assert await path.value("SELECT count(*) FROM export_run WHERE profile = 'A'") == 0

    previewed = await commands.lines("export", "preview", "--profile", "A")
    assert [row["fine_count"] for row in previewed] == [1, 1]
    previewed_again = await commands.call("export", "preview", "--profile", "A")
    assert "by ann: year end; it is not run" in previewed_again.stderr
    assert "by ann: year end" in (await commands.call("check")).stdout
    assert await gauges(path, profiles) == {
        'bursar_profile_paused{profile="A"}': "1.0",
        'bursar_profile_paused{profile="B"}': "0.0",
    }

    (resumed,) = await commands.lines("export", "resume", "--profile", "A", *WHY)
    assert resumed["outcome"] == "resumed"
    assert await path.exports(profiles).run_once() >= 2
    assert (await batches(path)).count("A") == 2
    assert set((await gauges(path, profiles)).values()) == {"0.0"}
    actions = await path.rows("SELECT action, operator, reason, subject FROM operator_action")
    assert [(row["action"], row["operator"], row["reason"]) for row in actions] == [
        ("export_pause", "ann", "year end"),
        ("export_resume", "ann", "year end"),
    ]
    await check_published(path, commands.topic_prefix)
    missing = await commands.call("export", "resume", "--profile", "A", *WHY)
    assert (missing.exit_code, "A is not paused" in missing.stderr) == (1, True)


async def test_all_profiles_are_paused_and_one_is_run_all_the_same(
    path: WritePath, commands: Commands, profiles: Profiles
) -> None:
    await path.take(*fines(1), fine(fine_id="G-1", type="OTHER"))
    assert len(await commands.lines("export", "pause", "--all", *WHY)) == 2
    assert await path.exports(profiles).run_once() == 0
    ran = await commands.lines("export", "run", "--profile", "A", "--even-if-paused")
    assert [row["profile"] for row in ran] == ["A"]
    assert await path.exports(profiles).run_once() == 0
    elsewhere = ("--institution", "77")
    assert (await commands.call("export", "pause", "--all", *elsewhere, *WHY)).exit_code == 1
    assert (await commands.call("export", "resume", "--all", *elsewhere, *WHY)).exit_code == 1
    assert len(await commands.lines("export", "resume", "--all", *WHY)) == 2
    await path.exports(profiles).run_once()
    assert sorted(await batches(path)) == ["A", "B"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "pause", *WHY),
        ("export", "pause", "--profile", "A"),
        ("export", "pause", "--profile", "A", "--all", *WHY),
        ("export", "pause", "--profile", "C", *WHY),
        ("export", "resume", *WHY),
    ],
)
async def test_a_call_without_a_meaning_is_a_matter_of_usage(
    commands: Commands, arguments: tuple[str, ...]
) -> None:
    assert (await commands.call(*arguments)).exit_code == 2


async def test_a_pause_ends_a_run_behind_the_batch_in_hand_and_the_run_goes_on_later(
    path: WritePath, commands: Commands, profiles: Profiles, database_url: str
) -> None:
    """The rival's transaction is a pause that is not committed yet: the next step waits for it."""
    await path.take(*fines(3))
    stop = asyncio.Event()
    profile = profiles.profiles[0]
    await path.exports(profiles).run_profile(profile, lambda _: stop.set(), stop)
    assert await batches(path) == ["A"]
    rival = await asyncpg.connect(database_url)
    try:
        async with rival.transaction():
            await rival.execute("SELECT FROM export_run WHERE state = 'open' FOR UPDATE")
            await rival.execute(
                "INSERT INTO export_pause (institution_id, profile, reason, operator)"
                " VALUES ('6050', 'A', 'year end', 'ann')"
            )
            running = asyncio.create_task(path.exports(profiles).run_profile(profile))
            await waiters(path, 1)
        assert await running == 0
    finally:
        await rival.close()
    assert await batches(path) == ["A"]
    assert await path.value("SELECT count(*) FROM export_run WHERE state = 'open'") == 1
    metrics = Metrics()
    assert await ExportJob(path.applier, TOPICS, profiles, metrics).run_once() == 0
    assert b'ended_timestamp_seconds{profile="A"}' not in generate_latest(metrics.registry)
    await commands.lines("export", "resume", "--profile", "A", *WHY)
    await path.exports(profiles).run_profile(profile)
    assert await batches(path) == ["A", "A", "A"]
    assert await path.value("SELECT count(DISTINCT run_id) FROM export_batch") == 1


async def test_a_pause_waits_for_the_batch_that_is_being_sealed(
    path: WritePath, commands: Commands, profiles: Profiles, database_url: str
) -> None:
    await path.take(*fines(2))
    stop = asyncio.Event()
    await path.exports(profiles).run_profile(profiles.profiles[0], lambda _: stop.set(), stop)
    rival = await asyncpg.connect(database_url)
    try:
        async with rival.transaction():
            await rival.execute("SELECT FROM export_run WHERE state = 'open' FOR UPDATE")
            pausing = asyncio.create_task(commands.lines("export", "pause", "--all", *WHY))
            await waiters(path, 1)
            assert await path.value("SELECT count(*) FROM export_pause") == 0
        assert len(await pausing) == 2
    finally:
        await rival.close()


async def test_a_run_that_is_found_due_is_not_opened_once_the_profile_is_paused(
    path: WritePath, profiles: Profiles, database_url: str
) -> None:
    await path.take(*fines(1))
    await path.exports(profiles).run_once()  # from now on the profile is known here
    await path.pool.execute("UPDATE export_run SET cutoff = cutoff - interval '1 minute'")
    rival = await asyncpg.connect(database_url)
    try:
        async with rival.transaction():
            await rival.execute("SELECT FROM profile_seen WHERE profile = 'A' FOR UPDATE")
            running = asyncio.create_task(path.exports(profiles).run_once())
            await waiters(path, 1)
            await rival.execute(
                "INSERT INTO export_pause (institution_id, profile, reason, operator)"
                " VALUES ('6050', 'A', 'year end', 'ann')"
            )
        await running
    finally:
        await rival.close()
    assert await path.value("SELECT count(*) FROM export_run WHERE state = 'open'") == 0
