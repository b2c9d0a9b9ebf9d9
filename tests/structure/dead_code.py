"""Code of the service that the service does not use, found by vulture.

`make dead-code` runs it. `[tool.vulture]` in pyproject.toml lists the names that are used in a way
which cannot be seen in the code; a listed name that vulture does not report is a finding too. The
functions that do the work of commands are found by their names
(`service/cli/commands/declare.py`), so they count as used as well.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from vulture import Vulture

from service.cli.commands.declare import DECLARED
from service.cli.program import application

ROOT = Path(__file__).resolve().parents[2]


def findings() -> list[str]:
    """A text for each thing that nothing uses, and for each listed name that needs no listing."""
    assert application.registered_groups, "the commands are declared when the program is imported"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    settings = project["tool"]["vulture"]
    listed = settings["ignore_names"]
    vulture = Vulture(
        ignore_names=[name.rpartition(".")[2] for _, name in DECLARED],
        ignore_decorators=settings["ignore_decorators"],
    )
    vulture.scavenge([str(ROOT / path) for path in settings["paths"]])
    items = vulture.get_unused_code(min_confidence=settings["min_confidence"])
    unused = {item.name for item in items}
    return [
        *(
            f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno}: {item.message}"
            for item in items
            if item.name not in listed
        ),
        *(f"pyproject.toml: {name} need not be listed" for name in listed if name not in unused),
    ]


if __name__ == "__main__":
    texts = findings()
    sys.stdout.writelines(f"{text}\n" for text in texts)
    sys.exit(1 if texts else 0)
