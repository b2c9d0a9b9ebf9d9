"""Declares a command's list: its columns, which of them are shown without `--wide`, and what kind
of value each holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial

Row = Mapping[str, object]

# Headings that are shorter than the names which programs get.
_HEADINGS = {
    "institution_id": "institution",
    "batch_number": "batch",
    "bursar_transaction_id": "bursar id",
    "size_bytes": "bytes",
    "fine_count": "fines",
    "transferred_change": "transferred by",
    "active_change": "active by",
}


class Kind(Enum):
    """The kind of a column's values, which decides whether they may be cut or broken on a narrow
    terminal.
    """

    ID = auto()  # names something; stands whole on one line, always
    NUMBER = auto()  # a count or an amount; whole, and to the right
    WORD = auto()  # a state, a reason code, an instant; whole
    TEXT = auto()  # what a person wrote; cut on a narrow terminal
    SENTENCE = auto()  # what a person must read to its end; continued on further lines


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `name` is the key of the column's value in a row, and its name in JSON.

    If `wide` is set, the column is shown only when the command is called with --wide. `unless`
    names another column: if a row has no value in that other column, this column is shown even
    without --wide. `colours` gives colours to some values of the column.
    """

    name: str
    kind: Kind = Kind.WORD
    wide: bool = False
    unless: str | None = None
    colours: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def heading(self) -> str:
        """The heading of the column in a table; it also stands before a value that is printed below
        its row for lack of room.
        """
        return _HEADINGS.get(self.name, self.name.replace("_", " "))


identifier = partial(Column, kind=Kind.ID)
number = partial(Column, kind=Kind.NUMBER)
word = partial(Column, kind=Kind.WORD)
text = partial(Column, kind=Kind.TEXT)
sentence = partial(Column, kind=Kind.SENTENCE)


def place(*, unless: str | None = None) -> tuple[Column, ...]:
    """Returns the columns topic, partition and offset of a record in Kafka. If `unless` names a
    column, such as the record's id, they are shown without --wide only if a row has no value in it.
    """
    names = ("topic", "partition", "offset")
    return tuple(identifier(name, wide=unless is not None, unless=unless) for name in names)


@dataclass(frozen=True, slots=True)
class Listing:
    """The declaration of a list: its columns, the most important first, and `nothing`, the line
    that is printed if the list is empty.

    `json_only` names values of a row that are printed in JSON only. If the list has a `kind`, such
    as "parked record", and options select nothing, the printed line names the kind and these
    options.
    """

    nothing: str
    columns: Sequence[Column]
    json_only: frozenset[str] = frozenset({"what"})
    kind: str | None = None

    def columns_of(self, rows: Sequence[Row], *, wide: bool) -> Iterator[Column]:
        """Yields the columns to print for these rows; a column in which no row has a value is left
        out.
        """
        for column in self.columns:
            has_value = any(row.get(column.name) is not None for row in rows)
            if has_value and (wide or not column.wide or self._is_needed(column, rows)):
                yield column

    def undeclared(self, rows: Sequence[Row]) -> set[str]:
        """Returns the keys of the rows for which the list declares neither a column nor
        `json_only`; a list that is complete has none.
        """
        names = {name for row in rows for name in row}
        return names - {column.name for column in self.columns} - self.json_only

    @staticmethod
    def _is_needed(column: Column, rows: Sequence[Row]) -> bool:
        other = column.unless
        return other is not None and any(row.get(other) is None for row in rows)
