"""The README and the documents say what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from service.export.profiles.reading import parse_profiles
from tests.structure import reference

ROOT = reference.README.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
REFRESH = "run `make reference`, and write the meanings that are missing"


@pytest.mark.parametrize("name", sorted(reference.generated()))
def test_a_page_of_the_reference_is_that_of_the_code(name: str) -> None:
    assert reference.current(name) == reference.generated()[name], REFRESH


@pytest.mark.parametrize("name", ["settings", "profiles"])
def test_every_setting_and_option_has_its_meaning(name: str) -> None:
    assert [row[0] for row in reference.rows_in_page(name) if not row[3]] == [], REFRESH


def test_the_example_of_profiles_is_sound() -> None:
    text = reference.example_of_profiles()
    assert tomllib.loads(text)
    (profile,) = parse_profiles(text, reference.page_of("profiles")).profiles
    assert profile.code == "EXAMPLE_DAILY"


def test_every_command_is_in_the_table() -> None:
    rows = re.findall(
        r"^\| `bursar-bridge ([a-z -]+?)(?: --[^`]*| [A-Z][^`]*)?`",
        reference.page_of("commands").read_text(),
        re.MULTILINE,
    )
    assert set(rows) == {path for path, _ in reference.commands()}


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
        result = ROOT / file
        if not result.exists() or (function and f"def {function}(" not in result.read_text()):
            missing.append(f"{file}::{function}")
    assert missing == []
