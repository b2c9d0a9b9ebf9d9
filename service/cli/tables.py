"""Prints the results of commands: tables and single entries ("cards") for people, JSON lines for
programs.

On a terminal, a table is fitted to the width: long texts are cut, and values of columns for which
there is no room are printed below their row. Identifiers and numbers are never cut or broken. If
the output is no terminal but a pipe or a file, nothing is cut, broken or coloured.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest

import orjson
import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from .commands.declare import selection
from .lists import Column, Kind, Listing, Row

GAP = "  "
TEXT_CELLS_MIN = 12
SENTENCE_CELLS_MIN = 30
CUT = "…"
FOLDED = (Kind.TEXT, Kind.SENTENCE)
# What a rejected record holds must not steer the terminal, nor change the order of its letters.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def show(listing: Listing, rows: Sequence[Row], as_json: bool, *, wide: bool = False) -> None:
    """Prints rows as a table for people, or with `as_json` as one JSON object per line with the
    same names.
    """
    assert not listing.undeclared(rows), listing.undeclared(rows)
    if as_json:
        show_json(rows)
        return
    if not rows:
        options = selection()
        is_whole = listing.kind is None or not options
        typer.echo(listing.nothing if is_whole else f"no {listing.kind} matches {options}")
        return
    console = Console()
    cells_max = console.width if console.is_terminal else None
    columns = list(listing.columns_of(rows, wide=wide))
    table = _Table.of(columns, rows, cells_max, cuts=not wide)
    console.print(Text("\n").join(table.texts(rows)), soft_wrap=True)


def show_card(row: Row, as_json: bool) -> None:
    """Prints what is known of one thing, such as a batch: one entry for each key of `row` that has
    a value.
    """
    if as_json:
        show_json([row])
        return
    console = Console()
    cells_max = console.width if console.is_terminal else None
    members = {name: value for name, value in row.items() if value is not None and value != []}
    label_cells = max(map(cell_len, members), default=0) + len(GAP)
    room = None if cells_max is None else cells_max - label_cells
    for name, value in members.items():
        label = Text(name.replace("_", " ").ljust(label_cells), "bold")
        for part in value if isinstance(value, list) else [value]:
            for text in _folded(_member(part), room):
                if room is not None and cell_len(text) > room:
                    # Beside its name a long identifier would be broken at the edge of the terminal.
                    label.rstrip()
                    if label:
                        console.print(label, soft_wrap=True)
                    label = Text(_margin(text, label_cells, cells_max))
                console.print(label + Text(text), soft_wrap=True)
                label = Text(" " * label_cells)


def show_json(rows: Sequence[Row]) -> None:
    """Prints a JSON object for each row on a line of its own; instants are in UTC."""
    for row in rows:
        text = orjson.dumps(row, option=orjson.OPT_UTC_Z).decode()
        typer.echo(_CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns of a row's first line with their widths in cells, and the columns below it.

    `cells_max` is None where a line may be as long as it is; with `cuts` texts may be cut.
    """

    widths: Mapping[Column, int]
    below: Sequence[Column]
    cells_max: int | None
    cuts: bool

    @classmethod
    def of(
        cls, columns: Sequence[Column], rows: Sequence[Row], cells_max: int | None, *, cuts: bool
    ) -> "_Table":
        widths = {column: _width(column, rows) for column in columns}
        if cells_max is None:
            return cls(widths, (), None, cuts)
        least = {column: _least(column, widths[column], rows, cuts=cuts) for column in columns}
        while len(least) > 1 and _sum(least.values()) > cells_max:
            del least[_least_important(list(least))]
        spare = cells_max - _sum(least.values())
        for column in least:
            more = max(0, min(spare, widths[column] - least[column]))
            least[column] += more
            spare -= more
        return cls(least, [column for column in columns if column not in least], cells_max, cuts)

    def texts(self, rows: Sequence[Row]) -> Iterator[Text]:
        """The printed table, a text for each of its lines."""
        headings = [
            _aligned(column, column.heading, cells) for column, cells in self.widths.items()
        ]
        yield Text(GAP.join(headings).rstrip(), "bold")
        yield Text(GAP.join("-" * cells for cells in self.widths.values()))
        for row in rows:
            yield from self._first(row)
            yield from map(Text, self._below(row))

    def _first(self, row: Row) -> Iterator[Text]:
        """The first line of a row, and what its sentences need below it."""
        values = (self._parts(column, _cell(row, column)) for column in self.widths)
        for parts in zip_longest(*values, fillvalue=""):
            printed = Text()
            for (column, cells), part in zip(self.widths.items(), parts, strict=True):
                printed.append(_aligned(column, part, cells), column.colours.get(part, ""))
                printed.append(GAP)
            printed.rstrip()
            yield printed

    def _parts(self, column: Column, value: str) -> list[str]:
        is_folded = column.kind is Kind.SENTENCE and self.cells_max is not None
        return _folded(value, self.widths[column]) if is_folded else [value]

    def _below(self, row: Row) -> Iterator[str]:
        """Each column with its name; as many beside each other as fit."""
        texts = ""
        for column in self.below:
            value = _cell(row, column)
            if not value:
                continue
            text = f"{GAP}{column.heading}: {value}"
            if texts and not self._fits(texts + text):
                yield texts
                texts = ""
            if self._fits(text):
                texts += text
            else:
                yield from self._long(column, value)
        if texts:
            yield texts

    def _long(self, column: Column, value: str) -> Iterator[str]:
        """A value that has lines of its own."""
        assert self.cells_max is not None
        if column.kind is Kind.TEXT and self.cuts:
            yield _cut(f"{GAP}{column.heading}: {value}", self.cells_max)
            return
        yield f"{GAP}{column.heading}:"
        room = self.cells_max - 2 * len(GAP)
        for text in _folded(value, room) if column.kind in FOLDED else [value]:
            yield _margin(text, 2 * len(GAP), self.cells_max) + text

    def _fits(self, text: str) -> bool:
        return self.cells_max is None or cell_len(text) <= self.cells_max


