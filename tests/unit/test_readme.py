"""The README and the documents say what the code does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from service.cli import application
from service.export.profiles.reading import parse_profiles
from tests.support import readme

ROOT = readme.README.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
REFRESH = "run `python -m tests.support.readme` and write what is missing"


def test_the_table_of_settings_is_that_of_the_code() -> None:
    table = readme.rows_in_page("settings")
    assert [row[:3] for row in table] == readme.settings_rows(), REFRESH
    assert [row[0] for row in table if not row[3]] == [], REFRESH


def test_the_table_of_options_is_that_of_the_code() -> None:
    table = readme.rows_in_page("profiles")
    assert [row[:3] for row in table] == readme.profile_rows(), REFRESH
    assert [row[0] for row in table if not row[3]] == [], REFRESH


def test_the_example_of_profiles_is_sound() -> None:
    text = readme.example_of_profiles()
    assert tomllib.loads(text)
    (profile,) = parse_profiles(text, readme.page_of("profiles")).profiles
    assert profile.code == "EXAMPLE_DAILY"


def test_every_command_is_in_the_table() -> None:
    rows = re.findall(
        r"^\| `bursar-bridge ([a-z -]+?)(?: --[^`]*| [A-Z][^`]*)?`",
        readme.page_of("commands").read_text(),
        re.MULTILINE,
    )
    assert set(rows) == set(commands(application, ""))


def commands(within: typer.Typer, prefix: str) -> Iterator[str]:
    for command in within.registered_commands:
        assert command.callback is not None
        yield prefix + (command.name or command.callback.__name__.replace("_", "-"))
    for group in within.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{prefix}{group.name} ")


def test_every_table_is_described_once() -> None:
    folder = ROOT / "service" / "database" / "migrations"
    created = re.findall(
        r"^CREATE TABLE (\w+)", "".join(p.read_text() for p in folder.glob("*.sql")), re.MULTILINE
    )
    section = (ROOT / "docs" / "architecture.md").read_text().split("## Tables")[1]
    first_cells = re.findall(r"^\| (`[^|]*`) \|", section.split("\n## ")[0], re.MULTILINE)
    described = re.findall(r"`(\w+)`", " ".join(first_cells))
    assert sorted(described) == sorted(created)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_tests_that_are_named_exist(path: Path) -> None:
    text = path.read_text()
    named = re.findall(
        r"`((?:service|tests|contracts|docs|demo|deploy)/[\w./-]+)(?:::(\w+))?`", text
    )
    missing = []
    for file, function in named:
        found = ROOT / file
        if not found.exists() or (function and f"def {function}(" not in found.read_text()):
            missing.append(f"{file}::{function}")
    assert missing == []
