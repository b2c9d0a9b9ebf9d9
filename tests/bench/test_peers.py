"""What the measurement of the sink is made of, without a sink."""

from base64 import b64decode
from pathlib import Path

import orjson
import pytest

from tests.bench.cpu import Cost
from tests.bench.load import fines
from tests.bench.peers.connect import properties
from tests.bench.peers.figures import PeerTurn
from tests.bench.peers.inserted import last_of_partitions, partition_of
from tests.bench.peers.report import COSTS, FIGURES, lines, report_of, write
from tests.bench.peers.rows import decimal, jdbc_settings, milliseconds, plain, schema, table
from tests.bench.throughput import Pace
from tests.bench.world import PARTITIONS


def _turn(service: float, sink: float) -> PeerTurn:
    cost = Cost(200.0, 50.0, 30.0, 0.1)
    rates = {"service": service, "sink": sink, "two_services": 2 * service, "two_sinks": sink}
    return PeerTurn({name: Pace(rate, cost, 100.0) for name, rate in rates.items()})


def test_a_row_has_every_column_of_the_table_and_every_field_of_the_schema() -> None:
    for record in fines(20):
        row = orjson.loads(plain(record).value)
        assert row.keys() == {field["field"] for field in orjson.loads(schema())["fields"]}
        assert all(f"{name} " in table() for name in row)


def test_a_row_has_every_value_of_its_fine() -> None:
    (record,) = fines(1)
    fine, row = orjson.loads(record.value), orjson.loads(plain(record).value)
    assert plain(record).key == record.key
    parts = {**fine, **fine.pop("patron"), **fine.pop("owner"), **fine.pop("item")}
    values = {name: value for name, value in parts.items() if name in row}
    assert len(values) == len(row)
    assert {name for name in row if row[name] != values[name]} == {
        *("amount", "created_at", "due_date", "identifiers")
    }
    assert orjson.loads(row["identifiers"]) == values["identifiers"]


@pytest.mark.parametrize(
    ("amount", "units"), [("0.05", 5), ("1.27", 127), ("1.28", 128), ("89.99", 8_999)]
)
def test_an_amount_becomes_the_bytes_of_its_minor_units(amount: str, units: int) -> None:
    assert int.from_bytes(b64decode(decimal(amount)), "big", signed=True) == units


def test_an_instant_becomes_milliseconds() -> None:
    assert milliseconds("1970-01-02T00:00:00+00:00") == 86_400_000
    assert milliseconds("2024-02-24T23:59:00-05:00") == milliseconds("2024-02-25T04:59:00Z")


def test_the_address_of_the_database_is_told_as_jdbc_wants_it() -> None:
    assert jdbc_settings("postgresql://postgres:a%2Fb@127.0.0.1:6543/bench") == {
        "connection.url": "jdbc:postgresql://127.0.0.1:6543/bench?reWriteBatchedInserts=true",
        "connection.username": "postgres",
        "connection.password": "a/b",
    }


def test_the_settings_of_java_are_one_to_a_row() -> None:
    assert properties({"a.b": "c=d:e", "f": "g\\h"}) == "a.b=c=d:e\nf=g\\\\h\n"


def test_the_last_row_of_each_partition_is_known() -> None:
    rows = [plain(record) for record in fines(200)]
    last = last_of_partitions(rows)
    assert len(last) == PARTITIONS
    places = [orjson.loads(row.value)["fine_id"] for row in rows]
    for fine_id in last:
        place = places.index(fine_id)
        later = {partition_of(row.key) for row in rows[place + 1 :]}
        assert partition_of(rows[place].key) not in later


def test_a_report_has_medians_with_their_spread(tmp_path: Path) -> None:
    turns = [_turn(6_000, 12_000), _turn(5_000, 20_000), _turn(8_000, 20_000)]
    report = report_of(20_000, 10_000, turns)
    medians = dict(text.split("=") for text in lines(report))
    assert [medians["ratio_sink_min"], medians["ratio_sink"], medians["ratio_sink_max"]] == [
        *("0.25", "0.4", "0.5")
    ]
    assert medians["rate_sink"] == "20000"
    assert medians["cpu_two_sinks_postgres"] == "50"
    path = tmp_path / "bench" / "peers.json"
    write(path, report)
    body = orjson.loads(path.read_bytes())
    assert body["figures"].keys() == FIGURES.keys()
    assert body["costs"]["service"].keys() == COSTS.keys()
    assert body["runs"] == len(turns)
