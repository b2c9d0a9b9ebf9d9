"""The examples of one file each, run as they are: a batch is loaded, its payment settles it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from demo.scene import ANNA, Fine, fine_created
from demo.stage import event_headers, json_bytes
from demo.world import World, running_service, temporary_world
from tests.structure import reference
from tests.support.examples import run_example
from tests.support.services import Services
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("without_coverage")

PAYMENTS_READ = (
    "(SELECT sum(next_offset) FROM consumer_offset WHERE topic LIKE '%bursar-payment.v1')"
)
XB = "{http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans}"


async def test_the_examples_load_a_batch_and_pay_it(services: Services, tmp_path: Path) -> None:
    profiles = reference.example_of_profiles()
    servers = services.kafka_bootstrap_servers
    async with (
        temporary_world(services.database_url, servers, print, tmp_path, profiles, "page") as world,
        running_service(world, print),
    ):
        database = await asyncpg.connect(world.database_url)
        try:
            await _create_a_fine(world)
            await until(lambda: database.fetchval("SELECT count(*) = 1 FROM fine"))
            await world.command("export", "run", "--profile", "EXAMPLE_DAILY")
            output = await run_example(world, tmp_path, "load.py", "1")
            (path,) = (tmp_path / "inbox").glob("*.xml")
            assert output.split() == [path.name, "1", "25.00"]
            verified = await world.command("export", "verify", str(path.parent))
            assert verified == "sound: 1 fine in batches without a gap, files: 1\n"
            line = ElementTree.parse(path).findtext(f".//{XB}bursarTransactionId")
            assert line is not None
            receipt = ("R-1", line, "10.00", "2026-09-01T09:30:00Z")
            await run_example(world, tmp_path, "pay.py", *receipt)
            await until(lambda: _owes(database, 1500))
            await run_example(world, tmp_path, "pay.py", *receipt)  # another attempt
            await until(lambda: database.fetchval(f"SELECT {PAYMENTS_READ} = 2"))
            later = ("R-2", line, "15.00", "2026-09-02T14:00:00+02:00")
            await run_example(world, tmp_path, "pay.py", *later, "structured")
            await until(lambda: _owes(database, 0))
            assert await database.fetchval("SELECT count(*) FROM payment") == 2
            assert await database.fetchval("SELECT count(*) FROM rejected") == 0
        finally:
            await database.close()


async def _create_a_fine(world: World) -> None:
    fine = fine_created(Fine(ANNA, "F-1", "OVERDUEFINE", "25.00"))
    fine["created_at"] = (datetime.now(UTC) - timedelta(days=20)).isoformat()
    producer = AIOKafkaProducer(bootstrap_servers=world.kafka_bootstrap_servers)
    await producer.start()
    try:
        headers = event_headers("fine-created")
        await producer.send_and_wait(world.topic("fine-created"), json_bytes(fine), headers=headers)
    finally:
        await producer.stop()


async def _owes(database: asyncpg.Connection[asyncpg.Record], minor: int) -> bool:
    return bool(await database.fetchval("SELECT transferred = $1 FROM account", minor))
