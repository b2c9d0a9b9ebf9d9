"""What code and documents refer to exists: pages, sections, rows, laws, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.structure.source import nodes_of, tree_of
from tests.support.pages import (
    CODE,
    DOCS,
    PAGES,
    ROOT,
    TEXTS,
    code_lines,
    name_of,
    text_of,
    without_code,
)

ALL = [path for path in TEXTS if path != Path(__file__)]
CHANGELOG = ROOT / "CHANGELOG.md"

NUMBER = r"[1-9][0-9]*b?(?:\.[0-9]+)?|0"
LIST = rf"(?:{NUMBER})(?:(?:, | and |-| to )(?:{NUMBER}))*"
SECTIONS_CITED = re.compile(rf"\b(rules|contracts)\.md, (?:section )?({LIST})")
ROWS_CITED = re.compile(rf"\b[Rr]ows? ({LIST})")
LAWS_CITED = re.compile(rf"\b[Ll]aws? ({LIST})")
LAW_TEST = re.compile(r"def test_(?:law_)?([0-9]+)_")


@cache
def sections_of(page: str) -> frozenset[str]:
    """The numbers of the page's second-level headings."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    return frozenset(re.findall(r"^## ([0-9]+b?)\. ", text, re.MULTILINE))


@cache
def numbered_rows(heading: str) -> frozenset[str]:
    """The first cells of the tables of rules.md whose first heading is `heading`."""
    tables = re.findall(r"(?:^\|.*\n)+", (DOCS / "rules.md").read_text("utf-8"), re.MULTILINE)
    return frozenset(
        row.split("|")[1].strip()
        for table in tables
        if table.startswith(f"| {heading} |")
        for row in table.splitlines()[2:]
    )


def expanded(numbers: str) -> Iterator[str]:
    """The single numbers of "2, 4 and 5" or "6-13 and 15"."""
    for part in re.split(r", | and ", numbers):
        first, *rest = re.split(r"-| to ", part)
        yield first
        if rest and first.isdigit() and rest[0].isdigit():
            yield from map(str, range(int(first) + 1, int(rest[0]) + 1))
        else:
            yield from rest


def unknown(pattern: re.Pattern[str], known: frozenset[str], paths: Iterable[Path]) -> list[str]:
    return [
        f"{name_of(path)}: {match[0]}"
        for path in paths
        for match in pattern.finditer(text_of(path))
        if not set(expanded(match[1])) <= known
    ]


def test_the_pages_have_sections_rows_and_laws() -> None:
    assert sections_of("rules") >= {"1", "2", "2b", "3", "4", "5", "6"}
    assert sections_of("contracts") >= {"0", "1", "2", "2b", "3", "4", "5", "6", "7", "8"}
    assert numbered_rows("row") >= {str(number) for number in range(1, 16)}
    assert numbered_rows("law") == {str(number) for number in range(1, 11)}


def test_pages_that_are_cited_exist() -> None:
    cited = re.compile(r"(?<![\w/.*{-])((?:\.\./)*(?:[\w.-]+/)*[A-Za-z][\w.-]*\.md)\b")
    missing = [
        f"{name_of(path)}: {match[1]}"
        for path in ALL
        for match in cited.finditer(re.sub(r"https?://\S+", "", text_of(path)))
        if not match[1].startswith("var/")  # what programs write
        and not any((start / match[1]).exists() for start in (ROOT, DOCS, path.parent))
    ]
    assert missing == []


def test_targets_of_make_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    wrong = []
    for path in PAGES:
        text = path.read_text("utf-8")
        named = re.findall(r"`make ((?:[a-z-]+ ?)+)", without_code(text))
        named += [line[5:].split("#")[0] for line in code_lines(text) if line.startswith("make ")]
        given = {word for words in named for word in words.split() if word.islower()}
        wrong += [f"{name_of(path)}: make {word}" for word in sorted(given - targets)]
    assert wrong == []


def test_decisions_that_are_cited_by_number_exist() -> None:
    known = {path.name[:4] for path in (DOCS / "decisions").glob("*.md")}
    cited = re.compile(r"\b[Dd]ecision ([0-9]{4})\b")
    missing = [
        f"{name_of(path)}: {match[0]}"
        for path in ALL
        for match in cited.finditer(text_of(path))
        if match[1] not in known
    ]
    assert missing == []


def test_sections_that_are_cited_exist() -> None:
    missing = [
        f"{name_of(path)}: {match[0]}"
        for path in ALL
        for match in SECTIONS_CITED.finditer(text_of(path))
        if not set(expanded(match[2])) <= sections_of(match[1])
    ]
    assert missing == []


def test_rows_and_laws_that_are_cited_exist() -> None:
    paths = [path for path in ALL if path != CHANGELOG]
    assert unknown(ROWS_CITED, numbered_rows("row"), paths) == []
    assert unknown(LAWS_CITED, numbered_rows("law"), paths) == []


def test_every_law_has_the_test_that_it_names_and_tests_name_laws_that_exist() -> None:
    laws = ROOT / "tests" / "laws" / "test_laws.py"
    numbers = set(LAW_TEST.findall(laws.read_text("utf-8")))
    others = {
        number
        for path in CODE
        for number in re.findall(r"def test_law_([0-9]+)_", path.read_text("utf-8"))
    }
    assert numbers | others <= numbered_rows("law")
    for row in re.findall(
        r"^\| [0-9]+ \|.*test.*\|$", (DOCS / "rules.md").read_text(), re.MULTILINE
    ):
        file, function = re.findall(r"`(tests/[\w/.]+)::(\w+)`", row)[0]
        assert f"def {function}(" in (ROOT / file).read_text("utf-8"), row


def test_rows_of_the_rules_tests_are_those_that_their_docstring_cites() -> None:
    """A case is called "14-5 another fine": of row 14, by the rule of row 5."""
    wrong = []
    for path in sorted((ROOT / "tests" / "unit").glob("test_rules_*.py")):
        cited = _cited(ast.get_docstring(tree_of(path)) or "")
        for case in _cases(path):
            match = re.match(r"([0-9]+b?)(?:-([0-9]+))? ", case)
            if match and (match[1] not in cited or match[2] not in {None, *numbered_rows("row")}):
                wrong.append(f"{path.name}: {case}")
    assert wrong == []


def _cited(docstring: str) -> set[str]:
    text = re.sub(r"\s+", " ", docstring)
    lists = [match[2] for match in SECTIONS_CITED.finditer(text)]
    lists += [match[1] for match in ROWS_CITED.finditer(text)]
    return {number for numbers in lists for number in expanded(numbers)}


def _cases(path: Path) -> Iterator[str]:
    """The first cells of the rows of each `@table(...)`."""
    for node in nodes_of(path):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "table":
            for row in node.args[1:]:
                if isinstance(row, ast.Tuple) and isinstance(row.elts[0], ast.Constant):
                    yield str(row.elts[0].value)


@cache
def heading_links(path: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    links: list[str] = []
    text = without_code(path.read_text("utf-8"))
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        links.append(slug if slug not in links else f"{slug}-{links.count(slug)}")
    return frozenset(links)


def test_links_and_anchors_lead_somewhere() -> None:
    wrong = []
    for path in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text("utf-8"))):
            if "://" in link or link.startswith("mailto:"):
                continue
            file, _, heading = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.exists() or (heading and heading not in heading_links(target)):
                wrong.append(f"{name_of(path)}: {link}")
    assert wrong == []
