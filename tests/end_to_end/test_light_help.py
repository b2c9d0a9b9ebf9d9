"""`--help` and completion come at once: they load what options need, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from service.settings import Settings, variable_of

# Everything else takes longer to load than the command line itself. typer loads pydantic to read
# options, whatever the program.
HEAVY = {"aiohttp", "aiokafka", "alembic", "asyncpg", "asyncssh", "iso4217", "lxml", "orjson"}
HEAVY |= {"asyncio", "prometheus_client", "sqlalchemy", "structlog"}
LIGHT = ("service.cli.commands", "service.core.words")
LIGHT_ALONE = {
    "service",
    "service.cli",
    "service.cli.program",
    "service.runtime.process",
    "service.core",
    "service.runtime",
}
HELP = """
import sys, json
from typer.main import get_command
from typer.testing import CliRunner
from service.cli.program import application

def every(command, words):
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from every(inner, [*words, name])

names = list(every(get_command(application), []))
codes = {CliRunner().invoke(application, [*words, "--help"]).exit_code for words in names}
print(json.dumps([len(names), sorted(codes), sorted(sys.modules)]))
"""
COMMAND = """
import sys, json
from service.cli import main

try:
    main()
except SystemExit as end:
    print(json.dumps([1, [end.code], sorted(sys.modules)]))
"""


def modules_after(
    program: str, *arguments: str, **settings: str
) -> tuple[int, list[int], set[str]]:
    """How many calls, their exit codes, and all modules that a fresh interpreter then has."""
    variables = {variable_of(field) for field in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in variables}
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(command, env=kept | settings, check=True, capture_output=True, text=True)
    count, codes, modules = json.loads(ended.stdout.splitlines()[-1])
    return count, codes, set(modules)


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if name in HEAVY}


def test_help_of_every_command_loads_the_declarations_alone() -> None:
    count, codes, modules = modules_after(HELP)
    assert count > 40
    assert codes == [0]
    assert heavy(modules) == set()
    loaded = {name for name in modules if name.split(".")[0] == "service"}
    assert {name for name in loaded if not name.startswith(LIGHT)} == LIGHT_ALONE


def test_check_reads_the_settings_before_it_loads_a_driver() -> None:
    _, codes, modules = modules_after(COMMAND, "check")
    assert codes == [2]
    assert heavy(modules) == set()
    assert "rich" not in modules, "nothing is shown in a table"


def test_check_loads_the_write_path_only_for_a_database_that_is_whole() -> None:
    """Nobody listens on port 1."""
    nowhere = "postgresql://library@127.0.0.1:1/bursar"
    settings = {"DATABASE_URL": nowhere, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    _, codes, modules = modules_after(COMMAND, "check", **settings)
    assert codes == [1]
    assert heavy(modules) & {"lxml", "alembic", "sqlalchemy", "asyncssh", "aiohttp"} == set()
    assert "service.apply.applier" not in modules
