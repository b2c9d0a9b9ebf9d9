"""Finds where tables and keys of a TOML text stand, which its parser does not say. Pure.

Unusual spellings may be missed; then a place further out is named.
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
    """The number of the text's line, from 1, at which each table and key stands.

    The tables of an array are numbered from 0.
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
    """The number of the line of the innermost part of a location that is known; 1 if none is."""
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
