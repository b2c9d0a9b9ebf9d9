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
from tests.bench.__main__ import GROWTH_FINES, completed, run
from tests.bench.copy_ratio import EVERYTHING, copy_again
from tests.bench.exporting import exported
from tests.bench.figures import PER_EVENT
from tests.bench.latency import in_order
from tests.bench.ledgers import exported_lines, fill, multiply
from tests.bench.load import FINE, PAYMENT, Record, fines, payments
from tests.bench.pacing import Latency, Percentiles, Schedule
from tests.bench.throughput import SERVICE, pace
from tests.bench.world import BenchFailed, new_database, new_world, require_durable
from tests.support.services import Services

EVENTS = 30
WARM_UP = 5
EVERYTHING_SMALL = argparse.Namespace(
    events=EVENTS,
    runs=1,
    memory_fines=(10, 20),
    growth_fines=(10, 20),
    latency_runs=0,
    process_runs=0,
    quick=False,
    latency_seconds=1,
)

Tables = dict[str, list[dict[str, object]]]

pytestmark = pytest.mark.no_cover


@pytest.fixture(autouse=True)
def _server_without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's server does not wait for its disk, so its figures would not be accepted."""
    durable = [name for name in bench_world.DURABLE if name != "fsync"]
    monkeypatch.setattr(bench_world, "DURABLE", durable)


@pytest.mark.slow
async def test_a_run_tells_every_figure_with_its_spread(services: Services, tmp_path: Path) -> None:
    result = await run(services, EVERYTHING_SMALL, lambda _: None)
    rows = dict(line.split("=") for line in report.lines(result))
    for name in report.FIGURES:
        assert float(rows[f"{name}_min"]) <= float(rows[name]) <= float(rows[f"{name}_max"])
    may_be_zero = ("_memory_mb", "_deadlocks", "_rollbacks")
    assert all(float(rows[name]) > 0 for name in report.FIGURES if not name.endswith(may_be_zero))
    path = tmp_path / "bench" / "figures.json"
    report.write(path, result)
    body = orjson.loads(path.read_bytes())
    assert list(body["figures"]) == list(report.FIGURES)
    assert body["not_measured"] == []


async def test_the_yardstick_leaves_the_same_ledger_as_the_service(services: Services) -> None:
    load = list(fines(EVENTS))
    service = await _left_by(services, SERVICE, FINE, load)
    per_event = await _left_by(services, PER_EVENT, FINE, load)
    assert len(service["ledger_transaction"]) == len(service["fine"]) == EVENTS
    assert per_event == service


async def test_the_yardstick_pays_like_the_service(services: Services) -> None:
    async with new_database(services) as filled:
        await fill(filled, EVENTS)
        async with exported(services, filled) as (world, result):
            assert result.fines == EVENTS
            url = world.database_url
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


def test_records_are_due_at_a_constant_rate() -> None:
    schedule = Schedule.lasting(seconds=3, rate=4)
    assert schedule == Schedule(rate=4, count=12)
    assert [schedule.due_at(number) for number in (0, 1, 11)] == [0, 0.25, 2.75]
    assert [schedule.due_by(at) for at in (0, 0.2, 0.25, 2.7, 2.75, 60)] == [1, 1, 2, 11, 12, 12]
    assert Schedule.lasting(seconds=1, rate=0.1).count == 1


def test_a_pause_of_the_producer_is_part_of_the_latency() -> None:
    """He sends all five at last, and each arrives half a second later."""
    schedule = Schedule(rate=4, count=5)
    assert schedule.due_by(1) == 5
    assert schedule.latencies_ms([1.5] * 5) == [1_500, 1_250, 1_000, 750, 500]


def test_percentiles_are_values_that_were_measured() -> None:
    assert Percentiles.over([*range(200, 100, -1), *range(1, 101)]) == Percentiles(100, 198)
    assert Percentiles.over([3, 1, 2]) == Percentiles(2, 3)
    assert Percentiles.over([7]) == Percentiles(7, 7)


def test_the_slowest_at_half_the_rate_is_divided_by_the_median_at_a_tenth() -> None:
    percentiles = Percentiles(8, 60), Percentiles(16, 120), Percentiles(20, 300)
    figures = Latency(*percentiles, peak_mb=100).figures
    assert figures["p99_over_p50"] == 15
    assert (figures["four_fifths_p50_ms"], figures["four_fifths_p99_ms"]) == (20, 300)
    assert figures.keys() <= report.FIGURES.keys()


def test_each_record_has_the_arrival_of_its_event() -> None:
    load = list(fines(3))
    ids = [orjson.loads(record.value)["fine_id"] for record in load]
    events = [orjson.dumps({"fine": {"fine_id": fine_id}}) for fine_id in ids]
    arrivals = [(0.3, events[2]), (0.1, events[0]), (0.2, events[1])]
    assert in_order(load, arrivals) == [0.1, 0.2, 0.3]
    for others in (arrivals[1:], [*arrivals, arrivals[0]], [*arrivals[1:], arrivals[1]]):
        with pytest.raises(BenchFailed, match="not those"):
            in_order(load, others)


def test_a_figure_is_measured_alone() -> None:
    given = {"runs": 3, "memory_fines": (1, 2), "growth_fines": None, "latency_seconds": None}

    def measured(**more: object) -> tuple[object, ...]:
        result = completed(argparse.Namespace(**given | {"quick": False, "only": None} | more))
        names = "runs latency_runs process_runs memory_fines growth_fines latency_seconds"
        return tuple(getattr(result, name) for name in names.split())

    assert measured() == (3, 0, 0, (1, 2), None, 8)
    assert measured(quick=True) == (1, 0, 0, None, None, 3)
    assert measured(only="latency") == (0, 3, 0, None, None, 8)
    assert measured(only="latency", quick=True) == (0, 1, 0, None, None, 3)
    assert measured(only="processes") == (0, 0, 3, None, None, 8)
    assert measured(only="memory", quick=True) == (0, 0, 0, (1, 2), None, 3)
    assert measured(only="growth") == (0, 0, 0, None, GROWTH_FINES, 8)
    assert measured(only="growth", growth_fines=(2, 4)) == (0, 0, 0, None, (2, 4), 8)


async def _left_by(
    services: Services,
    module: tuple[str, ...],
    contract: str,
    load: list[Record],
    template: str | None = None,
) -> Tables:
    async with new_world(services, template) as world:
        measured = await pace(world, module, contract, load, WARM_UP)
        assert measured.rate > 0
        assert 0 <= measured.cost.idle <= 1
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
