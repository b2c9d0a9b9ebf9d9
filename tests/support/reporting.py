"""A ledger of two currencies for tests of reports."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from tests.support.installation import institution, profile
from tests.support.write_path import WritePath

PROFILE = (
    institution()
    + profile("SIS", fine_types=["OVERDUEFINE", "LOSTITEMFINE"])
    + profile("YEN", currency="JPY")
)


PATRON = ("--institution", "6050", "--patron", "P-1")
STORY = ("history", "--institution", "6050")


async def export(path: WritePath) -> None:
    await path.export(PROFILE)


async def clock(path: WritePath) -> str:
    now = await path.value("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now.isoformat()


def amounts(rows: Sequence[Mapping[str, str]]) -> list[tuple[str, str, str, str]]:
    return [(row["currency"], row["active"], row["transferred"], row["total"]) for row in rows]
