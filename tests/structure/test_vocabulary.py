"""One word, one meaning: identifiers keep to the list in tests/structure/words.py.

`python -m tests.structure.vocabulary PACKAGE...` lists what is to be renamed, with the line and a
better word.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.structure.vocabulary import (
    CHECKED,
    ROOT,
    defined_names,
    faults,
    names_in_sql,
)
from tests.structure.words import RULES, Name, words_of


@pytest.mark.parametrize("folder", CHECKED, ids=lambda folder: folder.name)
def test_no_identifier_uses_a_word_with_a_second_meaning(folder: Path) -> None:
    places = [
        f"{fault.name.path}:{fault.name.line}: {fault.name.identifier}, write {fault.instead}"
        for fault in faults(folder)
    ]
    assert places == []


def test_a_place_where_a_word_is_right_exists() -> None:
    """A module that gets another name takes the permission with it, or loses it."""
    places = {place for rule in RULES for place, _ in rule.allowed}
    assert [place for place in sorted(places) if not list(ROOT.glob(f"{place}*"))] == []


@pytest.mark.parametrize(
    ("source", "identifiers"),
    [
        ("def claim(lane): ...", ["claim", "lane"]),
        ("class SetAside: anchor: int", ["SetAside", "anchor"]),
        ("for one in fines: self.seen = one", ["one", "seen"]),
        ("try: ...\nexcept OSError as said: ...", ["said"]),
        ("match x:\n  case [own, *told]: ...", ["own", "told"]),
        ("from a import b as overlay", ["overlay"]),
        ("class Wanted: ...\nwanted = 1", ["Wanted"]),
        ("class Kind:\n  REFUSE_AGAIN = 'refuse_again'", []),
        ("due_on = 1\nhalf = 2\nnone = 3\nalone = 4", []),
        ("def test_what_is_told_is_seen(): ...", []),
        ("found = one.claims", ["found"]),
    ],
)
def test_a_word_is_noticed_wherever_a_name_is_given(source: str, identifiers: list[str]) -> None:
    names = defined_names("service/relay/loop.py", list(ast.walk(ast.parse(source))))
    assert [
        name.identifier for name in names if any(rule.forbids(name) for rule in RULES)
    ] == identifiers


@pytest.mark.parametrize(
    ("path", "identifier", "is_right"),
    [
        ("service/core/payments.py", "settle", True),
        ("service/relay/loop.py", "settle", False),
        ("service/export/xml/write.py", "line", True),
        ("service/runtime/logs.py", "line", False),
        ("service/runtime/logs.py", "text_line", True),
        ("service/database/upgrade.py", "line", False),
        ("service/operations/names.py", "lines", False),
        ("service/database/sql/recovery.sql", "unsettled_accounts", False),
        ("service/database/sql/operators.sql", "needle", False),
        ("service/database/sql/audit.sql", "asked", False),
        ("service/runtime/lifecycle.py", "asked_ns", True),
        ("service/delivery/state.py", "unseen_codes", False),
        ("service/operations/held.py", "refused", True),
        ("service/kafka/topics.py", "TopicsRefused", False),
        ("service/delivery/queue.py", "refused_lines", True),
    ],
)
def test_a_word_is_right_where_it_has_its_one_meaning(
    path: str, identifier: str, is_right: bool
) -> None:
    assert any(rule.forbids(Name(path, 1, identifier)) for rule in RULES) is not is_right


@pytest.mark.parametrize(
    ("text", "identifiers"),
    [
        ("-- name: claim", ["claim"]),
        ("-- What is left AS found.", []),
        ("WITH own AS (", ["own"]),
        ("seen AS MATERIALIZED (", ["seen"]),
        (") AS told (name) -- AS one", ["told"]),
        ("SELECT a.b AS found, c AS wanted", ["found", "wanted"]),
    ],
)
def test_a_word_is_noticed_in_sql(text: str, identifiers: list[str]) -> None:
    assert list(names_in_sql(text)) == identifiers


def test_identifiers_are_split_into_words() -> None:
    assert words_of("_OWN_IDS") == ["own", "ids"]
    assert words_of("TargetAway") == ["target", "away"]
    assert words_of("readHTTPLine2") == ["read", "http", "line2"]
    assert words_of("_") == ["_"]
