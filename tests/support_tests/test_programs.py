"""Programs that tests fork behave as those that Python starts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT, start_program

ENVIRONMENT = {"PATH": os.environ["PATH"], "COLUMNS": "70"}
UNREACHABLE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "BURSAR_OPS_PORT": "0",
}


@pytest.mark.parametrize(
    "arguments", [("--version",), ("export", "list", "--help"), ("no-such-command",), ("check",)]
)
async def test_output_and_exit_code_are_those_of_a_new_python(arguments: tuple[str, ...]) -> None:
    expected = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    program = await start_program(*arguments, environment=ENVIRONMENT)
    assert await program.communicate() == (expected.stdout, expected.stderr)
    assert program.returncode == expected.returncode


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)]
)
async def test_a_service_takes_signals(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """It is waiting for its database then."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        program = await start_program(
            "run", environment={**ENVIRONMENT, **UNREACHABLE}, output=file, errors=file
        )
    async with asyncio.timeout(60):
        while b'"database_awaited"' not in log.read_bytes():
            assert program.returncode is None
            await asyncio.sleep(0.02)
        program.send_signal(number)
        assert await program.wait() == code
    program.kill()  # of a program that has ended: nothing


async def test_programs_side_by_side_have_their_own_environments() -> None:
    """Each is told another wrong setting and complains of that alone."""
    wrong = ("BURSAR_OPS_PORT", "BURSAR_POLL_RECORDS_MAX")
    programs = [
        await start_program(
            "check", environment={**ENVIRONMENT, **UNREACHABLE, "BURSAR_OPS_PORT": "0", name: "x"}
        )
        for name in wrong
    ]
    texts = [b"".join(await program.communicate()).decode() for program in programs]
    assert [[name in text for name in wrong] for text in texts] == [[True, False], [False, True]]
    assert {program.returncode for program in programs} == {2}
