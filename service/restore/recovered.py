"""What a recovery has adopted, and what it cannot bring back: batches, accounts and decisions."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ..database.session import Connection, statements

SQL = statements("recovery")
ERASE = "erase"

Rows = Sequence[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class Recovered:
    """The rows of a recovery.

    Amounts are minor units. `accounts` are those of which readers knew more than the database, with
    their balances now.
    """

    epoch: int
    state: str
    batches: Rows
    accounts: Rows
    decisions: Rows

    @property
    def erasures(self) -> int:
        """How many erasures of personal data the database lacks: the data is there again."""
        return sum(row["action"] == ERASE for row in self.decisions)


async def recovered(connection: Connection, epoch: int) -> Recovered:
    """Reads what the recovery of an epoch has adopted."""
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
    """The accounts whose readers knew more; with `differing` those whose balance is another one."""
    return await connection.fetch(SQL["accounts"], epoch, differing)


async def decisions(connection: Connection, epoch: int | None = None) -> Rows:
    """The decisions of people that a restored database lacked, but those about the restore check,
    which nobody has to repeat.
    """
    return await connection.fetch(SQL["decisions"], epoch)


async def batches(connection: Connection) -> Rows:
    """All batches that were adopted."""
    return await connection.fetch(SQL["batches"], None)
