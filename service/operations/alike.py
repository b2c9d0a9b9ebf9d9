"""Finds open fines that may be one fine created twice, because they have the same loan, type and
sum.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..database.session import Connection, statements


class AlikeOpenFines(NamedTuple):
    """Open fines of one patron with the same loan, type and sum.

    `fines` is the number of fines in the group, at least two. `remaining` is what each of these
    fines still owes in the library, in signed minor units.
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
    """Returns at most `limit` groups of an institution's open fines that have the same patron,
    loan, type and sum, sorted by patron and loan.
    """
    rows = await connection.fetch(statements("alike")["open_fines"], institution_id, limit)
    return [AlikeOpenFines(institution_id, *row.values()) for row in rows]
