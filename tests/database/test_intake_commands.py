"""`bursar-bridge intake`: what is stopped, and its resumption."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from service.database.intake_stops import in_words, stops
from tests.support.commands import Commands, MakeCommands
from tests.support.stopping import MAX, PAYMENTS, bad, pays, stopped, stops_after, take_waiting
from tests.support.write_path import WritePath

WHY = ("--reason", "the sender is corrected")


@pytest.fixture
async def both_stopped(path: WritePath) -> WritePath:
    """The topic of payments is stopped for two institutions, and for all."""
    stops_after(path)
    for institution_id in ("6050", "77"):
        await path.take(pays("SOUND", "101"))
        await path.take(*(bad(institution_id, number) for number in range(MAX)))
        await path.take(pays("WAITS", institution_id))
    await path.take(pays("SOUND-2", "101"))
    await path.take(*[bad(None)] * MAX)
    assert await stopped(path) == ["all", "6050", "77"]
    return path


@pytest.mark.usefixtures("both_stopped")
async def test_stops_are_listed_with_what_waits(commands: Commands) -> None:
    rows = await commands.lines("intake", "list")
    shown = [(row["institution_id"], row["state"], row["waiting"]) for row in rows]
    assert shown == [("all", "stopped", None), ("6050", "stopped", 1), ("77", "stopped", 1)]
    assert {row["topic"] for row in rows} == {PAYMENTS}
    assert [row["bad_records"] for row in rows] == [MAX] * 3
    (row,) = await commands.lines("intake", "list", "--institution", "77")
    assert row["last_reason"] == "invalid_amount"
    text = (await commands.call("intake", "list", "--topic", "bursar-payment.v1")).stdout
    assert text.splitlines()[0].split()[:4] == ["topic", "institution", "state", "waiting"]


@pytest.mark.usefixtures("both_stopped")
async def test_stops_fit_eighty_columns_with_their_ids_whole(make_commands: MakeCommands) -> None:
    terminal = {"COLUMNS": "80", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb"}
    text = (await make_commands("", **terminal).call("intake", "list")).stdout
    assert max(map(cell_len, text.splitlines())) <= 80
    assert text.count(PAYMENTS) == 3
    assert text.count("invalid_amount") == 2


async def test_without_a_stop_the_list_says_so(commands: Commands) -> None:
    assert (await commands.call("intake", "list")).stdout == "no topic is stopped\n"
    ended = await commands.call("intake", "list", "--institution", "77")
    assert ended.stdout == "no stopped topic matches --institution 77\n"
    topic = ("--topic", "bursar-payment.v1")
    ended = await commands.call("intake", "resume", *topic, *WHY)
    assert ended.exit_code == 1
    assert "stopped topic" in ended.stderr


async def test_a_topic_and_an_institution_are_resumed_each_by_itself(
    both_stopped: WritePath, commands: Commands
) -> None:
    topic = ("--topic", PAYMENTS)
    (row,) = await commands.lines("intake", "resume", *topic, *WHY)
    assert (row["done"], row["outcome"]) == (True, "resumed")
    assert await stopped(both_stopped) == ["6050", "77"]
    (row,) = await commands.lines("intake", "resume", *topic, "--institution", "77", *WHY)
    assert row["outcome"] == "resumed, records that wait: 1"
    (row,) = await commands.lines("intake", "list", "--institution", "77")
    assert row["state"] == "resuming"
    await take_waiting(both_stopped)
    assert await stopped(both_stopped) == ["6050"]
    actions = await both_stopped.rows("SELECT action, operator, reason FROM operator_action")
    assert {action["reason"] for action in actions} == {WHY[1]}


async def test_all_are_resumed_after_a_question(
    both_stopped: WritePath, commands: Commands
) -> None:
    every = ("intake", "resume", "--all", *WHY)
    ended = await commands.call(*every, answer="n\n")
    assert (ended.exit_code, "Resume stopped topics: 3?" in ended.stderr) == (1, True)
    assert len(await commands.lines(*every, "--yes", "--bad-records", "500")) == 3
    await take_waiting(both_stopped)
    assert await stopped(both_stopped) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("resume", *WHY),
        ("resume", "--institution", "77", *WHY),
        ("resume", "--topic", "bursar-payment.v1"),
        ("resume", "--topic", "rejected.v1", *WHY),
        ("resume", "--topic", "bursar-payment.v1", "--bad-records", "0", *WHY),
        ("list", "--topic", "import"),
    ],
    ids=" ".join,
)
async def test_what_makes_no_sense_is_refused(
    commands: Commands, arguments: tuple[str, ...]
) -> None:
    assert (await commands.call("intake", *arguments)).exit_code == 2


async def test_check_and_readiness_name_what_is_stopped(
    both_stopped: WritePath, commands: Commands
) -> None:
    async with both_stopped.pool.acquire() as connection:
        text = in_words(await stops(connection))
    assert text is not None
    assert f"{PAYMENTS} is stopped after {MAX} bad records in a row" in text
    assert "for institution 77" in text
    ended = await commands.call("check", "--json")
    notes = [line for line in ended.stdout.splitlines() if '"stopped topics"' in line]
    assert len(notes) == 3
    assert all('"note"' in line for line in notes)