def _width(column: Column, rows: Sequence[Row]) -> int:
    return max(cell_len(column.heading), *(cell_len(_cell(row, column)) for row in rows))


def _least(column: Column, natural: int, rows: Sequence[Row], *, cuts: bool) -> int:
    """Down to how many cells a column may shrink: a sentence, to its longest word."""
    if column.kind is Kind.SENTENCE:
        words = [word for row in rows for word in _cell(row, column).split(" ")]
        return min(natural, max(SENTENCE_CELLS_MIN, *map(cell_len, words)))
    if column.kind is Kind.TEXT and cuts:
        return min(natural, max(TEXT_CELLS_MIN, cell_len(column.heading)))
    return natural


def _least_important(columns: Sequence[Column]) -> Column:
    """What leaves the first line next: a text, else the last column."""
    texts = [column for column in columns[1:] if column.kind is Kind.TEXT]
    return texts[-1] if texts else columns[-1]


def _sum(widths: Collection[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _aligned(column: Column, value: str, width: int) -> str:
    blanks = " " * (width - cell_len(value))
    if column.kind is Kind.NUMBER:
        return blanks + value
    return _cut(value, width) + blanks if column.kind is Kind.TEXT else value + blanks


def _cut(value: str, cells_max: int) -> str:
    return value if cell_len(value) <= cells_max else set_cell_size(value, cells_max - 1) + CUT


def _folded(value: str, cells_max: int | None) -> list[str]:
    """Pieces of at most so many cells; a word that is longer is a piece of its own, whole."""
    if cells_max is None:
        return value.split("\n")
    pieces: list[str] = []
    for paragraph in value.split("\n"):
        first, *words = paragraph.split(" ")
        pieces.append(first)
        for word in words:
            longer = f"{pieces[-1]} {word}"
            if pieces[-1] and cell_len(longer) > cells_max:
                pieces.append(word)
            else:
                pieces[-1] = longer if pieces[-1] else word
    return pieces


def _margin(text: str, cells: int, cells_max: int | None) -> str:
    """So many blanks, or as many as leave the text behind them whole on the terminal."""
    room = cells if cells_max is None else max(0, cells_max - cell_len(text))
    return " " * min(cells, room)


def _cell(row: Row, column: Column) -> str:
    """A value in one line."""
    return _printed(row.get(column.name)).replace("\n", " ")


def _member(value: object) -> str:
    """A value of a card."""
    if not isinstance(value, Mapping):
        return _printed(value)
    pairs = [
        f"{name.replace('_', ' ')}: {_printed(part)}"
        for name, part in value.items()
        if part is not None
    ]
    return ", ".join(pairs)


def _printed(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, list):
        return ", ".join(map(_printed, value))
    if isinstance(value, Mapping):
        return _member(value)
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", str(value))


def instant(value: datetime) -> str:
    """Returns an instant as text in UTC, in the form that options accept; it has no blank at which
    a line could be broken.
    """
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
