"""Lines of exported fines: their credits, loans, refusals, and that a fine has one live line."""

from __future__ import annotations

import json

import asyncpg
import pytest
from lxml import etree

from service.export.job import ExportJob
from service.export.manifest import Manifest
from tests.support.exports import (
    XB,
    check_sealed,
    fines,
    lines_of_manifest,
    only,
    patron,
    profiles_with,
    run,
)
from tests.support.inputs import ABSENT
from tests.support.write_path import WritePath, fine, outbox_of, payment, response


async def test_a_credit_refers_to_the_live_line_of_its_fine(path: WritePath) -> None:
    """Sealed in an earlier batch or in the same one; none for a fine that was never exported."""
    profiles = profiles_with(more="credits = { included = true }")
    await path.take(fine(fine_id="F-EARLY", patron=patron("P-1")))
    await run(path, profiles)
    await path.take(
        fine(fine_id="F-SAME", patron=patron("P-2")),
        *(
            fine(
                fine_id=f"C-{name}",
                type="CREDIT",
                amount="-1.00",
                credit_of=f"F-{name}",
                patron=patron("P-3"),
                comment="goodwill",
            )
            for name in ("EARLY", "SAME", "NEVER")
        ),
    )
    await run(path, profiles)
    manifests = await check_sealed(path)
    lines = {
        line["fine_id"]: line["bursar_transaction_id"]
        for m in manifests
        for line in lines_of_manifest(m)
    }
    document = (await outbox_of(path.pool, "export-batch.v1"))[-1].value
    assert document is not None
    comments = [element.text for element in etree.fromstring(document).iter(f"{XB}fineFeeComment")]
    for name in ("EARLY", "SAME"):
        assert f"goodwill ref {lines[f'F-{name}']} OVERDUEFINE" in comments
    assert "goodwill" in comments
    assert manifests[-1]["total"] == "92.50"


@pytest.mark.parametrize("closes", [True, False])
async def test_a_lost_fine_closes_its_loan_once_if_the_profile_says_so(
    path: WritePath, closes: bool
) -> None:
    lost = {"type": "LOSTITEMREPLACEMENTFEE", "loan_id": "L"}
    profiles = profiles_with(1, f"close_paid_lost_loan = {json.dumps(closes)}")
    await path.take(fine(fine_id="F-1", **lost), fine(fine_id="F-2", **lost))
    await run(path, profiles)
    await path.take(fine(fine_id="F-3", **lost))
    await run(path, profiles)
    loans = [sent.data for sent in await outbox_of(path.pool, "loan-closed.v1")]
    result = [
        (loan["loan_id"], loan["fine_id"], loan["batch_number"], loan["reason"]) for loan in loans
    ]
    assert result == ([("L", "F-1", 1, "lost_fine_exported")] if closes else [])
    rows = await path.rows("SELECT DISTINCT status, considered, outstanding FROM fine")
    assert rows == [{"status": "Closed", "considered": "closed", "outstanding": 0}]
    assert await path.value("SELECT active + transferred FROM account") == 0


async def test_the_database_forbids_a_second_live_line(path: WritePath) -> None:
    await path.take(fine())
    await run(path, profiles_with())
    again = (
        "INSERT INTO export_line SELECT institution_id, '7', fine_id, profile, batch_number,"
        " amount, currency, 'live' FROM export_line"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await path.pool.execute(again)


async def test_a_refused_line_goes_out_again_under_a_new_id_and_the_old_one_still_matches(
    path: WritePath,
) -> None:
    profiles = profiles_with(more='refused_lines = "retry"')
    await path.take(fine())
    (first,) = await run(path, profiles)
    await path.take(response(outcome="refused", reason="closed on Mondays"))
    assert await path.value("SELECT active FROM account") == 9550
    (second,) = await run(path, profiles)
    await check_sealed_lines(path, first, second)
    old = first.lines[0].bursar_transaction_id
    await path.take(payment(fine_id=ABSENT, bursar_transaction_id=old))
    assert await path.value("SELECT transferred FROM account") == 0


@pytest.mark.parametrize(("then", "now", "batches"), [("hold", "retry", 1), ("retry", "hold", 2)])
async def test_a_refused_fine_waits_for_a_person_as_its_profile_said_at_the_export(
    path: WritePath, then: str, now: str, batches: int
) -> None:
    await path.take(fine())
    await run(path, profiles_with(more=f'refused_lines = "{then}"'))
    await path.take(response(outcome="refused", reason="closed on Mondays"))
    await run(path, profiles_with(more=f'refused_lines = "{now}"'))
    assert await path.value("SELECT count(*) FROM export_batch") == batches


async def check_sealed_lines(path: WritePath, first: Manifest, second: Manifest) -> None:
    rows = await path.rows("SELECT bursar_transaction_id AS id, state FROM export_line ORDER BY 1")
    assert rows == [
        {"id": first.lines[0].bursar_transaction_id, "state": "refused"},
        {"id": second.lines[0].bursar_transaction_id, "state": "live"},
    ]


async def test_an_export_only_profile_closes_what_it_exports(path: WritePath) -> None:
    await path.take(*fines(3))
    profiles = profiles_with(mode="export_only")
    job: ExportJob = path.exports(profiles)
    await job.run_profile(only(profiles))
    (manifest,) = await check_sealed(path)
    assert manifest["mode"] == "export_only"
    assert {line["status"] for line in lines_of_manifest(manifest)} == {"Closed"}
    assert await path.rows("SELECT DISTINCT active, transferred FROM account") == [
        {"active": 0, "transferred": 0}
    ]
