"""Reports on a recovery: the batches that it has adopted, the accounts of which Kafka had newer
events than the restored database, and the operators' decisions that the database lacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ..database.session import Connection, statements

SQL = statements("recovery")
ERASE = "erase"

Rows = Sequence[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the database has stored about one recovery.

    Amounts are minor units. `accounts` are those of which newer events had been published than the
    restored database had, with their balances now.
    """

    epoch: int
    state: str
    batches: Rows
    accounts: Rows
    decisions: Rows

    @property
    def erasures(self) -> int:
        """How many erasures of personal data the restored database lacks, so that the erased data
        are in it again.
        """
        return sum(row["action"] == ERASE for row in self.decisions)


async def recovered(connection: Connection, epoch: int) -> Recovered:
    """Reads what the database has stored about the recovery with this epoch."""
    state = await connection.fetchval(SQL["state"], epoch)
    return Recovered(
        epoch,
        state,
        await connection.fetch(SQL["batches"], epoch),
        await accounts(connection, epoch),
        await decisions(connection, epoch),
    )


async def accounts(
    connection: Connection, epoch: int | None = None, *, differing: bool = False
) -> Rows:
    """Returns the accounts of which newer events had been published than the restored database had;
    with `differing` only those whose balance now differs from the published one.
    """
    return await connection.fetch(SQL["accounts"], epoch, differing)


async def decisions(connection: Connection, epoch: int | None = None) -> Rows:
    """Returns the operators' decisions that a restored database lacked, except for those about the
    restore check, which nobody has to repeat.
    """
    return await connection.fetch(SQL["decisions"], epoch)


async def batches(connection: Connection) -> Rows:
    """Returns all batches that recoveries have adopted from Kafka."""
    return await connection.fetch(SQL["batches"], None)
