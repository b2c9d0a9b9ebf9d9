"""An export run in a process of its own, and what it says of itself."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.ledgers import tidy
from tests.bench.world import ROOT, BenchFailed, World, new_world, profiles_file
from tests.support.services import Services


@dataclass(frozen=True)
class ExportFigures:
    """What an export run tells of itself; `last_over_first`: of the rates of its tenths.

    `waits_ms`: how long each poll took that was applied meanwhile; `commits`: of the run.
    """

    seconds: float
    fines: int
    batches: int
    peak_mb: float
    last_over_first: float
    waits_ms: list[float]
    commits: int


@asynccontextmanager
async def exported(
    services: Services, filled: str, *options: str
) -> AsyncIterator[tuple[World, ExportFigures]]:
    """The world of a copy of a ledger, after an export run of its own process in it, and what the
    run told of itself.
    """
    async with new_world(services, filled) as world:
        environment = {"BURSAR_PROFILES_FILE": str(profiles_file())}
        result = ExportFigures(
            **await printed_by(world, "tests.bench.export_run", environment, *options)
        )
        if not result.fines:
            raise BenchFailed("the export run took no fines")
        await tidy(world.database_url)
        yield world, result


async def printed_by(
    world: World, module: str, environment: dict[str, str], *options: str
) -> dict[str, Any]:
    """The last line that a process of its own prints, read as JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *options),
        cwd=ROOT,
        env=world.environment | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the benchmark, which ends what it started
    )
    try:
        out, problems = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode != 0:
        raise BenchFailed(f"{module} failed:\n{problems.decode(errors='replace')}")
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result
