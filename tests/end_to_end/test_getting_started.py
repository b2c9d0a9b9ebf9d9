"""The commands of docs/getting-started.md, run in their order and as they stand on the page."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from demo.world import running_service, temporary_world
from tests.structure import reference
from tests.support.examples import run_python
from tests.support.pages import DOCS, ROOT, code_lines
from tests.support.services import Services
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("without_coverage")

PYTHON = ".venv/bin/python"
# What a reader does in terminals of their own is done by the test itself.
DONE_BY_THE_TEST = (
    "make services",
    "export BURSAR_PROFILES_FILE=profiles.toml",
    f"{PYTHON} -m service run",
)
# What has to hold in the database before a reader would see the effect of a command.
EFFECTS = {
    "send_aiokafka.py": "SELECT count(*) = 1 FROM fine",
    "pay.py": "SELECT count(*) = 1 AND sum(transferred) = 0 FROM account",
}


async def test_the_page_takes_a_fine_from_its_creation_to_its_payment(
    services: Services, tmp_path: Path
) -> None:
    commands = _commands_of_the_page()
    assert [command for command in commands if command in DONE_BY_THE_TEST] == [*DONE_BY_THE_TEST]
    servers, profiles = services.kafka_bootstrap_servers, reference.example_of_profiles()
    async with (
        temporary_world(services.database_url, servers, print, tmp_path, profiles, "page") as world,
        running_service(world, print),
    ):
        database = await asyncpg.connect(world.database_url)
        outputs = []
        try:
            for command in commands:
                if command not in DONE_BY_THE_TEST:
                    outputs.append(await run_python(world, tmp_path, *_arguments(command)))
                    await _wait_for_effect(database, command)
        finally:
            await database.close()
    assert "sound: 1 fine " in "".join(outputs)
    assert "payment" in outputs[-1]


def _commands_of_the_page() -> list[str]:
    page = (DOCS / "getting-started.md").read_text("utf-8")
    return [line for line in code_lines(page) if not line.startswith("```")]


def _arguments(command: str) -> list[str]:
    """What stands behind the interpreter, with a program of the checkout by its whole path."""
    interpreter, *arguments = shlex.split(command)
    assert interpreter == PYTHON, command
    if arguments[0].startswith("examples/"):
        arguments[0] = str(ROOT / arguments[0])
    return arguments


async def _wait_for_effect(database: asyncpg.Connection[asyncpg.Record], command: str) -> None:
    for program, holds in EFFECTS.items():
        if f"examples/{program}" in command:
            await until(partial(database.fetchval, holds))
