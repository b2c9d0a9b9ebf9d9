"""Lists and cards for people, JSON lines for programs.

On a terminal a list fits its width: texts are cut, and columns for which there is no room follow
below their row. Identifiers and numbers always stand whole on one line. Elsewhere (a pipe, a file)
nothing is cut or continued, and nothing has a colour.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

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
# What a refused record holds must not steer the terminal.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def show(listing: Listing, rows: Sequence[Row], as_json: bool, *, wide: bool = False) -> None:
    """A list for people, or a JSON object per line with the same names."""
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
    console.print(Text("\n").join(table.lines(rows)), soft_wrap=True)


def show_one(row: Row, as_json: bool) -> None:
    """One subject: a line per member that has a value."""
    if as_json:
        show_json([row])
        return
    console = Console()
    shown = {name: value for name, value in row.items() if value is not None and value != []}
    label_cells = max((cell_len(name) for name in shown), default=0)
    for name, value in shown.items():
        label = Text(name.replace("_", " ").ljust(label_cells) + GAP, "bold")
        cells_max = console.width if console.is_terminal else None
        width = None if cells_max is None else cells_max - len(label)
        values = value if isinstance(value, list) else [value]
        lines = [line for part in values for line in _folded(_member(part), width)]
        for number, line in enumerate(lines):
            if width is not None and cell_len(line) > width:
                # A long identifier is not broken by the terminal: it has a line of its own.
                if number == 0:
                    console.print(Text(name.replace("_", " "), "bold"), soft_wrap=True)
                console.print(Text(_indented(line, len(label), cells_max)), soft_wrap=True)
                continue
            margin = label if number == 0 else Text(" " * len(label))
            console.print(margin + Text(line), soft_wrap=True)


def show_json(rows: Sequence[Row]) -> None:
    for row in rows:
        typer.echo(orjson.dumps(row, option=orjson.OPT_UTC_Z))


@dataclass(frozen=True, slots=True)
class _Table:
    """`widths`: of the columns in a row's first line. `below`: what follows under it.

    `cells_max` is None where lines may be as long as they are.
    """

    first: Sequence[Column]
    widths: Sequence[int]
    below: Sequence[Column]
    cells_max: int | None
    cuts: bool

    @classmethod
    def of(
        cls, columns: Sequence[Column], rows: Sequence[Row], cells_max: int | None, *, cuts: bool
    ) -> "_Table":
        natural = {column.name: _natural(column, rows) for column in columns}
        if cells_max is None:
            return cls(columns, list(natural.values()), (), None, cuts)
        least = {
            column.name: _least(column, natural[column.name], rows, cuts=cuts) for column in columns
        }
        first = list(columns)
        while len(first) > 1 and _width([least[column.name] for column in first]) > cells_max:
            first.remove(_least_important(first))
        widths = [least[column.name] for column in first]
        spare = cells_max - _width(widths)
        for place, column in enumerate(first):
            more = max(0, min(spare, natural[column.name] - widths[place]))
            widths[place] += more
            spare -= more
        below = [column for column in columns if column not in first]
        return cls(first, widths, below, cells_max, cuts)

    def lines(self, rows: Sequence[Row]) -> Iterator[Text]:
        columns = list(zip(self.first, self.widths, strict=True))
        headings = [_aligned(column, column.heading, width) for column, width in columns]
        yield Text(GAP.join(headings).rstrip(), "bold")
        yield Text(GAP.join("-" * width for width in self.widths))
        for row in rows:
            yield from self._first_lines(row)
            yield from map(Text, self._lines_below(row))

    def _first_lines(self, row: Row) -> Iterator[Text]:
        line, continued = Text(), list[str]()
        for column, width in zip(self.first, self.widths, strict=True):
            value = _cell(row, column)
            if column.kind is Kind.SENTENCE:
                value, *more = _folded(value, self.cells_max and width)
                continued = [" " * line.cell_len + part for part in more]
            line.append(_aligned(column, value, width), column.colours.get(value, ""))
            line.append(GAP)
        line.rstrip()
        yield line
        yield from map(Text, continued)

    def _lines_below(self, row: Row) -> Iterator[str]:
        """Each column with its name; as many in a line as fit."""
        line = ""
        for column in self.below:
            value = _cell(row, column)
            if not value:
                continue
            part = f"{GAP}{column.heading}: {value}"
            if line and not self._fits(line + part):
                yield line
                line = ""
            if self._fits(part):
                line += part
            else:
                yield from self._long_part(column, value)
        if line:
            yield line

    def _long_part(self, column: Column, value: str) -> Iterator[str]:
        """A value that fills lines of its own."""
        assert self.cells_max is not None
        if column.kind is Kind.TEXT and self.cuts:
            yield _cut(f"{GAP}{column.heading}: {value}", self.cells_max)
            return
        yield f"{GAP}{column.heading}:"
        room = self.cells_max - 2 * len(GAP)
        lines = _folded(value, room) if column.kind in FOLDED else [value]
        yield from (_indented(line, 2 * len(GAP), self.cells_max) for line in lines)

    def _fits(self, line: str) -> bool:
        return self.cells_max is None or cell_len(line) <= self.cells_max


def _indented(line: str, cells: int, cells_max: int | None) -> str:
    """The line behind so many blanks, or behind as many as leave it whole on the terminal."""
    if cells_max is not None:
        cells = min(cells, max(0, cells_max - cell_len(line)))
    return " " * cells + line


def _natural(column: Column, rows: Sequence[Row]) -> int:
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


def _width(widths: Collection[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _aligned(column: Column, value: str, width: int) -> str:
    blanks = " " * (width - cell_len(value))
    if column.kind is Kind.NUMBER:
        return blanks + value
    return _cut(value, width) + blanks if column.kind is Kind.TEXT else value + blanks


def _cut(value: str, cells_max: int) -> str:
    return value if cell_len(value) <= cells_max else set_cell_size(value, cells_max - 1) + CUT


def _folded(value: str, cells_max: int | None) -> list[str]:
    """Lines of at most so many cells; a word that is longer stands whole on a line of its own."""
    if cells_max is None:
        return value.split("\n")
    lines: list[str] = []
    for paragraph in value.split("\n"):
        line = ""
        for part in paragraph.split(" "):
            longer = f"{line} {part}" if line else part
            if line and cell_len(longer) > cells_max:
                lines.append(line)
                longer = part
            line = longer
        lines.append(line)
    return lines


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
    """As options take it, without a blank: it is never continued on the next line."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
