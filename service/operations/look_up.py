"""Which fine an id of a payment, a change or a line means, and in which batches it was."""

from collections.abc import Sequence

import asyncpg

from ..database.session import Connection, statements

SQL = statements("reports")


async def fine_of_payment(connection: Connection, payment: asyncpg.Record) -> str | None:
    """None: the payment names a line that is not known, and no fine."""
    if payment["fine_id"] is not None or payment["bursar_transaction_id"] is None:
        fine_id: str | None = payment["fine_id"]
        return fine_id
    own = (payment["institution_id"], payment["bursar_transaction_id"])
    return await fine_of_line(connection, *own)


async def fine_of_line(
    connection: Connection, institution_id: str, bursar_transaction_id: str
) -> str | None:
    row = await connection.fetchrow(SQL["line"], institution_id, bursar_transaction_id)
    return None if row is None else row["fine_id"]


async def fine_of_change(
    connection: Connection, institution_id: str, source: str, change_id: str
) -> str | None:
    fine_id: str | None = await connection.fetchval(
        SQL["fine_of_change"], institution_id, source, change_id
    )
    return fine_id


async def batches_with(
    connection: Connection, institution_id: str, line: str | None, fine_id: str | None
) -> Sequence[tuple[str, int]]:
    """Profile and number of the batches that hold a line, or held a fine."""
    name, own = ("batches_of_fine", fine_id) if line is None else ("line", line)
    rows = await connection.fetch(SQL[name], institution_id, own)
    return [(row["profile"], row["batch_number"]) for row in rows]
