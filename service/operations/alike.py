"""Open fines that look like one fine that was created twice: one loan, one type and one sum."""

from collections.abc import Sequence
from typing import NamedTuple

from ..database.session import Connection, statements


class AlikeOpenFines(NamedTuple):
    """Open fines of one patron with the same loan, type and sum.

    `fines` is their number, at least two. `remaining` is what remains of each, in signed minor
    units.
    """

    institution_id: str
    loan_id: str
    type: str
    currency: str
    remaining: int
    fines: int
    first_fine_id: str
    last_fine_id: str


async def alike_open_fines(
    connection: Connection, institution_id: str, limit: int
) -> Sequence[AlikeOpenFines]:
    """Returns at most `limit` groups of alike open fines of an institution, by patron and loan."""
    rows = await connection.fetch(statements("alike")["open_fines"], institution_id, limit)
    return [AlikeOpenFines(institution_id, *row.values()) for row in rows]
