"""Where tables and keys of a TOML text are: its parser does not say. Best effort, pure."""

import re
from collections import Counter

Location = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_MULTILINE = re.compile(r'"""|' + "'''")


def lines_of(text: str) -> dict[Location, int]:
    """The line, from 1, of each table and key; an array's tables are numbered from 0."""
    found: dict[Location, int] = {}
    tables: Counter[str] = Counter()
    table: Location = ()
    is_within_text = False
    for number, line in enumerate(text.splitlines(), start=1):
        begins_within, is_within_text = is_within_text, _ends_within(line, is_within_text)
        if begins_within:
            continue
        if header := _HEADER.match(line):
            table = _table(header[1], _names(header[2]), tables)
            found.setdefault(table[:1], number)
            found.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            _note(found, table, _names(assignment[1]), number)
    return found


def line_of(lines: dict[Location, int], location: Location) -> int:
    """The line of the innermost known part of `location`; 1 if none is."""
    known = (location[:size] for size in range(len(location), 0, -1))
    return next((lines[part] for part in known if part in lines), 1)


def _ends_within(line: str, begins_within: bool) -> bool:
    """Whether the next line is inside a multi-line text."""
    return begins_within != (len(_MULTILINE.findall(line)) % 2 == 1)


def _table(brackets: str, names: list[str], tables: Counter[str]) -> Location:
    first, *rest = names
    if brackets == "[[" and not rest:
        tables[first] += 1
    return (first, tables[first] - 1, *rest) if tables[first] else (first, *rest)


def _note(found: dict[Location, int], table: Location, names: list[str], number: int) -> None:
    for size in range(1, len(names) + 1):
        found.setdefault((*table, *names[:size]), number)


def _names(dotted: str) -> list[str]:
    return [name.strip().strip("\"'") for name in re.findall(_KEY, dotted)]
