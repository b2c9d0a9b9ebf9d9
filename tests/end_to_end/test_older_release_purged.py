"""Earlier releases work on a database from which this one has removed what was old."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.support import inputs
from tests.support.installation import institution, profile
from tests.support.older_release import extract_older_release
from tests.support.process import Site, connected, end
from tests.support.programs import start_program
from tests.support.purging import make_older
from tests.support.restoring import fine, send

PROFILE = institution() + profile(refused_lines="retry")
DAYS = 5_000
SECONDS_MAX = 60
BAD: Sequence[tuple[str, inputs.Data]] = (
    ("fine-created.v1", {"bad": True}),
    ("bursar-payment.v1", inputs.bursar_payment(fine_id=inputs.ABSENT, bursar_transaction_id="7")),
)


@pytest.fixture
async def beside(site: Site) -> AsyncIterator[Site]:
    site.write_profiles(PROFILE)
    await site.command("topics", "create", "--partitions", "1")
    yield site
    await site.end_all()


async def lines_of(site: Site) -> list[str]:
    rows = await site.rows("SELECT bursar_transaction_id AS line FROM export_line ORDER BY fine_id")
    return [str(row["line"]) for row in rows]


def answer(number: int, line: str) -> inputs.Data:
    lines = [{"bursar_transaction_id": line, "reason": "no such student"}]
    return inputs.export_response(response_id=f"R-{number}", outcome="partial", refused_lines=lines)


async def a_day_that_is_removed(site: Site) -> int:
    """Fines, their batch, records that are rejected and an answer; then nothing but rows is left.
    Returns the number of records.
    """
    await site.start("newer")
    records = send(site, "fine-created.v1", *map(fine, range(6)))
    records += sum(send(site, contract, data) for contract, data in BAD)
    await site.until_idle(records)
    await site.command("export", "run", "--profile", "bursar")
    line, *_ = await lines_of(site)
    records += send(site, "export-response.v1", answer(1, line))
    await site.until_idle(records)
    await site.stop("newer")
    async with connected(site.database_url) as connection:
        await make_older(connection, DAYS)
    await site.command("purge")
    removed = await site.rows(
        "SELECT (SELECT count(*) FROM rejected WHERE original_removed_at IS NULL) AS originals,"
        " (SELECT count(*) FROM export_batch WHERE document_removed_at IS NULL) AS documents"
    )
    assert removed == [{"originals": 0, "documents": 0}]
    return records


async def exit_code_of(site: Site, older: Path, *arguments: str) -> int | None:
    process = await start_program(*arguments, environment=site.environment, root=older)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await process.communicate()
    finally:
        await end(process)
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.3.0", "0.7.0"])
async def test_an_earlier_release_goes_on_where_bytes_were_removed(
    beside: Site, tmp_path: Path, version: str
) -> None:
    older = await asyncio.to_thread(extract_older_release, tmp_path, version)
    records = await a_day_that_is_removed(beside)
    lines = await lines_of(beside)
    await beside.start("older", older)
    records += sum(send(beside, contract, data) for contract, data in BAD)
    records += send(beside, "fine-created.v1", fine(0), fine(9))  # a repeat, and a new one
    records += send(beside, "export-response.v1", answer(1, lines[0]), answer(2, lines[1]))
    paid = inputs.bursar_payment(
        payment_id="PAY-2", fine_id=inputs.ABSENT, bursar_transaction_id=lines[2]
    )
    records += send(beside, "bursar-payment.v1", paid)
    await beside.until_idle(records)
    await beside.command("export", "run", "--profile", "bursar", root=older)
    await beside.until_idle(records)
    listed = await beside.command("rejected", "list", "--json", root=older)
    reasons = [json.loads(line)["reason"] for line in listed.splitlines()]
    assert sorted(reasons) == ["invalid_schema"] * 2 + ["unknown_line"]
    resent = ("export", "resend", "--profile", "bursar", "--batch", "1")
    assert await exit_code_of(beside, older, *resent) != 0
    await beside.command("reconcile", root=older)
    beside.check_alive()
    await beside.stop("older")
    assert b"" not in {record.value for record in beside.records("export-batch.v1")}
    states = await beside.rows("SELECT state, count(*) AS n FROM export_line GROUP BY 1 ORDER BY 1")
    assert states == [{"state": "live", "n": 7}, {"state": "refused", "n": 2}]
    await beside.command("reconcile")
    await beside.command("audit")
