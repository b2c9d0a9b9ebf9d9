"""Batches whose manifests were published before the database was lost, and whose bytes were not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from tests.restore.test_recover import check_agrees, check_recovered, reads_again, recover
from tests.restore.variants import World, only_exports_since_the_backup
from tests.support import inputs
from tests.support.restoring import SECONDS_MAX, fine
from tests.support.topics import Read, delete_records, end_offsets, produce, read_topic
from tests.support.write_path import member_of

BATCHES = "export-batch.v1"
PATRON = member_of(fine(1), "patron")
LIVE = "SELECT batch_number, fine_id FROM export_line WHERE state = 'live' ORDER BY fine_id"


def send_later(world: World, event: Mapping[str, object]) -> None:
    """An event that was written after all others."""
    value, headers = inputs.structured("fine-created.v1", event, time="2026-09-02T10:00:00Z")
    topic = world.site.topic("fine-created.v1")
    produce(world.site.servers, topic, [(b"key", value)], headers=headers)
    world.records += 1


async def lose_bytes(world: World) -> Read:
    """Deletes the only batch of the topic, as if it had never been sent; returns it."""
    topic = world.site.topic(BATCHES)
    (batch,) = await asyncio.to_thread(read_topic, world.site.servers, topic)
    ends = await asyncio.to_thread(end_offsets, world.site.servers, topic)
    await asyncio.to_thread(delete_records, world.admin, topic, ends)
    return batch


async def shown_as(world: World, document: str) -> None:
    """The service runs until the batch is shown so."""

    async def is_shown() -> bool:
        rows = await world.site.rows("SELECT FROM adopted_batch WHERE document = $1", document)
        return bool(rows)

    async def work() -> None:
        await world.site.until(is_shown, SECONDS_MAX)

    await world.works(work)


@pytest.mark.slow
async def test_a_batch_whose_bytes_were_never_published_is_printed_again(world: World) -> None:
    await only_exports_since_the_backup(world)
    lost = world.backups.names[-1]
    before = await lose_bytes(world)
    await recover(world)
    await shown_as(world, "rendered")
    await check_recovered(world, lost)
    (after,) = await asyncio.to_thread(world.site.records, BATCHES)
    assert (after.key, after.value, after.headers) == (before.key, before.value, before.headers)


@pytest.mark.slow
async def test_a_batch_that_comes_out_otherwise_is_refused_and_its_fines_are_billed_anew(
    world: World,
) -> None:
    """A patron has another name since. The bursar never had the file, and nobody ever will."""

    async def exports_and_renames() -> None:
        await world.exports()
        send_later(world, {**fine(9), "patron": {**PATRON, "name": "Roe, Jane"}})

    await world.works(world.first_day)
    backup = await world.backups.take()
    await world.works(exports_and_renames)
    await world.backups.put_back(backup)
    await lose_bytes(world)
    await recover(world)
    await shown_as(world, "differs")
    await reads_again(world)
    assert await asyncio.to_thread(world.site.records, BATCHES) == []

    async def answers() -> None:
        answer = inputs.export_response(outcome="refused", reason="there is no such file")
        world.send("export-response.v1", answer)
        await world.idle()
        why = ("--reason", "the bursar has no such file")
        await world.site.command("held", "release", "--all", "--yes", *why)
        await world.exports()

    await world.works(answers)
    (batch,) = await asyncio.to_thread(world.site.records, BATCHES)
    assert dict(batch.headers)["ce_id"] == b"6050/bursar/2"
    assert await world.site.rows(LIVE) == [
        {"batch_number": 2, "fine_id": name} for name in ("F-1", "F-2", "F-9")
    ]
    await check_agrees(world)
