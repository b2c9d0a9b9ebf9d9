"""Code that nothing uses, found by vulture.

`make dead-code` runs it. In the service, what only tests use counts as unused; in the tests, the
demo and the examples, what nothing at all uses. `[tool.vulture]` in pyproject.toml lists the names
of the service that are used in a way which cannot be seen in the code, and `OF_TESTS` those of the
others; a listed name that vulture does not report is a finding too. The functions that do the work
of commands are found by their names (`service/cli/commands/declare.py`), so they count as used.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from vulture import Vulture
from vulture.core import Item

from service.cli.commands.declare import DECLARED
from service.cli.program import application

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "service"
OTHERS = ("tests", "demo", "examples")
MIN_CONFIDENCE = 60
CALLED_BY_PYTEST = ("test_*", "pytest_*", "pytestmark")
FIXTURES = ("@pytest.fixture", "@pytest_asyncio.fixture")
OF_TESTS = frozenset(
    {
        "find_spec",  # the import system calls it
        "get_code",  # the same
        "unraisablehook",  # the interpreter calls it
        "_clock_resolution",  # the event loop of the standard library reads it
        "connection_made",  # the SFTP server calls it
        "extra_groups",  # an argument of `subprocess.Popen`, given as a dictionary
        "_aborted",  # a session of asyncpg reads it when it is released
        "guard_pid",  # a program that a test writes as a text reads it
    }
)


def findings() -> list[str]:
    """A text for each thing that nothing uses, and for each listed name that needs no listing."""
    return [*findings_of_service(), *findings_of_tests()]


def findings_of_service() -> Iterator[str]:
    """Things of the service that the service does not use."""
    assert application.registered_groups, "the commands are declared when the program is imported"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    settings = project["tool"]["vulture"]
    vulture = Vulture(
        ignore_names=[name.rpartition(".")[2] for _, name in DECLARED],
        ignore_decorators=settings["ignore_decorators"],
    )
    vulture.scavenge([str(ROOT / path) for path in settings["paths"]])
    items = vulture.get_unused_code(min_confidence=settings["min_confidence"])
    yield from _unused(items, settings["ignore_names"], "pyproject.toml")


def findings_of_tests() -> Iterator[str]:
    """Things of the tests, the demo and the examples that nothing uses."""
    vulture = Vulture(ignore_names=CALLED_BY_PYTEST, ignore_decorators=FIXTURES)
    vulture.scavenge([str(ROOT / path) for path in (SERVICE, *OTHERS)])
    items = [
        item
        for item in vulture.get_unused_code(min_confidence=MIN_CONFIDENCE)
        if not Path(item.filename).is_relative_to(ROOT / SERVICE)
    ]
    yield from _unused(items, OF_TESTS, "tests/structure/dead_code.py")


def _unused(items: Iterable[Item], listed: Collection[str], place: str) -> Iterator[str]:
    """The texts for what vulture has found. `place` is the file that has the list."""
    unused = set()
    for item in items:
        unused.add(item.name)
        if item.name not in listed:
            yield f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno}: {item.message}"
    yield from (f"{place}: {name} need not be listed" for name in listed if name not in unused)


if __name__ == "__main__":
    texts = findings()
    sys.stdout.writelines(f"{text}\n" for text in texts)
    sys.exit(1 if texts else 0)
