"""The disk of the database, or of a delivery, is full for a time."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka.admin import AdminClient

from tests.faults.databases import DATABASE, FEW_EVENTS, start_again
from tests.faults.disks import SmallDisk, small_disk
from tests.faults.report import Row
from tests.faults.signs import Signs
from tests.faults.stage import Stage
from tests.faults.work import UNREACHABLE
from tests.support.delivering import CONFIG, TOPICS, Drop
from tests.support.process import connected
from tests.support.sealed import sealed_chain
from tests.support.services.postgres import LocalPostgres
from tests.support.topics import create_topic
from tests.support.waiting import until

SERVER_MIB = 96
DELIVERY_MIB = 1
FINES = 100  # in each batch: its file takes several blocks
NEXT_FILE = "SELECT pg_logical_emit_message(TRUE, 'row', 'content'), pg_switch_wal()"
LOG_SETTINGS = {"max_wal_size": "48MB", "min_wal_size": "32MB"}


@pytest.fixture
def server_disk(server: LocalPostgres) -> Iterator[SmallDisk]:
    """A small disk of the server's user."""
    with small_disk(server.folder / "small", SERVER_MIB, server.user) as disk:
        yield disk


@pytest.mark.slow
@pytest.mark.fault("database-disk-full")
async def test_a_full_disk_of_the_tables_is_named_and_the_service_goes_on_when_there_is_space(
    server: LocalPostgres, server_disk: SmallDisk, server_stage: Stage
) -> None:
    async with connected(server.url()) as connection:
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{server_disk.folder}'")
        await connection.execute(f'ALTER DATABASE "{DATABASE}" SET TABLESPACE small')
    stage, row = server_stage, server_stage.row
    await stage.start("one", "two")
    signs = Signs(stage, "one")

    async def harm() -> None:
        row.count("full disk of the tables")
        server_disk.fill()
        problem = await signs.until_not_ready("commits")
        assert problem.endswith("no record can be committed: the disk of the server is full")
        server_disk.free()
        await signs.until_ready()

    await stage.under_load(harm, FEW_EVENTS)
    assert row.restarts == 0


@pytest.mark.slow
@pytest.mark.fault("database-log-full")
@pytest.mark.parametrize("server", [LOG_SETTINGS], indirect=True)
async def test_a_full_disk_of_the_database_log_ends_the_server_and_loses_nothing(
    server: LocalPostgres, server_disk: SmallDisk, server_stage: Stage
) -> None:
    """PostgreSQL cannot go on without its log: it ends all sessions, and may end itself."""
    await asyncio.to_thread(server.stop)
    move(server.data / "pg_wal", server_disk.folder / "log")
    await start_again(server)
    stage, row = server_stage, server_stage.row
    await stage.start("one", "two")

    async def harm() -> None:
        row.count("full disk of the log")
        server_disk.fill()
        await use_up_log(server)
        server_disk.free()
        await start_again(server)

    await stage.under_load(harm, FEW_EVENTS)
    assert row.restarts == 0


@pytest.fixture
def small(
    bootstrap_servers: str,
    kafka_admin: AdminClient,
    topic_prefix: str,
    group_id: str,
    tmp_path: Path,
) -> Iterator[tuple[Drop, SmallDisk]]:
    """A delivery whose files, state and journal are on a small disk."""
    for name in TOPICS:
        create_topic(kafka_admin, topic_prefix + name, 2, CONFIG)
    folder = tmp_path / "drop"
    with small_disk(folder, DELIVERY_MIB) as disk:
        yield Drop(bootstrap_servers, topic_prefix, group_id, str(folder), folder), disk


@pytest.mark.slow
@pytest.mark.fault("delivery-disk-full")
async def test_a_full_disk_of_a_delivery_is_named_and_leaves_no_torn_file_and_goes_on(
    row: Row, small: tuple[Drop, SmallDisk]
) -> None:
    drop, disk = small
    chain = sealed_chain(3, fines=FINES)
    drop.publish(chain[0])
    async with drop.running():
        await drop.until_there(chain[0])
        for number in (1, 2):
            row.count("full disk of the delivery")
            retries = drop.logged("delivery_retries") + 1
            disk.fill()
            drop.publish(chain[number])
            await drop.until_logged("delivery_retries", retries)
            await until(lambda: names_problem(drop, "No space left on device"))
            assert drop.files() == {item.file_name: item.bytes for item in chain[:number]}
            disk.free()
            await drop.until_there(chain[number])
    drop.check_holds(*chain)


@pytest.mark.slow
@pytest.mark.fault("read-only-folder")
async def test_a_folder_that_is_mounted_read_only_is_named_and_loses_nothing(
    row: Row, small: tuple[Drop, SmallDisk]
) -> None:
    drop, disk = small
    chain = sealed_chain(2)
    drop.publish(chain[0])
    assert (await drop.once()).numbers == [1]
    row.count("folder mounted read-only")
    disk.set_read_only(True)
    drop.publish(chain[1])
    ended = await drop.once()
    assert ended.code == 1
    assert "Read-only file system" in ended.problems
    disk.set_read_only(False)
    assert (await drop.once()).numbers == [2]
    drop.check_holds(*chain)


async def names_problem(drop: Drop, text: str) -> bool:
    """Whether the health port of the running delivery says so; it asks once a second."""
    port = next(entry["port"] for entry in drop.log() if entry["event"] == "ops_listening")
    address = f"http://127.0.0.1:{port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        return response.status == 503 and text in await response.text()


async def use_up_log(server: LocalPostgres) -> None:
    """Begins one file of the log after the other, until the server breaks off."""
    async with connected(server.url()) as connection:
        while not connection.is_closed():
            with contextlib.suppress(*UNREACHABLE):
                await connection.execute(NEXT_FILE)


def move(folder: Path, to: Path) -> None:
    """Moves a folder with its owners to another disk, and leaves a link to it."""
    subprocess.run(["cp", "--archive", str(folder), str(to)], check=True)
    shutil.rmtree(folder)
    folder.symlink_to(to)
