"""Code of the service that the service does not use, found by vulture.

`make dead-code` runs it. `[tool.vulture]` in pyproject.toml lists the names that are used in a way
which cannot be seen in the code. The functions that do the work of commands are found by their
names (`service/cli/commands/declare.py`), so they count as used as well.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from vulture import Vulture

from service.cli import application
from service.cli.commands.declare import DECLARED

ROOT = Path(__file__).resolve().parents[2]


def unused() -> list[str]:
    """A line for each thing that nothing uses, with its place."""
    assert application.registered_groups, "the commands are declared when the program is imported"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    settings = project["tool"]["vulture"]
    work = [name.rpartition(".")[2] for _, name in DECLARED]
    vulture = Vulture(
        ignore_names=[*settings["ignore_names"], *work],
        ignore_decorators=settings["ignore_decorators"],
    )
    vulture.scavenge([str(ROOT / path) for path in settings["paths"]])
    items = vulture.get_unused_code(min_confidence=settings["min_confidence"])
    return [
        f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno}: {item.message}"
        for item in items
    ]


if __name__ == "__main__":
    findings = unused()
    sys.stdout.writelines(f"{line}\n" for line in findings)
    sys.exit(1 if findings else 0)
