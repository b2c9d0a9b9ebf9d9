"""An export run that is made in steps of a few fines."""

from __future__ import annotations

import asyncio

from service.export.plan import Passed
from service.export.profiles.profile import Profiles
from tests.support.exports import only, patron
from tests.support.write_path import Record, WritePath, fine

STEP = 4


def passed_over(count: int, first: int = 0) -> list[Record]:
    """Not due, of patrons in front of those of `fines`; every second is held back."""
    return [
        fine(
            fine_id=f"N-{n:05}",
            patron=patron(f"N-{n:05}"),
            exportable=n % 2 == 0,
            created_at="2026-09-01T00:00:00Z" if n % 2 else "2999-01-01T00:00:00Z",
        )
        for n in range(first, first + count)
    ]


async def step_once(path: WritePath, profiles: Profiles, step_fines_max: int = STEP) -> int:
    """One commit of the run; how many open fines it has passed."""
    stop, counts = asyncio.Event(), list[int]()

    def passed(fines: Passed) -> None:
        counts.append(fines.total())
        stop.set()

    job = path.exports(profiles, step_fines_max)
    await job.run_profile(only(profiles), stop=stop, passed=passed)
    (count,) = counts
    return count


async def finish(path: WritePath, profiles: Profiles, step_fines_max: int = STEP) -> list[int]:
    """The rest of the run; what each commit has passed."""
    counts: list[Passed] = []
    job = path.exports(profiles, step_fines_max)
    await job.run_profile(only(profiles), passed=counts.append)
    return [fines.total() for fines in counts]


async def plans(path: WritePath) -> list[tuple[object, object, object]]:
    rows = await path.rows("SELECT looked_patron, looked_fine, fine_ids FROM export_plan")
    return [(row["looked_patron"], row["looked_fine"], row["fine_ids"]) for row in rows]


async def mark(path: WritePath) -> tuple[object, object]:
    (row,) = await path.rows("SELECT after_patron, after_fine FROM export_run")
    return row["after_patron"], row["after_fine"]
