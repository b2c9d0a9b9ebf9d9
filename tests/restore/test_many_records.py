"""The restore check with very many records beyond what was acknowledged."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.restore.variants import World
from tests.support.process import connected, end
from tests.support.programs import ROOT
from tests.support.restoring import OLDER, SECONDS_MAX
from tests.support.topics import SECONDS_MAX as FLUSH_SECONDS_MAX

ACCOUNTS = 100
PEAK_MB_MAX = 200  # of which the program itself takes about 100
KNOWN = """
INSERT INTO ledger_transaction
SELECT
    '6050', 'P-' || (n % $2), 'USD', n / $2 + 1, 1, 't-' || n, 'F-' || n, 'fine', 'Fine',
    100, 100, 0, 100, 0, NULL, NULL, 'Active', 'active', 100, 0,
    timestamptz '2026-09-01T00:00:00Z' + make_interval(secs => n),
    timestamptz '2026-09-01T00:00:00Z' + make_interval(secs => n)
FROM generate_series(0, $1 - 1) AS n
"""


def publish(world: World, first: int, end_: int) -> None:
    """As a relay would have that has sent a whole ledger and not acknowledged any of it."""
    producer = Producer({"bootstrap.servers": world.site.servers, "linger.ms": 20, "log_level": 0})
    topic = world.site.topic("balance-changed.v1")
    for n in range(first, end_):
        at = time.gmtime(1_788_220_800 + n)
        account = {"institution_id": "6050", "patron_id": f"P-{n % ACCOUNTS}", "currency": "USD"}
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_id", f"t-{n}".encode()),
            ("ce_type", b"org.bursar-bridge.balance-changed.v1"),
            ("ce_time", time.strftime("%Y-%m-%dT%H:%M:%SZ", at).encode()),
        ]
        value = json.dumps({**account, "sequence": n // ACCOUNTS + 1}).encode()
        while True:
            try:
                producer.produce(topic, value, f"6050/P-{n % ACCOUNTS}".encode(), headers=headers)
                break
            except BufferError:
                producer.poll(1)
    assert producer.flush(FLUSH_SECONDS_MAX) == 0


async def shown(world: World) -> tuple[int | None, str, int]:
    """Exit code and output of `restore-check show`, and the most memory it held in MB."""
    peak = Path(world.site.folder) / "peak"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.measured", str(peak), "restore-check", "show"),
        cwd=ROOT,
        env=world.site.environment,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(10 * SECONDS_MAX):
            out, problems = await process.communicate()
    finally:
        await end(process)
    assert process.returncode in (0, OLDER), problems.decode()
    return process.returncode, out.decode(), int(peak.read_text()) // 1024


async def check_bounded(world: World, records: int) -> None:
    await world.site.command("migrate")
    async with connected(world.site.database_url) as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(KNOWN.replace("$1", str(records)).replace("$2", str(ACCOUNTS)))
    await asyncio.to_thread(publish, world, 0, records)
    code, out, known_mb = await shown(world)
    assert (code, "finds nothing" in out) == (0, True), out
    async with connected(world.site.database_url) as connection:
        await connection.execute("ALTER TABLE ledger_transaction DISABLE TRIGGER USER")
        await connection.execute("DELETE FROM ledger_transaction WHERE sequence = 1")
    code, out, oldest_unknown_mb = await shown(world)
    assert (code, "unknown_record" in out) == (OLDER, True), out
    print(f"{records} records: {known_mb} MB all known, {oldest_unknown_mb} MB oldest unknown")
    assert max(known_mb, oldest_unknown_mb) < PEAK_MB_MAX


async def test_very_many_known_records_are_compared_in_bounded_memory(world: World) -> None:
    await check_bounded(world, 20_000)


@pytest.mark.slow
async def test_a_million_known_records_are_compared_in_bounded_memory(world: World) -> None:
    world.site.settings = {**world.site.settings, "BURSAR_RESTORE_CHECK_SECONDS_MAX": "600"}
    await check_bounded(world, 1_000_000)
