"""Records in quarantine: released once, the states of their batches, and older relays beside."""

import asyncio
import json

import asyncpg
import pytest

from service.apply.operator_actions import Justification
from service.database import quarantine
from service.database.quarantine import QuarantineId
from service.operations import quarantined
from service.operations.quarantined import QuarantineFilter
from tests.support.commands import Commands, MakeCommands
from tests.support.exports import waiters
from tests.support.quarantine import (
    DOCUMENT,
    MANIFEST,
    PROFILE,
    QUARANTINED_BY_0_3_0,
    WHY,
    export,
    gauges,
    in_quarantine,
    insert,
    put_in_quarantine,
    resend,
    rows_for,
    state,
)
from tests.support.write_path import PREFIX, WritePath, fine, outbox_of

SECONDS_MAX = 30


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE, BURSAR_TOPIC_PREFIX=PREFIX)


async def test_a_batch_is_published_once_the_broker_has_both_of_its_parts(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await path.pool.execute("DELETE FROM outbox WHERE topic LIKE '%' || $1", DOCUMENT)
    assert await state(commands) == "sealed"
    await path.pool.execute("DELETE FROM outbox")
    assert await state(commands) == "published"


@pytest.mark.parametrize("contract", [DOCUMENT, MANIFEST])
async def test_a_batch_is_quarantined_with_either_part_and_published_once_that_part_is_sent(
    path: WritePath, commands: Commands, contract: str
) -> None:
    await path.take(fine())
    await export(path)
    (queued,) = await outbox_of(path.pool, contract)
    await put_in_quarantine(path, contract)
    assert await state(commands) == "quarantined"
    (batch, _) = await commands.lines("export", "show", "--profile", "SIS", "--batch", "1")
    assert batch["state"] == "quarantined"
    assert len(await commands.lines("export", "list", "--state", "quarantined")) == 1
    assert await gauges(path) == (1, 1)
    (listed,) = await commands.lines("quarantined", "list")
    (outcome,) = await commands.lines("quarantined", "release", "--id", listed["id"], *WHY)
    assert (outcome["done"], outcome["ce_id"]) == (True, queued.header("ce_id"))
    assert await outbox_of(path.pool, contract) == [queued]
    assert await state(commands) == "sealed"
    assert await gauges(path) == (0, 0)
    await put_in_quarantine(path)  # nothing
    assert await state(commands) == "published"


async def test_a_batch_waits_for_both_parts_and_the_release_of_one_names_the_other(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await put_in_quarantine(path, DOCUMENT, MANIFEST)
    first, second = await in_quarantine(path)
    release = ("quarantined", "release", *WHY, "--id")
    (outcome,) = await commands.lines(*release, str(second))
    assert outcome["outcome"].endswith("the other part of the batch is still in quarantine")
    assert await state(commands) == "quarantined"
    (outcome,) = await commands.lines(*release, str(first))
    assert "other part" not in outcome["outcome"]
    await path.pool.execute("DELETE FROM outbox WHERE topic LIKE '%batch.v1'")
    assert await state(commands) == "sealed"  # the manifest still waits
    await path.pool.execute("DELETE FROM outbox")
    assert await state(commands) == "published"


async def test_a_batch_that_is_sent_again_leaves_the_quarantine_in_the_same_commit(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await put_in_quarantine(path, DOCUMENT, MANIFEST)
    _, document = await in_quarantine(path)
    assert (
        await commands.call("export", "resend", "--profile", "SIS", "--batch", "1")
    ).exit_code == 0
    assert await in_quarantine(path) == []
    assert await state(commands) == "sealed"
    ended = await commands.call("quarantined", "release", "--id", str(document), *WHY)
    (copy,) = await rows_for(path, DOCUMENT)
    assert ended.exit_code == 1
    assert ended.stderr == (
        f"bursar-bridge: {document} is not in quarantine any more: it was queued again as"
        f" {copy['id']}/0\n"
    )
    await put_in_quarantine(path)
    assert await state(commands) == "published"


async def test_a_copy_that_waits_while_the_batch_is_sent_again_stays_out_of_quarantine(
    path: WritePath, commands: Commands
) -> None:
    """The newest copy of a record counts, also where an older relay writes the quarantine."""
    await path.take(fine())
    await export(path)
    await resend(path)
    await resend(path)
    *earlier, newest = await rows_for(path, DOCUMENT)
    for row in earlier:
        await insert(path, QUARANTINED_BY_0_3_0, row)
        await path.pool.execute("DELETE FROM outbox WHERE id = $1", row["id"])
    assert await in_quarantine(path) == []
    assert await state(commands) == "sealed"
    await insert(path, QUARANTINED_BY_0_3_0, newest)
    assert await in_quarantine(path) == [QuarantineId(newest["id"], 0)]
    assert await state(commands) == "quarantined"


async def test_a_copy_that_is_refused_while_the_batch_is_sent_again_leaves_the_quarantine(
    path: WritePath,
) -> None:
    """The relay's commit is under way: what it puts into quarantine is not to be seen yet."""
    await path.take(fine())
    await export(path)
    (row,) = await rows_for(path, DOCUMENT)
    columns = (row["keys"][0], row["payloads"][0], row["headers"][0])
    values = (row["id"], 0, row["topic"], *columns, "too_large", row["recorded_at"])
    async with asyncio.timeout(SECONDS_MAX), path.pool.acquire() as relay:
        async with relay.transaction():
            await relay.execute(QUARANTINED_BY_0_3_0, *values)
            resending = asyncio.create_task(resend(path))
            await waiters(path, 1)
            await relay.execute("DELETE FROM outbox WHERE id = $1", row["id"])
        await resending
    assert await in_quarantine(path) == []


async def test_a_batch_that_the_broker_has_stays_published_while_it_is_sent_again(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await put_in_quarantine(path)
    await resend(path)
    assert await state(commands) == "published"
    await put_in_quarantine(path, DOCUMENT)
    assert await state(commands) == "quarantined"


async def test_of_two_releases_at_once_one_queues_the_record(path: WritePath) -> None:
    await path.take(fine())
    await put_in_quarantine(path, "balance-changed.v1")
    (only,) = await in_quarantine(path)
    async with path.pool.acquire() as connection:
        (item,) = await quarantined.find(connection, QuarantineFilter(only))
        async with asyncio.timeout(SECONDS_MAX):
            async with connection.transaction():
                assert await quarantine.release(connection, only) is not None
                second = asyncio.create_task(
                    quarantined.release(path.applier, item, Justification("ben", "as well"))
                )
                await waiters(path, 1)
            outcome = await second
    assert (outcome.done, outcome.outcome) == (False, "is not in quarantine any more")
    assert len(await rows_for(path, "balance-changed.v1")) == 1
    assert await path.rows("SELECT * FROM operator_action") == []


async def test_a_record_that_was_released_is_not_put_into_quarantine_under_its_old_id(
    path: WritePath,
) -> None:
    """A relay whose commit was in doubt writes it once more, before or after the release ends."""
    await path.take(fine())
    (row,) = await rows_for(path, "balance-changed.v1")
    await put_in_quarantine(path, "balance-changed.v1")
    (only,) = await in_quarantine(path)
    async with asyncio.timeout(SECONDS_MAX), path.pool.acquire() as connection:
        async with connection.transaction():
            assert await quarantine.release(connection, only) is not None
            relay = asyncio.create_task(insert(path, QUARANTINED_BY_0_3_0, row))
            await waiters(path, 1)
        await relay
    assert await in_quarantine(path) == []
    await insert(path, QUARANTINED_BY_0_3_0, row)
    assert await in_quarantine(path) == []
    assert len(await rows_for(path, "balance-changed.v1")) == 1


async def test_a_record_stays_while_others_of_its_outbox_row_are_to_be_sent(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(), fine(fine_id="F-2"))
    (row,) = await rows_for(path, "balance-changed.v1")
    await insert(path, QUARANTINED_BY_0_3_0, row, place=1)
    release = ("quarantined", "release", "--id", f"{row['id']}/1", *WHY)
    (outcome,) = await commands.lines(*release, code=1)
    assert outcome["outcome"] == quarantined.BEING_SENT
    await path.pool.execute("DELETE FROM outbox")
    (outcome,) = await commands.lines(*release)
    assert outcome["done"]
    (queued,) = await outbox_of(path.pool, "balance-changed.v1")
    assert (queued.data["fine"], queued.data["sequence"]) == ({**fine_of(row, 1)}, 2)


def fine_of(row: asyncpg.Record, place: int) -> dict[str, object]:
    result: dict[str, object] = json.loads(row["payloads"][place])["fine"]
    return result
