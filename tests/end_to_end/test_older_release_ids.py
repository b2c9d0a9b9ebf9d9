"""An older release and this one export in turn: no id is given twice, and both kinds are paid.

The topic of decisions, which the older release does not know, is created last.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from service.core.bursar_ids import fault_of_unknown_id
from tests.support import inputs
from tests.support.installation import institution, profile
from tests.support.older_release import extract_older_release
from tests.support.process import Site
from tests.support.programs import ROOT
from tests.support.topics import produce, read_topic

FINE, PAYMENT, ACTION = "fine-created.v1", "bursar-payment.v1", "operator-action.v1"
WHY = ("--reason", "year end", "--operator", "ann")
SECONDS_MAX = 60


def send(site: Site, contract: str, *events: dict[str, object]) -> None:
    records = [(b"key", inputs.structured(contract, event)[0]) for event in events]
    produce(site.servers, site.topic(contract), records)


async def exported_by(site: Site, root: Path, fine_ids: list[str]) -> dict[str, str]:
    """The ids of these fines, after a run of one of the releases has exported them."""
    send(site, FINE, *(inputs.fine_created(fine_id=each, amount="10.00") for each in fine_ids))

    async def are_there() -> bool:
        rows = await site.rows("SELECT fine_id FROM fine WHERE fine_id = ANY ($1)", fine_ids)
        return len(rows) == len(fine_ids)

    await site.until(are_there, SECONDS_MAX)
    await site.command("export", "run", "--profile", "MAIN", root=root)
    rows = await site.rows(
        "SELECT fine_id, bursar_transaction_id AS id FROM export_line WHERE fine_id = ANY ($1)",
        fine_ids,
    )
    return {str(row["fine_id"]): str(row["id"]) for row in rows}


async def waiting(site: Site) -> Counter[str]:
    rows = await site.rows("SELECT topic FROM outbox")
    return Counter(str(row["topic"]) for row in rows)


async def test_ids_of_both_releases_are_paid_and_decisions_wait_for_their_topic(
    site: Site, empty_database_url: str, tmp_path: Path
) -> None:
    older = await asyncio.to_thread(extract_older_release, tmp_path)
    site.database_url = empty_database_url
    site.write_profiles(institution() + profile("MAIN"))
    await site.command("topics", "create", "--partitions", "2", root=older)
    await site.start("older", older)
    lines = await exported_by(site, older, ["F-1", "F-2"])
    await site.start("newer")
    lines |= await exported_by(site, ROOT, ["F-3", "F-4"])
    lines |= await exported_by(site, older, ["F-5", "F-6"])
    lines |= await exported_by(site, ROOT, ["F-7"])
    assert [lines[f"F-{n}"] for n in (1, 2, 5, 6)] == [str(10**15 + n) for n in range(1, 5)]
    assert [lines[f"F-{n}"] for n in (3, 4, 7)] == ["10000000018", "10000000026", "10000000034"]
    assert {line: fault_of_unknown_id(line) for line in lines.values()} == dict.fromkeys(
        lines.values()
    )

    await site.command("export", "pause", "--profile", "MAIN", *WHY)
    payments = [
        inputs.bursar_payment(
            payment_id=f"pay-{line}",
            bursar_transaction_id=line,
            fine_id=inputs.ABSENT,
            amount="10.00",
        )
        for line in lines.values()
    ]
    send(site, PAYMENT, *payments)

    async def are_paid() -> bool:
        (row,) = await site.rows("SELECT sum(outstanding)::bigint AS n FROM fine")
        return row["n"] == 0 and set(await waiting(site)) == {site.topic(ACTION)}

    await site.until(are_paid, SECONDS_MAX)
    await site.stop("older")
    assert await waiting(site) == {site.topic(ACTION): 1}
    await site.stop("newer")
    await site.start("newer")  # also without the topic
    created = await site.command("topics", "create", "--partitions", "2")
    assert created.splitlines()[0] == f"created {site.topic(ACTION)}"
    await site.until_idle(len(lines) * 2)
    (sent,) = await asyncio.to_thread(read_topic, site.servers, site.topic(ACTION))
    assert b'"action":"export_pause"' in (sent.value or b"")
    assert b"year end" not in (sent.value or b"")
    await site.stop("newer")
    await site.start("newer")  # the record is known
    assert await site.command("reconcile")
    await site.stop_all()
