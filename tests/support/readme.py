"""The pages' parts that are checked: tables of settings and options, and their examples.

`python -m tests.support.readme` writes the first columns of both tables anew; meanings stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.export.profiles.file import CreditsTable, InstitutionTable, ProfileTable
from service.settings import Settings, variable_of

README = Path(__file__).resolve().parents[2] / "README.md"
REFERENCE = README.parent / "docs" / "reference"
EXAMPLES = README.parent / "examples"
REQUIRED = "required"
UNSET = "none"


def settings_rows() -> list[tuple[str, str, str]]:
    """Variable, default and bounds of every setting, in the order of the code."""
    return [
        (f"`{variable_of(name)}`", _default(field), _bounds(field))
        for name, field in Settings.model_fields.items()
    ]


def profile_rows() -> list[tuple[str, str, str]]:
    """Option, default and bounds of the configuration file, table by table."""
    rows: list[tuple[str, str, str]] = []
    tables = (("institution.", InstitutionTable), ("profile.", ProfileTable))
    for prefix, table in tables:
        rows.extend(_options(prefix, table))
    return rows


def rows_in_page(name: str) -> list[tuple[str, ...]]:
    """The cells of the table between `<!-- name -->` and `<!-- /name -->` of docs/reference."""
    lines = _between(page_of(name).read_text(), name).splitlines()
    rows = [line.strip().strip("|") for line in lines if line.startswith("|")]
    return [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", row)) for row in rows[2:]]


def page_of(name: str) -> Path:
    return REFERENCE / f"{name}.md"


def example_of_profiles() -> str:
    """The configuration file that the page on profiles shows."""
    blocks = re.findall(r"```toml\n(.*?)```", page_of("profiles").read_text(), re.DOTALL)
    return str(blocks[0])


def example_in_readme(language: str, number: int = 0) -> str:
    """A block of code of the README."""
    return str(re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)[number])


def write_tables() -> None:
    """Takes names, defaults and bounds from the code, the meanings from the page."""
    for name, rows in (("settings", settings_rows()), ("profiles", profile_rows())):
        page = page_of(name)
        meanings = {row[0]: row[3] for row in rows_in_page(name)}
        lines = ["| name | default | bounds | meaning |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} | {meanings.get(row[0], '')} |" for row in rows]
        before, rest = page.read_text().split(f"<!-- {name} -->")
        after = rest.split(f"<!-- /{name} -->")[1]
        table = "\n".join(lines)
        page.write_text(f"{before}<!-- {name} -->\n{table}\n<!-- /{name} -->{after}")


def _between(text: str, name: str) -> str:
    return text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]


def _options(prefix: str, table: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in table.model_fields.items():
        if field.annotation is CreditsTable:
            yield from _options(f"{prefix}{name}.", CreditsTable)
        else:
            yield f"`{prefix}{name}`", _default(field), _bounds(field)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    value = field.default
    if value is None:
        return UNSET
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return ", ".join(f"`{one}`" for one in value) or UNSET
    return f"`{value}`" if value != {} else UNSET


def _bounds(field: FieldInfo) -> str:
    """The limits that the model itself declares."""
    named: dict[str, Any] = {}
    for constraint in field.metadata:
        for name in ("ge", "le", "min_length", "max_length"):
            if (value := getattr(constraint, name, None)) is not None:
                named[name] = value
    choices = _choices(field.annotation)
    if choices is not None:
        return " ".join(f"`{one}`" for one in choices)
    if "ge" in named and "le" in named:
        return f"{named['ge']} .. {named['le']}"
    return ""


def _choices(annotation: Any) -> list[str] | None:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [one.value for one in annotation]
    if annotation is bool:
        return ["true", "false"]
    return None


if __name__ == "__main__":
    write_tables()
