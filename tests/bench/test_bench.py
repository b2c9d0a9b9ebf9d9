"""The benchmark itself, with numbers too small to say anything about speed."""

import argparse
import itertools
import math
from pathlib import Path

import asyncpg
import orjson
import pytest

from tests.bench import report
from tests.bench import world as bench_world
from tests.bench.__main__ import run
from tests.bench.copy_ratio import EVERYTHING, copy_again
from tests.bench.figures import PER_EVENT, SERVICE, exported, rate
from tests.bench.ledgers import exported_lines, fill, multiply
from tests.bench.load import FINE, PAYMENT, Record, fines, payments
from tests.bench.world import BenchFailed, new_database, new_world, require_durable
from tests.support.services import Services

EVENTS = 30
WARM_UP = 5
NOT_YET = ["p99_over_p50", "growth"]
MEASURED = [name for name in report.FIGURES if name not in NOT_YET]

Tables = dict[str, list[dict[str, object]]]

pytestmark = pytest.mark.no_cover


@pytest.fixture(autouse=True)
def _server_without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's server does not wait for its disk, so its figures would not be accepted."""
    durable = [name for name in bench_world.DURABLE if name != "fsync"]
    monkeypatch.setattr(bench_world, "DURABLE", durable)


@pytest.mark.slow
async def test_a_run_tells_every_figure_with_its_spread(services: Services, tmp_path: Path) -> None:
    arguments = argparse.Namespace(events=EVENTS, runs=1, memory_fines=(10, 20))
    result = await run(services, arguments, lambda _: None)
    rows = dict(line.split("=") for line in report.lines(result))
    for name in MEASURED:
        assert float(rows[f"{name}_min"]) <= float(rows[name]) <= float(rows[f"{name}_max"])
    assert all(float(rows[name]) > 0 for name in MEASURED if not name.endswith("_memory_mb"))
    path = tmp_path / "bench" / "figures.json"
    report.write(path, result)
    body = orjson.loads(path.read_bytes())
    assert list(body["figures"]) == MEASURED
    assert body["not_measured"] == NOT_YET


async def test_the_yardstick_leaves_the_same_ledger_as_the_service(services: Services) -> None:
    load = list(fines(EVENTS))
    service = await _left_by(services, SERVICE, FINE, load)
    per_event = await _left_by(services, PER_EVENT, FINE, load)
    assert len(service["ledger_transaction"]) == len(service["fine"]) == EVENTS
    assert per_event == service


async def test_the_yardstick_pays_like_the_service(services: Services) -> None:
    async with new_database(services) as filled:
        await fill(filled, EVENTS)
        async with exported(services, filled) as (url, result):
            assert result.fines == EVENTS
            load = list(payments(await exported_lines(url)))
            service = await _left_by(services, SERVICE, PAYMENT, load, url)
            per_event = await _left_by(services, PER_EVENT, PAYMENT, load, url)
    assert len(service["payment"]) == EVENTS
    assert per_event == service


async def test_the_copy_is_of_every_row(services: Services) -> None:
    async with new_database(services) as filled:
        await fill(filled, EVENTS)
        tables = await _tables(filled)
        copied = await copy_again(services, filled, commits=3)
    assert copied.rows == sum(map(len, tables.values()))
    assert copied.seconds > 0


async def test_a_multiplied_ledger_is_a_sound_one(services: Services) -> None:
    async with new_database(services) as filled:
        await fill(filled, EVENTS)
        await multiply(filled, 3)
        tables = await _tables(filled)
    assert len(tables["fine"]) == len(tables["ledger_transaction"]) == 3 * EVENTS
    owed = [fine["remaining"] for fine in tables["fine"]]
    assert sum(map(_number, owed)) == sum(_number(row["active"]) for row in tables["account"])


async def test_a_server_that_forgets_is_not_measured(services: Services) -> None:
    forgets = f"{services.database_url}?options=-c%20synchronous_commit%3Doff"
    with pytest.raises(BenchFailed, match="synchronous_commit"):
        await require_durable(forgets)
    await require_durable(services.database_url)


def test_the_load_is_the_same_every_time_and_keyed_by_patron() -> None:
    load = list(fines(200))
    assert load == list(fines(200))
    patrons = {orjson.loads(record.value)["patron"]["patron_id"] for record in load}
    assert {record.key for record in load} == {f"972/{patron}".encode() for patron in patrons}
    repeats = sum(item.key == two.key for item, two in itertools.pairwise(load))
    assert repeats < math.ceil(len(load) / 10)


async def _left_by(
    services: Services,
    module: tuple[str, ...],
    contract: str,
    load: list[Record],
    template: str | None = None,
) -> Tables:
    async with new_world(services, template) as world:
        assert await rate(world, module, contract, load, WARM_UP) > 0
        return await _tables(world.database_url)


async def _tables(url: str) -> Tables:
    """Every row of the ledger, in an order of its own, but for the time it was recorded at."""
    connection = await asyncpg.connect(url)
    try:
        result = {name: await connection.fetch(query) for name, query in EVERYTHING.items()}
    finally:
        await connection.close()
    return {
        name: sorted((_row(row) for row in rows), key=lambda row: repr(list(row.items())))
        for name, rows in result.items()
    }


def _row(row: asyncpg.Record) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "recorded_at"}


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
