"""The description of a table of the ledger, from which rows and values are made, and rows as the
arrays that statements take.

A description yields the columns for COPY, the rows to insert, the rows of an UPDATE (key and
changing columns), and the conversion of rows that were read. The functions that do so are made
once, when the description is.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

import asyncpg

V = TypeVar("V")
Cells = tuple[Any, ...]  # the values of a row, as the driver takes and gives them
Converters = Mapping[str, Callable[[Any], object]]


class Table(Generic[V]):
    """One table, and the type of the values that are its rows.

    `columns` names the columns, beginning with the `key_width` columns of the key, as paths of
    attributes of a value. The last part of a path is the name of the column, unless another name
    stands behind a colon. `changing` names the columns that an UPDATE may set. `stored` and
    `loaded` convert the cells of some columns, if they are not NULL, and `make` makes a value of a
    row's cells. A table with `is_dated` has the time of recording as its last column; it is not
    part of the value.
    """

    def __init__(
        self,
        name: str,
        columns: str,
        key_width: int,
        *,
        changing: str = "",
        stored: Converters | None = None,
        loaded: Converters | None = None,
        make: Callable[[Cells], V] | None = None,
        is_dated: bool = False,
    ) -> None:
        paths = {}
        for column in columns.split():
            path, _, column_name = column.partition(":")
            paths[column_name or path.rpartition(".")[2]] = f"source.{path}"
        names = tuple(paths)
        changed = (*names[:key_width], *changing.split())
        self.name = name
        self.is_dated = is_dated
        self.columns = (*names, "recorded_at") if is_dated else names
        self.row = _compiled(paths, stored or {})
        self.changed_row = _compiled({column: paths[column] for column in changed}, stored or {})
        self.cells = _compiled({column: f"source[{column!r}]" for column in names}, loaded or {})
        self._make = make

    def rows(self, values: Iterable[V], recorded_at: datetime) -> list[Cells]:
        """Returns the rows of the values, in the order of `columns`."""
        if self.is_dated:
            return [(*self.row(value), recorded_at) for value in values]
        return [self.row(value) for value in values]

    def value(self, row: asyncpg.Record) -> V:
        """Returns the value of a row that has at least the columns of this table."""
        assert self._make is not None, f"rows of {self.name} are not read as values"
        return self._make(self.cells(row))


def _compiled(expressions: Mapping[str, str], converters: Converters) -> Callable[[Any], Cells]:
    """Returns a function that returns the cells of `source`, in the order of the expressions.

    It is compiled, as the methods of a dataclass are: a poll has thousands of rows, and a loop over
    the columns of each would take longer than all that the rules decide.
    """
    cells = [
        f"(None if (cell := {expression}) is None else {column}(cell))"
        if column in converters
        else expression
        for column, expression in expressions.items()
    ]
    compiled: Callable[[Any], Cells] = eval(f"lambda source: ({', '.join(cells)},)", {**converters})
    return compiled


def columns_of(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    """Returns one array for each column of the rows; none if there is no row."""
    return [list(column) for column in zip(*rows, strict=True)]


def key_columns(keys: Collection[tuple[str | int, ...]], width: int) -> list[list[str | int]]:
    """Returns the keys, sorted, as one array for each of their `width` columns."""
    ordered = sorted(keys)
    return [[key[place] for key in ordered] for place in range(width)]


def members(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    """Returns a function that returns the member of an enumeration by its value.

    It is faster than a call of the class.
    """
    return {member.value: member for member in kind}.__getitem__
