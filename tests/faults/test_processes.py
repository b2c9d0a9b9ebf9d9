"""Processes that are killed and started again, under load."""

from __future__ import annotations

import signal
from random import Random

import pytest

from tests.faults.members import Member
from tests.faults.stage import MANY_EVENTS, MANY_IN_FLIGHT, Stage

MEMBER_KILLS = 4  # in each half
SILENCE_SECONDS = 20
SECONDS_MAX = 180


@pytest.mark.parametrize(
    ("kills", "halves", "events"),
    [
        pytest.param(1, 1, 300, marks=pytest.mark.fault("kill-at-random-small")),
        pytest.param(20, 2, 6_000, marks=[pytest.mark.fault("kill-at-random"), pytest.mark.slow]),
    ],
)
async def test_instances_killed_at_random_and_started_again_lose_and_double_nothing(
    stage: Stage, kills: int, halves: int, events: int
) -> None:
    """`restart: always` around two instances; each kill comes when there was progress."""
    random = Random(7)
    await stage.start("one", "two", restart=True)

    async def kill() -> None:
        for _ in range(kills):
            stage.row.count("SIGKILL")
            await stage.members[random.choice(("one", "two"))].kill()
            await stage.until_progress()

    await stage.under_load(kill, events, halves=halves)
    assert stage.row.restarts == halves * kills


@pytest.mark.slow
@pytest.mark.parametrize(
    (),
    [
        pytest.param(marks=pytest.mark.fault("single-kill")),
        pytest.param(marks=pytest.mark.fault("parent-killed", processes=2)),
    ],
)
async def test_an_only_instance_that_was_killed_goes_on_when_it_is_started_again(
    stage: Stage,
) -> None:
    """Nobody tells Kafka that the member before is gone; the report says how long it took. The
    processes of a parent that was killed stop by themselves, while the next parent's begin.
    """
    await stage.start("one", restart=True)

    async def kill() -> None:
        stage.row.count("SIGKILL")
        await stage.members["one"].kill()

    await stage.under_load(kill)


@pytest.mark.slow
@pytest.mark.fault("members-killed", processes=2)
async def test_members_of_two_parents_that_are_killed_are_replaced(stage: Stage) -> None:
    random = Random(13)
    await stage.start("one", "two", restart=True)

    async def kill() -> None:
        for _ in range(MEMBER_KILLS):
            await harmed(stage, random.choice(("one", "two")), signal.SIGKILL)
            await stage.until_progress()

    await stage.under_load(kill)
    assert stage.row.restarts == 0, "the parents work on"


@pytest.mark.slow
@pytest.mark.fault("member-halted", processes=2)
async def test_a_member_that_stands_still_is_killed_and_replaced(stage: Stage) -> None:
    """It is silent, as its parent notices; nobody lets it go on."""
    silence = {"BURSAR_MEMBER_SILENCE_SECONDS_MAX": str(SILENCE_SECONDS)}
    await stage.start("one", "two", restart=True, settings=silence)
    await stage.under_load(lambda: harmed(stage, "one", signal.SIGSTOP))
    assert stage.row.restarts == 0, "the parents work on"


async def until_whole(stage: Stage, parent: Member) -> None:
    """The parent has as many processes as the row says."""

    async def is_whole() -> bool:
        return len(parent.children) == stage.row.processes

    await stage.until(is_whole, SECONDS_MAX)


async def harmed(stage: Stage, name: str, number: int) -> None:
    """A signal to a process of this parent, which then has another one in its place."""
    parent = stage.members[name]
    await until_whole(stage, parent)
    victim = parent.children[0]
    stage.row.count(f"{signal.Signals(number).name} of a member")
    victim.signal(number)

    async def is_gone() -> bool:
        return not victim.is_alive

    await stage.until(is_gone, SECONDS_MAX)
    await until_whole(stage, parent)


@pytest.mark.slow
@pytest.mark.fault("two-groups")
async def test_two_groups_on_one_database_take_each_record_once(stage: Stage) -> None:
    """A mistake of an operator: both read every partition, and the database lets one of them."""
    stage.in_flight_min = MANY_IN_FLIGHT
    await stage.start("one", restart=True)

    async def another_group() -> None:
        stage.row.count("another group")
        name = f"other-{len(stage.members)}"
        await stage.start(
            name, restart=True, settings={"BURSAR_CONSUMER_GROUP": f"{stage.site.group}-other"}
        )
        await stage.until_progress()

    await stage.under_load(another_group, MANY_EVENTS)
