"""The drill restores a backup by the runbook alone, and says ok."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.support.programs import ROOT

pytestmark = pytest.mark.usefixtures("without_coverage")

SECONDS_MAX = 600


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_the_runbook_alone_brings_the_books_up_to_date(seed: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.drill", "--records", "600", "--seed", str(seed)),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS_MAX):
        output = (await process.stdout.read()).decode()
    assert await process.wait() == 0, output
    assert output.splitlines()[-1] == "drill: ok"
