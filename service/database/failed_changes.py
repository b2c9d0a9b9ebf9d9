"""Changes of the library on which the program failed: their fines are not exported meanwhile."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ..core.events import ParkedKey
from ..core.ledger import Fine, FineKey
from .session import Connection, statements


@dataclass(frozen=True, slots=True)
class FailedChange:
    """A change that waits for a person. `source` and `id` are None where it was never read."""

    source: str | None
    id: str | None
    error: str
    topic: str
    partition: int
    record_offset: int


async def fines_that_wait(
    connection: Connection,
    institution_id: str,
    fines: Iterable[Fine],
    left_out: Collection[ParkedKey] = (),
) -> frozenset[str]:
    """Ids of those fines of the institution that have such a change.

    `left_out`: parked records that count as failed although they are not marked.
    """
    fine_ids = sorted({fine.facts.fine_id for fine in fines})
    changes = sorted(key for record, key in left_out if record == "change")
    rows = await connection.fetch(
        statements("export")["fines_with_failed_changes"],
        institution_id,
        fine_ids,
        [key.source for key in changes],
        [key.id for key in changes],
    )
    return frozenset(row["fine_id"] for row in rows)


async def failed_changes(connection: Connection, fine: FineKey) -> Sequence[FailedChange]:
    """What the fine waits for, oldest record first within a topic."""
    rows = await connection.fetch(statements("operators")["failed_changes_of_fine"], *fine)
    return [FailedChange(**row) for row in rows]
