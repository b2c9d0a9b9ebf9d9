"""The texts of the repository, for tests that look for what they refer to."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CODE = [
    path
    for folder in ("service", "tests", "demo", "examples", "contracts")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
PAGES = sorted(
    {*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "service").rglob("*.md")}
    | {*(ROOT / "contracts").glob("*.md"), *(ROOT / "examples").glob("*.md")}
)
OTHERS = sorted(
    {*ROOT.glob("*.toml"), *ROOT.glob("*.yaml"), *(ROOT / "deploy").glob("*")}
    | {*(ROOT / "service").rglob("*.sql"), *(ROOT / "contracts").glob("*.yaml")}
    | {ROOT / "Makefile", ROOT / "Dockerfile", *(ROOT / ".ci").glob("*")}
)
TEXTS = [*CODE, *PAGES, *OTHERS]

CODE_BLOCK = r"^```.*?^```"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    """The text, with line breaks and the comment signs behind them as single blanks."""
    return re.sub(r"\s*\n\s*(?:# |-- )?", " ", path.read_text("utf-8"))


def without_code(text: str) -> str:
    return re.sub(CODE_BLOCK, "", text, flags=re.MULTILINE | re.DOTALL)


def code_lines(text: str) -> list[str]:
    """The lines of the blocks of code on a page."""
    blocks = re.findall(CODE_BLOCK, text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in str(block).splitlines()]
