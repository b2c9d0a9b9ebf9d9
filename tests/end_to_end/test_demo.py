"""The demo says ok when all is well, what differs when it is not, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka.admin import AdminClient

from tests.support.services import Services
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("without_coverage")

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS_MAX = 240.0


@pytest.fixture(autouse=True)
def _demos_take_turns() -> Iterator[None]:
    """Each looks at what is left on servers that it shares with the other workers' tests."""
    with (Path(tempfile.gettempdir()) / "bursar-bridge-demo-tests.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Running:
    """A demo in a process of its own, with a mark that its children inherit."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str) -> None:
        self.process = process
        self.mark = mark
        self.lines: list[str] = []

    async def until(self, text: str) -> None:
        assert self.process.stdout is not None
        while not any(text in line for line in self.lines):
            line = await self.process.stdout.readline()
            assert line, "\n".join(self.lines)
            self.lines.append(line.decode().rstrip())

    async def end(self) -> int:
        assert self.process.stdout is not None
        rest = (await self.process.stdout.read()).decode()
        self.lines += rest.rstrip().splitlines()
        return await self.process.wait()

    def left_over(self) -> list[str]:
        """Processes that still have the mark."""
        return [name for name, environment in environments() if self.mark in environment]


def environments() -> Iterator[tuple[str, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield folder.name, (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue


async def start(services: Services, *command: str) -> Running:
    mark = uuid.uuid4().hex
    environment = os.environ | {
        "DATABASE_URL": services.database_url,
        "KAFKA_BOOTSTRAP_SERVERS": services.kafka_bootstrap_servers,
        "BURSAR_SERVICES": "environment",
        "DEMO_TEST_MARK": mark,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *(command or ("-m", "demo"))),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Running(process, mark)


async def assert_nothing_is_left(services: Services, kafka_admin: AdminClient) -> None:
    connection = await asyncpg.connect(services.database_url)
    try:
        result = await connection.fetch(
            "SELECT datname FROM pg_database WHERE datname LIKE 'bursar\\_demo\\_%'"
        )
    finally:
        await connection.close()
    assert result == []
    topics = kafka_admin.list_topics(timeout=10).topics
    assert [name for name in topics if name.startswith("demo-")] == []
    groups = kafka_admin.list_consumer_groups().result(10).valid
    assert [group.group_id for group in groups if group.group_id.startswith("demo-")] == []


async def test_the_demo_ends_with_ok_and_leaves_its_files_alone(
    services: Services, kafka_admin: AdminClient
) -> None:
    async with asyncio.timeout(RUN_SECONDS_MAX):
        running = await start(services)
        status = await running.end()
    output = "\n".join(running.lines)
    assert (status, running.lines[-1]) == (0, "demo: ok"), output
    folder = ROOT / "var" / "demo"
    documents = sorted(path.stem for path in (folder / "batches").glob("*.xml"))
    manifests = sorted(path.stem for path in (folder / "batches" / "manifests").glob("*.json"))
    assert len(documents) == 3
    assert documents == manifests
    changes = (folder / "events" / "balance-changed.jsonl").read_text().splitlines()
    assert "Okafor, Ada" in output
    assert_shows_a_fine_and_what_to_read(output)
    assert json.loads(changes[0])["value"]["sequence"] == 1
    assert running.left_over() == []
    await assert_nothing_is_left(services, kafka_admin)


def assert_shows_a_fine_and_what_to_read(output: str) -> None:
    """A fine beside its patron in the table and in three forms; files, programs and pages."""
    assert re.search(r"│ 10 F-2005 comes +│ F-2005 +│ Okafor, Ada +│ EUR │ +0.00 → 18.20 │", output)
    assert re.search(r"│ 12 F-2006 adjusted .*│ +5.00 → 7.50 │ +0.00 │ +5.00 → 7.50 │", output)
    assert re.search(r"│ 15 3.00 of it charged back .*│ +0.00 │ +0.00 → 3.00 │", output)
    assert re.search(r"│ 16 paid by a sum without a line .*│ +0.00 │ +3.00 → 0.00 │", output)
    for part in ('"fine_id": "F-2005"', '"transferred": "18.20"', "<xb:sum>18.2</xb:sum>"):
        assert part in output
    lines = output.partition("Look next\n")[2].splitlines()[:-1]
    places = [line.split("  ")[1].removeprefix(".venv/bin/python ").split(" ")[0] for line in lines]
    assert len(places) == 10
    for place in places:
        assert place in ("make", "-m") or list(ROOT.glob(place)), place


SHORT_BY_A_CENT = """
import sys
from decimal import Decimal
from demo.expected import Expected
paid = Expected.paid
Expected.paid = lambda self, fine_id, amount: paid(self, fine_id, amount - Decimal("0.01"))
from demo.__main__ import main
sys.exit(main())
"""


@pytest.mark.slow  # tests/unit/test_demo_checks.py finds the same difference in what was published
async def test_the_demo_fails_over_a_single_cent(services: Services) -> None:
    async with asyncio.timeout(RUN_SECONDS_MAX):
        running = await start(services, "-c", SHORT_BY_A_CENT)
        status = await running.end()
    assert (status, running.lines[-1]) == (1, "demo: failed")
    assert any(line.startswith("differs: 4 ") for line in running.lines), running.lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_demo_broken_off_leaves_neither_process_nor_database_nor_topic(
    services: Services, kafka_admin: AdminClient, number: signal.Signals
) -> None:
    async with asyncio.timeout(RUN_SECONDS_MAX):
        running = await start(services)
        await running.until("starting the service")
        running.process.send_signal(number)
        status = await running.end()
    assert status == 130, "\n".join(running.lines)
    assert running.lines[-1].startswith("demo: interrupted")
    await until(lambda: running.left_over() == [])  # what was killed may still be on its way out
    await assert_nothing_is_left(services, kafka_admin)
