"""Processes that stand still for longer than their session in the group, and then go on."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import pytest

from tests.faults.blocking import MODULE, SECONDS
from tests.faults.holding import held_accounts, lease_holder, member_in_commit
from tests.faults.members import Member
from tests.faults.stage import Stage

PAUSED_SECONDS = 14  # the session of the stage's members is 6 s, a relay's lease 10 s


async def paused(stage: Stage, member: Member) -> None:
    """Stands still, and goes on when others have its partitions and its lease."""
    stage.row.count("SIGSTOP")
    member.signal(signal.SIGSTOP)
    try:
        await stage.lasts(PAUSED_SECONDS)
    finally:
        member.signal(signal.SIGCONT)


async def any_member(stage: Stage) -> None:
    """It may be in the middle of anything."""
    await paused(stage, stage.members["one"])


async def inside_a_commit(stage: Stage) -> None:
    """Its transaction is open, and has locks on accounts."""
    stage.row.count("SIGSTOP inside a commit")
    async with held_accounts(stage):
        member = await member_in_commit(stage)
        member.signal(signal.SIGSTOP)
    await paused(stage, member)


async def that_holds_the_lease(stage: Stage) -> None:
    """The relay sends from it."""
    await paused(stage, await lease_holder(stage))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(any_member, marks=pytest.mark.fault("pause")),
        pytest.param(inside_a_commit, marks=pytest.mark.fault("pause-in-commit")),
        pytest.param(that_holds_the_lease, marks=pytest.mark.fault("pause-relay")),
    ],
)
async def test_a_process_that_stood_still_does_no_harm_when_it_goes_on(
    stage: Stage, fault: Callable[[Stage], Awaitable[None]]
) -> None:
    await stage.start("one", "two")
    await stage.under_load(lambda: fault(stage))


@pytest.mark.slow
@pytest.mark.fault("blocked-loop")
async def test_an_event_loop_that_was_blocked_for_longer_than_its_session_goes_on(
    stage: Stage,
) -> None:
    await stage.start("one", "two", settings={SECONDS: str(PAUSED_SECONDS)}, module=MODULE)

    async def block() -> None:
        stage.row.count("blocked event loop")
        stage.members["one"].signal(signal.SIGUSR1)
        await stage.lasts(PAUSED_SECONDS)

    await stage.under_load(block)
