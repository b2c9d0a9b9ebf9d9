"""A ledger of two currencies for tests of reports."""

from datetime import datetime
from typing import Any

from tests.support.write_path import WritePath, profiles_of

PROFILE = """
[[institution]]
id = "6050"
zone = "Europe/Berlin"

[[profile]]
code = "SIS"
name = "Student information system"
institution = "6050"
mode = "export_import"
currency = "USD"
fine_types = ["OVERDUEFINE", "LOSTITEMFINE"]
match = "02"

[[profile]]
code = "YEN"
name = "Yen"
institution = "6050"
mode = "export_import"
currency = "JPY"
fine_types = ["OVERDUEFINE"]
match = "02"
"""


PATRON = ("--institution", "6050", "--patron", "P-1")


STORY = ("history", "--institution", "6050")


async def export(path: WritePath) -> None:
    profiles = profiles_of(PROFILE)
    for profile in profiles.profiles:
        await path.exports(profiles).run_profile(profile)


async def clock(path: WritePath) -> str:
    now = await path.value("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now.isoformat()


def amounts(rows: list[Any]) -> list[tuple[str, str, str, str]]:
    return [(row["currency"], row["active"], row["transferred"], row["total"]) for row in rows]
