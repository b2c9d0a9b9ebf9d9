"""Removes the stored bytes of old rejected records. A rejected record without bytes is still
listed, and is found by the ids that its bytes contained.
"""

from collections.abc import Awaitable, Callable

from ..database.session import Connection, run_in_thread, statements
from ..database.tables import columns_of
from .names import Names, names_in, text_of_names

SQL = statements("retention")


def remove_originals(old: str) -> Callable[[Connection, int, int], Awaitable[int]]:
    """Returns a function that removes the bytes of one page of the rejected records that the SQL
    statement `old` selects.

    The returned function takes the retention in days and the largest number of rows, works in its
    caller's transaction, and returns the number of records whose bytes it has removed.
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
