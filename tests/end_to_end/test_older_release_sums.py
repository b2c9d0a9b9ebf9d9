"""An older release beside this one while sums that name a patron alone wait for their fines.

The older release knows no such sums and nothing that they wait for. It must neither end because of
them nor divide them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support import inputs
from tests.support.installation import institution, profile
from tests.support.older_release import extract_older_release
from tests.support.process import Site
from tests.support.topics import produce

FINE, PAYMENT = "fine-created.v1", "bursar-payment.v1"
OLDER_PROFILES = institution() + profile("MAIN")  # a setting that it does not know stops its start
PROFILES = institution(lump_payments="oldest_first") + profile("MAIN")
SECONDS_MAX = 60


def send(site: Site, contract: str, *events: dict[str, object]) -> None:
    records = [(b"key", inputs.structured(contract, event)[0]) for event in events]
    produce(site.servers, site.topic(contract), records)


def owes(fine_id: str, patron_id: str) -> dict[str, object]:
    patron = {
        "patron_id": patron_id,
        "name": "Doe",
        "user_group": "STUDENT",
        "identifiers": [{"type": "02", "value": patron_id}],
    }
    return inputs.fine_created(fine_id=fine_id, patron=patron, amount="10.00")


def pays(payment_id: str, **members: object) -> dict[str, object]:
    named = {"fine_id": inputs.ABSENT, "bursar_transaction_id": inputs.ABSENT, **members}
    return inputs.bursar_payment(payment_id=payment_id, amount="10.00", **named)


async def until_waits(site: Site, *expected: tuple[str, str]) -> None:
    """Until these records are parked and no others, each with what the column says."""

    async def do_wait() -> bool:
        rows = await site.rows("SELECT id, wait FROM parked ORDER BY id")
        return [(row["id"], row["wait"]) for row in rows] == sorted(expected)

    await site.until(do_wait, SECONDS_MAX)


async def until_owes(site: Site, outstanding: int) -> None:
    async def do_owe() -> bool:
        (row,) = await site.rows("SELECT sum(outstanding)::bigint AS n FROM fine")
        return row["n"] == outstanding

    await site.until(do_owe, SECONDS_MAX)


async def test_sums_wait_beside_an_older_release_and_pay_what_it_exports(
    site: Site, empty_database_url: str, tmp_path: Path
) -> None:
    older = await asyncio.to_thread(extract_older_release, tmp_path)
    site.database_url = empty_database_url
    site.write_profiles(PROFILES)
    await site.command("topics", "create", "--partitions", "2")
    await site.start("newer")
    send(site, PAYMENT, pays("S-1", patron_id="P-1"), pays("S-2", patron_id="P-2"))
    await until_waits(site, ("S-1", "not_exported"), ("S-2", "not_exported"))

    site.write_profiles(OLDER_PROFILES)
    await site.start("older", older)

    async def has_counted() -> bool:
        """What waits is counted at the start; a word that it does not know would end it."""
        status, page = await site.page("/metrics", "older")
        return status == 200 and 'bursar_parked{wait="not_exported"} 2.0' in page

    await site.until(has_counted, SECONDS_MAX)
    await site.stop("newer")
    back = pays("R-2", kind="reversal", reverses_payment_id="S-2", currency="USD")
    send(site, PAYMENT, back)
    send(site, FINE, owes("F-1", "P-1"), owes("F-2", "P-2"))
    waiting = [("R-2", "unknown_original"), ("S-1", "not_exported"), ("S-2", "not_exported")]
    await until_waits(site, *waiting)
    await site.until_idle(5, SECONDS_MAX)
    await site.command("export", "run", "--profile", "MAIN", root=older)
    await until_owes(site, 20_00)
    await until_waits(site, *waiting)

    site.write_profiles(PROFILES)
    await site.start("newer")
    await until_waits(site)  # its sweep pays the sums, and takes one of them back
    await until_owes(site, 10_00)
    await site.until_idle(5, SECONDS_MAX)
    site.check_alive()
    await site.stop_all()
    assert await site.command("reconcile")
    rows = await site.rows("SELECT payment_id, state FROM payment ORDER BY payment_id")
    assert [tuple(row.values()) for row in rows] == [
        ("R-2", "applied"),
        ("S-1", "applied"),
        ("S-2", "applied"),
    ]
