"""How a list is declared: its columns, which are shown without `--wide`, and what each holds."""

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
    """What a column holds, and so what may be done to it where space is short."""

    ID = auto()  # names something; stands whole on one line, always
    NUMBER = auto()  # a count or an amount; whole, and to the right
    WORD = auto()  # a state, a reason code, an instant; whole
    TEXT = auto()  # what a person wrote; cut on a narrow terminal
    SENTENCE = auto()  # what a person must read to its end; continued on further lines


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `name` is the member of the row, and the name in JSON.

    With `wide` the column is shown only with --wide. `unless` names another column: this one is
    shown without --wide, too, as soon as a row lacks a value in the other. `colours`: of single
    values.
    """

    name: str
    kind: Kind = Kind.WORD
    wide: bool = False
    unless: str | None = None
    colours: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def heading(self) -> str:
        """What stands above the column in a table, and before a value that stands below its row."""
        return _HEADINGS.get(self.name, self.name.replace("_", " "))


identifier = partial(Column, kind=Kind.ID)
number = partial(Column, kind=Kind.NUMBER)
word = partial(Column, kind=Kind.WORD)
text = partial(Column, kind=Kind.TEXT)
sentence = partial(Column, kind=Kind.SENTENCE)


def place(*, unless: str | None = None) -> tuple[Column, ...]:
    """Where a record stood in Kafka; `unless` is a column that names the record otherwise."""
    names = ("topic", "partition", "offset")
    return tuple(identifier(name, wide=unless is not None, unless=unless) for name in names)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list: its columns, the most important first, and `nothing`, the line for an empty list.

    `json_only` are members that programs get and no table has room for. With a `kind`, such as
    "parked record", an empty list names the kind and the options that selected from all of them.
    """

    nothing: str
    columns: Sequence[Column]
    json_only: frozenset[str] = frozenset({"what"})
    kind: str | None = None

    def columns_of(self, rows: Sequence[Row], *, wide: bool) -> Iterator[Column]:
        """Yields the columns to show for these rows; a column without any value is left out."""
        for column in self.columns:
            has_value = any(row.get(column.name) is not None for row in rows)
            if has_value and (wide or not column.wide or self._is_needed(column, rows)):
                yield column

    def undeclared(self, rows: Sequence[Row]) -> set[str]:
        """Returns the members of the rows that the list does not declare."""
        names = {name for row in rows for name in row}
        return names - {column.name for column in self.columns} - self.json_only

    @staticmethod
    def _is_needed(column: Column, rows: Sequence[Row]) -> bool:
        other = column.unless
        return other is not None and any(row.get(other) is None for row in rows)
