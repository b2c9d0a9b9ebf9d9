"""Sums that name a patron and neither a fine nor a line, on the write path."""

from service.apply.applier import Applier
from service.core.shares import LumpRule
from service.database.encodings import wait_of
from service.database.ledger_read import LedgerReader
from service.messages.decode import parse
from tests.support.exports import patron
from tests.support.guards import Unguarded
from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.write_path import OUTPUTS, Record, Row, WritePath, fine, payment

PROFILES = institution() + profile("SIS", credits={"included": True})
HOLDS = institution() + profile("SIS", overpayment="hold")
REJECTS = institution() + profile("SIS", overpayment="reject")


def paying_oldest_first(path: WritePath) -> WritePath:
    """The write path of an institution that lets sums pay the fines that were exported first."""
    rules = {"6050": LumpRule.OLDEST_FIRST}
    store = LedgerReader(parse)
    path.applier = Applier(Unguarded(path.pool), store, OUTPUTS, lump_rules=rules)
    return path


def pays_sum(
    amount: str, patron_id: str = "P-1", payment_id: str = "SUM-1", **overrides: object
) -> Record:
    members = {"fine_id": ABSENT, **overrides}
    return payment(payment_id=payment_id, patron_id=patron_id, amount=amount, **members)


def owes(fine_id: str, amount: str, patron_id: str = "P-1") -> Record:
    return fine(fine_id=fine_id, amount=amount, patron=patron(patron_id))


async def outstanding(path: WritePath) -> dict[object, object]:
    """What each fine owes at the bursar, in minor units."""
    rows = await path.rows("SELECT fine_id, outstanding FROM fine ORDER BY fine_id")
    return {row["fine_id"]: row["outstanding"] for row in rows}


async def waits(path: WritePath) -> list[tuple[object, object]]:
    rows = await path.rows("SELECT id, wait, fine_id FROM parked ORDER BY arrival")
    return [(row["id"], wait_of(str(row["wait"]), _text(row["fine_id"]))) for row in rows]


def _text(cell: object) -> str | None:
    return None if cell is None else str(cell)


async def parts(path: WritePath) -> list[Row]:
    return await path.rows(
        "SELECT payment_id, place, fine_id, amount FROM payment_part ORDER BY payment_id, place"
    )
