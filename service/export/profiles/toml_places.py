"""Finds the lines at which tables and keys of a TOML text stand, because Python's parser does not
tell them. Pure.

A table or key in an unusual spelling may not be found; a message then names the line of the table
around it.
"""

import re
from collections import Counter

Location = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_MULTILINE = re.compile(r'"""|' + "'''")


def numbers_of(text: str) -> dict[Location, int]:
    """Returns for each table and key the number of its line in the text, counted from 1.

    In the location of a table or key, the tables of an array are numbered from 0.
    """
    numbers: dict[Location, int] = {}
    tables: Counter[str] = Counter()
    table: Location = ()
    is_within_text = False
    for number, text_line in enumerate(text.splitlines(), start=1):
        begins_within, is_within_text = is_within_text, _ends_within(text_line, is_within_text)
        if begins_within:
            continue
        if header := _HEADER.match(text_line):
            table = _table(header[1], _names(header[2]), tables)
            numbers.setdefault(table[:1], number)
            numbers.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(text_line):
            _note(numbers, table, _names(assignment[1]), number)
    return numbers


def number_of(numbers: dict[Location, int], location: Location) -> int:
    """Returns the line of a location; if it is not known, that of the innermost known table around
    it, or 1.
    """
    known = (location[:size] for size in range(len(location), 0, -1))
    return next((numbers[part] for part in known if part in numbers), 1)


def _ends_within(text_line: str, begins_within: bool) -> bool:
    """Whether the next line is inside a multi-line text."""
    return begins_within != (len(_MULTILINE.findall(text_line)) % 2 == 1)


def _table(brackets: str, names: list[str], tables: Counter[str]) -> Location:
    first, *rest = names
    if brackets == "[[" and not rest:
        tables[first] += 1
    return (first, tables[first] - 1, *rest) if tables[first] else (first, *rest)


def _note(numbers: dict[Location, int], table: Location, names: list[str], number: int) -> None:
    for size in range(1, len(names) + 1):
        numbers.setdefault((*table, *names[:size]), number)


def _names(dotted: str) -> list[str]:
    return [name.strip().strip("\"'") for name in re.findall(_KEY, dotted)]
