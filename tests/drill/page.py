"""The commands of the runbook's page on an older database, in the order of the page.

The page is what the drill runs: a command that is missing from the page is missing from the drill.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from tests.support.pages import DOCS

PAGE = DOCS / "runbook.md"
BLOCK = re.compile(r"<!-- drill -->\n```sh\n(.*?)```\n<!-- /drill -->", re.DOTALL)
EXIT_CODE = re.compile(r"exit code (\d)")
PROGRAM = "bursar-bridge"


class PageUnreadable(Exception):
    """The page does not have the commands where the drill expects them."""


@dataclass(frozen=True, slots=True)
class PageCommand:
    """A line of the page: `words` without the program's name, and the exit code that it names."""

    text: str
    words: tuple[str, ...]
    exit_code: int

    @property
    def is_service(self) -> bool:
        """Whether the line starts the service, which then goes on running."""
        return self.words == ("run",)


def recovery_commands(text: str | None = None) -> tuple[PageCommand, ...]:
    """Returns the commands of all blocks that the page marks for the drill, in their order.

    `text` is the page's text, by default that of the runbook. Raises PageUnreadable.
    """
    page = PAGE.read_text("utf-8") if text is None else text
    lines = [line for block in BLOCK.findall(page) for line in block.splitlines() if line.strip()]
    if not lines:
        raise PageUnreadable(f"{PAGE.name} has no commands between `<!-- drill -->` marks")
    return tuple(map(_command, lines))


def _command(line: str) -> PageCommand:
    text, _, comment = line.partition("  # ")
    program, *words = shlex.split(text)
    if program != PROGRAM:
        raise PageUnreadable(f"{PAGE.name}: the drill can only call {PROGRAM}: {text}")
    exit_code = EXIT_CODE.search(comment)
    return PageCommand(text.strip(), tuple(words), int(exit_code[1]) if exit_code else 0)
