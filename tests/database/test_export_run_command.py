"""`export run` where a run cannot go on: the other profiles run, and the exit code says why."""

import pytest

from tests.support.commands import Commands, MakeCommands
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, fine

PROFILES = institution() + profile("A") + institution("7") + profile("B", institution="7")


@pytest.fixture(autouse=True)
async def path(path: WritePath) -> WritePath:
    await path.take(fine(), fine(institution_id="7"))
    return path


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(
        PROFILES, BURSAR_DATABASE_LOCK_WAIT_MS_MAX="100", BURSAR_COMMIT_TRIES_MAX="2"
    )


async def test_a_run_that_another_session_stops_is_to_be_tried_again_later(
    path: WritePath, commands: Commands
) -> None:
    async with path.pool.acquire() as rival, rival.transaction():
        await rival.execute("SELECT FROM account WHERE institution_id = '6050' FOR UPDATE")
        shown = await commands.lines("export", "run", "--all", code=5)
        assert [line["profile"] for line in shown] == ["B"]
        ended = await commands.call("export", "run", "--profile", "A")
    assert ended.exit_code == 5
    assert ended.stderr.splitlines()[-1] == (
        "bursar-bridge: A: another session has locked the run or an account of the batch for too"
        " long (LockNotAvailableError); try again later"
    )
    assert ended.stdout == ""
    (line,) = await commands.lines("export", "run", "--all")
    assert (line["profile"], line["fine_count"]) == ("A", 1)


async def test_a_run_that_somebody_has_to_mend_stops_no_other_profile(
    path: WritePath, commands: Commands
) -> None:
    await path.pool.execute("ALTER TABLE export_batch ADD CONSTRAINT not_a CHECK (profile <> 'A')")
    ended = await commands.call("export", "run", "--all", "--json")
    assert ended.exit_code == 1
    assert '"profile":"B"' in ended.stdout
    assert ended.stderr.splitlines()[-1] == (
        "bursar-bridge: A: the database refuses what the batch would write"
        " (CheckViolationError not_a)"
    )
    assert "try again" not in ended.stderr


async def test_any_command_says_that_another_session_was_in_the_way(
    path: WritePath, commands: Commands
) -> None:
    """Sending a batch again waits for its row."""
    await commands.call("export", "run", "--all")
    async with path.pool.acquire() as rival, rival.transaction():
        await rival.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        ended = await commands.call("export", "resend", "--profile", "A", "--batch", "1")
    assert ended.exit_code == 5
    assert ended.stderr.splitlines()[-1].startswith("bursar-bridge: another session was in the way")
    assert ended.stderr.splitlines()[-1].endswith("; try again later")
