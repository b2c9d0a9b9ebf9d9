"""Ends of processes that are started again, as under `restart: always`."""

from __future__ import annotations

from tests.faults.members import Member
from tests.faults.stage import PROGRESS_SECONDS_MAX, Stage


async def until_ended(
    stage: Stage, *members: Member, times: int = 1, seconds_max: float = PROGRESS_SECONDS_MAX
) -> list[int]:
    """Waits until each of the members has ended so many times more; returns these exit codes."""
    before = [len(member.ends) for member in members]

    async def have_ended() -> bool:
        return all(len(m.ends) >= n + times for m, n in zip(members, before, strict=True))

    await stage.until(have_ended, seconds_max)
    return [code for m, n in zip(members, before, strict=True) for code in m.ends[n:]]
