"""Programs that a page shows, run as a reader would, in a folder of their own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from demo.world import World
from tests.structure import reference
from tests.support.pages import ROOT

WAIT_SECONDS_MAX = 60.0


async def run_example(world: World, folder: Path, name: str, *arguments: str) -> str:
    """The output of a program of `examples/` that ends well."""
    return await run_python(world, folder, str(reference.EXAMPLES / name), *arguments)


async def run_python(world: World, folder: Path, *arguments: str) -> str:
    """The output of a program of this checkout that ends well, started in `folder`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=folder,
        env=world.environment | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            out, problems = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, problems.decode()
    return out.decode()
