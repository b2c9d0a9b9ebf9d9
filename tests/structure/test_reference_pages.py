"""The lists in docs/rules.md, docs/contracts.md and docs/glossary.md are those of the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.core.words import DEFAULT_LABELS, Reason, Wait
from service.export.selection import Exclusion
from service.kafka.topics import DAY_MS, INPUTS, OUTPUTS, settings_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EVENTS = ROOT / "contracts" / "events"
RULES = (DOCS / "rules.md").read_text("utf-8")
CONTRACTS = (DOCS / "contracts.md").read_text("utf-8")
HELD_BACK = [exclusion for exclusion in Exclusion if exclusion.is_held_back]

Schema = Mapping[str, Any]


def between(page: str, name: str) -> str:
    return page.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]


def rows(page: str, name: str) -> list[list[str]]:
    lines = [line for line in between(page, name).splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines[2:]]
    return [[cell.strip() for cell in row] for row in cells]


def codes(page: str, name: str) -> list[str]:
    return [row[0].strip("`") for row in rows(page, name)]


def test_the_reasons_stand_in_their_order_of_precedence() -> None:
    assert re.findall(r"`(\w+)`", between(RULES, "reasons")) == list(Reason)


def test_every_reason_is_explained_once() -> None:
    assert codes(CONTRACTS, "rejected") == list(Reason)
    assert codes(CONTRACTS, "parked") == list(Wait)
    assert codes(RULES, "waits") == list(Wait)
    assert codes(CONTRACTS, "held") == HELD_BACK


def test_the_rows_of_the_selection_are_in_its_order() -> None:
    listed = re.findall(r"^\| 5\.[0-9]+ \| `(\w+)` \|[^|]*\|$", RULES, re.MULTILINE)
    assert listed[: len(Exclusion)] == list(Exclusion)


def test_the_kinds_of_transactions_have_their_labels() -> None:
    assert [(row[0].strip("`"), row[1]) for row in rows(RULES, "kinds")] == [
        (kind.value, label) for kind, label in DEFAULT_LABELS.items()
    ]


def test_the_topics_are_those_of_the_service_and_are_kept_as_long_as_it_asks() -> None:
    table = rows(CONTRACTS, "topics")
    assert [(row[0].strip("`"), row[1]) for row in table] == [
        *((name, "in") for name in INPUTS),
        *((name, "out") for name in OUTPUTS),
    ]
    for name, *_, kept in table:
        days = int(settings_of(name.strip("`"), 3)["retention.ms"]) // DAY_MS
        assert str(days) in kept or kept == "the same", name


def members(schema: Schema, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each member with its path, and whether the object that has it requires it."""
    whole = _object(schema)
    for name, member in whole.get("properties", {}).items():
        yield prefix + name, "yes" if name in whole.get("required", ()) else "no"
        yield from members(member, f"{prefix}{name}.")


def _object(schema: Schema) -> Schema:
    """The object that a member holds, as it is, in an array, or beside null."""
    for choice in schema.get("anyOf", ()):
        if choice.get("type") == "object":
            return _object(choice)
    items = schema.get("items")
    return _object(items) if items is not None else schema


@pytest.mark.parametrize("name", re.findall(r"<!-- fields ([\w-]+) -->", CONTRACTS))
def test_the_members_of_an_event_are_those_of_its_schema(name: str) -> None:
    schema = json.loads((EVENTS / f"{name}.v1.schema.json").read_text("utf-8"))
    described = [(row[0].strip("`"), row[1]) for row in rows(CONTRACTS, f"fields {name}")]
    assert sorted(described) == sorted(members(schema))
    assert [row[0] for row in rows(CONTRACTS, f"fields {name}") if not row[2]] == []


def test_every_event_with_a_json_payload_is_described() -> None:
    described = set(re.findall(r"<!-- fields ([\w-]+) -->", CONTRACTS))
    assert described == {path.name.split(".")[0] for path in EVENTS.glob("*.v1.schema.json")}


def test_the_glossary_is_in_alphabetical_order_and_every_term_is_used() -> None:
    text = (DOCS / "glossary.md").read_text("utf-8")
    terms = re.findall(r"^\| ([a-z][\w -]*) \| [A-Z][^|]*\. \|$", text, re.MULTILINE)
    assert len(terms) == text.count("\n|") - 2
    assert terms == sorted(set(terms))
    pages = (page.read_text("utf-8") for page in sorted(DOCS.glob("*.md")))
    used = " ".join(page for page in pages if not page.startswith("# Glossary")).lower()
    assert [term for term in terms if term not in used] == []
