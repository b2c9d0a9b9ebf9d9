"""Removes the bytes of rejected records. The record is still known and found by its ids."""

from collections.abc import Awaitable, Callable

from ..database.session import Connection, run_in_thread, statements
from ..database.tables import columns_of
from .names import Names, names_in, text_of_names

SQL = statements("retention")


def remove_originals(old: str) -> Callable[[Connection, int, int], Awaitable[int]]:
    """Returns the function that removes a page of what the statement `old` selects.

    It takes the retention in days and the largest number of rows, and returns the number of records
    whose bytes it has removed, in the transaction of its caller.
    """

    async def page(connection: Connection, days: int, rows_max: int) -> int:
        rows = await connection.fetch(SQL[old], days, rows_max)
        named = await run_in_thread(
            connection,
            len(rows),
            lambda: [text_of_names(names_in(row["record_value"]) or Names()) for row in rows],
        )
        keys = [tuple(row.values())[:-1] for row in rows]
        if keys:
            await connection.execute(SQL["remove_originals"], *columns_of(keys), named)
        return len(rows)

    return page
