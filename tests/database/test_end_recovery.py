"""A recovery ends inside the service: balances that readers lack are published, once."""

from __future__ import annotations

from types import SimpleNamespace

import asyncpg
import orjson
import pytest

from service.database.outbox import unpack_headers
from service.export.profiles.profile import NO_PROFILES
from service.operations.reconcile import reconcile
from service.operations.recovery import EndRecovery
from service.restore.known import unknown
from tests.support.exports import fines
from tests.support.quarantine import rows_for
from tests.support.raising import begin_recovery
from tests.support.write_path import PREFIX, WritePath, fine, payment

BALANCES = "balance-changed.v1"


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    """A recovery of two accounts, of which the readers of one know more."""
    other = {"patron_id": "P-2", "name": "Roe", "user_group": "STUDENT", "identifiers": []}
    await path.take(fine(comment="came late"), fine(fine_id="F-2", patron=other))
    await path.pool.execute("DELETE FROM outbox")
    await begin_recovery(path.pool, epoch=2, raised_to=8)
    return path


def ending(path: WritePath) -> EndRecovery:
    return EndRecovery(path.applier, NO_PROFILES, f"{PREFIX}export-batch.v1")


async def state(path: WritePath) -> object:
    return await path.pool.fetchval("SELECT state FROM recovery")


async def test_the_last_event_of_an_account_whose_readers_are_ahead_comes_again(
    path: WritePath,
) -> None:
    assert await ending(path).run_once()
    (row,) = await rows_for(path, BALANCES)
    (event,) = map(orjson.loads, row["payloads"])
    assert (event["patron_id"], event["epoch"], event["sequence"]) == ("P-1", 2, 9)
    assert event["balance"] == {"active": "95.50", "transferred": "0.00", "total": "95.50"}
    assert (event["transaction"]["kind"], event["fine"]["fine_id"]) == ("fine", "F-1")
    assert await state(path) == "done"
    assert (await reconcile(path.pool)).differences == ()
    assert await ending(path).run_once()
    assert len(await rows_for(path, BALANCES)) == 1
    await path.take(payment(kind="status", amount=None, currency=None, status_code="sent"))
    await path.take(fine(fine_id="F-3"))
    assert await path.pool.fetchval("SELECT max(sequence) FROM ledger_transaction") == 10
    assert (await reconcile(path.pool)).differences == ()


async def test_the_restore_check_knows_the_event_although_no_transaction_has_its_number(
    path: WritePath,
) -> None:
    await ending(path).run_once()
    (row,) = await rows_for(path, BALANCES)
    await path.pool.execute("DELETE FROM outbox")
    record = SimpleNamespace(
        topic=row["topic"],
        partition=0,
        offset=0,
        key=row["keys"][0],
        value=row["payloads"][0],
        headers=unpack_headers(row["headers"][0]),
        timestamp=0,
    )
    async with path.pool.acquire() as connection:
        assert await unknown(connection, [record]) == []


async def test_an_account_that_had_an_event_since_needs_none(path: WritePath) -> None:
    await path.take(fine(fine_id="F-3"))
    assert await ending(path).run_once()
    (row,) = await rows_for(path, BALANCES)
    assert [orjson.loads(value)["sequence"] for value in row["payloads"]] == [9]
    assert await path.pool.fetchval("SELECT announced_sequence FROM recovery_account") is None
    assert (await reconcile(path.pool)).differences == ()


async def test_it_waits_for_every_mark(path: WritePath) -> None:
    await path.pool.execute("INSERT INTO recovery_mark VALUES ('library.fine-created.v1', 0, 3)")
    assert not await ending(path).run_once()
    assert (await rows_for(path, BALANCES), await state(path)) == ([], "reading")
    await path.take(fine(fine_id="F-4", patron={**fine_patron("P-4")}))
    assert await ending(path).run_once()
    assert await state(path) == "done"


def fine_patron(patron_id: str) -> dict[str, object]:
    return {"patron_id": patron_id, "name": "Roe", "user_group": "STUDENT", "identifiers": []}


async def test_while_it_is_not_done_the_database_lets_nothing_be_exported(
    path: WritePath,
) -> None:
    await path.take(*fines(2))
    batch = "INSERT INTO export_batch SELECT (jsonb_populate_record(NULL::export_batch, $1)).*"
    body = orjson.dumps(
        {
            "institution_id": "6050",
            "profile": "old",
            "batch_number": 1,
            "run_id": "r",
            "export_number": 1,
            "state": "sealed",
            "currency": "USD",
            "fine_count": 0,
            "total": 0,
            "file_name": "f",
            "sha256": "\\x" + "00" * 32,
            "document": "\\x00",
            "document_headers": "\\x00",
            "manifest": "\\x00",
            "manifest_headers": "\\x00",
            "outbox_id": 1,
            "cutoff": "2026-09-01T00:00:00Z",
            "sealed_at": "2026-09-01T00:00:00Z",
        }
    ).decode()
    with pytest.raises(asyncpg.RestrictViolationError, match="nothing is exported"):
        await path.pool.execute(batch, body)
    await ending(path).run_once()
    await path.pool.execute(batch, body)
