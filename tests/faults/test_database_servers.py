"""PostgreSQL is killed, is not there for long, or is followed by a standby, under load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest

from tests.faults.databases import (
    DATABASE,
    FEW_EVENTS,
    either,
    end_at_once,
    promote,
    standby_of,
    start_again,
    stop_following,
    takes_writes,
)
from tests.faults.ends import until_ended
from tests.faults.operator import until_logged
from tests.faults.signs import Signs
from tests.faults.stage import PROGRESS_SECONDS_MAX, Stage
from tests.support.load_audit import auditor_verdicts, check_verdicts
from tests.support.load_events import lines_of, take_all
from tests.support.restoring import OLDER, state_of
from tests.support.services.postgres import LocalPostgres
from tests.support.services.standby import Standby

MAX_POLL_INTERVAL_MS = 10_000  # the shortest that can be set
REPLY_SECONDS = 5


@pytest.mark.fault("database-killed")
@pytest.mark.parametrize("server", [{"synchronous_commit": "off"}], indirect=True)
async def test_a_database_killed_ended_at_once_and_restarted_under_load_loses_nothing(
    server: LocalPostgres, server_stage: Stage
) -> None:
    """The server would forget the last commits of sessions that do not ask for better."""
    stage, row = server_stage, server_stage.row
    await stage.start("one", "two")

    async def harm() -> None:
        row.count("SIGKILL of the postmaster")
        server.kill()
        await start_again(server)
        await stage.until_progress()
        row.count("immediate stop")
        await end_at_once(server)
        await start_again(server)
        await stage.until_progress()
        row.count("restart")
        await asyncio.to_thread(server.stop)
        await start_again(server)

    await stage.under_load(harm, FEW_EVENTS)
    assert row.restarts == 0


@pytest.mark.slow
@pytest.mark.fault("database-away")
async def test_a_database_away_for_longer_than_a_poll_may_take_is_named_and_comes_back(
    server: LocalPostgres, server_stage: Stage
) -> None:
    """The consumer stays in the group, although its poll does not end."""
    stage, row = server_stage, server_stage.row
    interval = str(MAX_POLL_INTERVAL_MS)
    await stage.start("one", "two", settings={"BURSAR_KAFKA_MAX_POLL_INTERVAL_MS": interval})

    async def harm() -> None:
        row.count("database away for 15 s")
        await asyncio.to_thread(server.stop)
        signs = Signs(stage, "one")
        await signs.until_not_ready("database")
        await signs.until_logged("check_failed", check="database")
        assert "nobody listens there" in await signs.checked()
        await signs.for_seconds(MAX_POLL_INTERVAL_MS // 1_000 + 5)
        await start_again(server)
        await signs.until_ready()

    await stage.under_load(harm, FEW_EVENTS)
    assert row.restarts == 0


@pytest.mark.slow
@pytest.mark.fault("standby-synchronous")
async def test_a_synchronous_standby_takes_over_and_nothing_is_lost(
    server: LocalPostgres, server_stage: Stage
) -> None:
    """`DATABASE_URL` names both servers; nobody has to do anything but promote the standby."""
    stage, row = server_stage, server_stage.row
    async with standby_of(server, synchronous=True) as standby:
        stage.site.database_url = either(server, standby)
        await stage.start("one", "two")

        async def harm() -> None:
            if await takes_writes(standby):
                row.count("SIGKILL of the promoted standby")
                standby.kill()
                await start_again(standby)
            else:
                row.count("SIGKILL of the primary, standby promoted")
                server.kill()
                await promote(standby)

        await stage.under_load(harm, FEW_EVENTS)
        assert row.restarts == 0
        shown = await Signs(stage, "one").called("restore-check", "show")
        assert shown.exit_code == 0, shown.output


@pytest.mark.slow
@pytest.mark.fault("standby-gone")
async def test_commits_that_wait_for_a_synchronous_standby_that_is_gone_are_named(
    server: LocalPostgres, server_stage: Stage
) -> None:
    """The primary answers questions all the time."""
    stage, row = server_stage, server_stage.row
    async with standby_of(server, synchronous=True) as standby:
        limits = {
            "BURSAR_DATABASE_REPLY_SECONDS_MAX": str(REPLY_SECONDS),
            "BURSAR_DATABASE_STATEMENT_MS_MAX": str(REPLY_SECONDS * 1_000 - 1),
        }
        await stage.start("one", "two", settings=limits)
        signs = Signs(stage, "one")

        async def harm() -> None:
            row.count("synchronous standby gone")
            await asyncio.to_thread(standby.stop)
            problem = await signs.until_not_ready("commits")
            assert problem.endswith("no record can be committed: the server does not answer")
            await start_again(standby)
            await signs.until_ready()

        await stage.under_load(harm, FEW_EVENTS)
        assert row.restarts == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    (),
    [
        pytest.param(marks=pytest.mark.fault("standby-asynchronous")),
        pytest.param(marks=pytest.mark.fault("standby-asynchronous-processes", processes=2)),
    ],
)
async def test_a_standby_that_lacks_commits_is_noticed_and_recovered_from(
    server: LocalPostgres, server_stage: Stage
) -> None:
    """Whoever starts the instances again and again changes nothing with it."""
    stage, row = server_stage, server_stage.row
    async with standby_of(server, synchronous=False) as standby:
        stage.site.database_url = either(server, standby)
        await stage.start("one", "two", restart=True)
        await take_half_that_the_standby_lacks(stage, server, standby)
        signs = Signs(stage, "one")
        assert "only reads: the server is a standby" in await signs.checked(standby.url(DATABASE))
        row.count("SIGKILL of the primary, standby promoted without the last commits")
        server.kill()
        await promote(standby)
        members = list(stage.members.values())
        assert set(await until_ended(stage, *members, times=2)) == {OLDER}
        before = await state_of(stage.site)
        assert set(await until_ended(stage, *members, times=2)) == {OLDER}
        for member in members:
            await member.close()
        assert await state_of(stage.site) == before
        assert "restore check" in await signs.checked()
        recovered = await signs.called("recover", "--yes")
        assert recovered.exit_code == 0, recovered.output
        for member in members:
            await member.start()
        await until_logged(stage, "recovery_ended")
        await stage.until_quiet()
        await judge_recovered(stage)


async def take_half_that_the_standby_lacks(
    stage: Stage, primary: LocalPostgres, standby: Standby
) -> None:
    """A half of a load and an export that it has, and another half that it does not have."""

    async def nothing() -> None:
        """No fault so far."""

    events = FEW_EVENTS // 2
    first = stage.load.first_half(events)
    take_all(stage.model, first)
    await stage.pass_through(first, nothing, PROGRESS_SECONDS_MAX)
    manifests = await stage.export([])
    batches = {name: manifest for name, _, manifest in lines_of(manifests)}
    await stop_following(standby, primary)
    second = stage.load.second_half(events, stage.model, batches)
    take_all(stage.model, second)
    await stage.pass_through(second, nothing, PROGRESS_SECONDS_MAX)
    await stage.export(manifests)
    await stage.until_quiet()


async def judge_recovered(stage: Stage) -> None:
    """As the stage does; accounts that came out otherwise than in the model, because records were
    read in another order, have to be listed.
    """
    for member in stage.members.values():
        assert await member.stop() == 0
        await member.until_all_ended()
        stage.row.restarts += len(member.ends)
    verdicts = await auditor_verdicts(stage.site)
    stage.row.judged = {each["invariant"]: each["holds"] for each in verdicts}
    check_verdicts(verdicts)
    shown = await Signs(stage, "one").called("recovered", "accounts", "--json")
    listed = {account_of(json.loads(text)) for text in shown.stdout.splitlines()}
    query = "SELECT institution_id, patron_id, currency, active, transferred FROM account"
    stored = {
        account_of(entry): (entry["active"], entry["transferred"])
        for entry in await stage.site.rows(query)
    }
    expected = stage.model.balances()
    names = stored.keys() | expected.keys()
    assert {name for name in names if stored.get(name) != expected.get(name)} <= listed
    stage.row.judged["model"] = True


def account_of(entry: Mapping[str, object]) -> tuple[str, str, str]:
    """The key of an account."""
    return str(entry["institution_id"]), str(entry["patron_id"]), str(entry["currency"])
