"""What the demo prints at the end, on a narrow terminal and on a wide one."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from demo import report
from demo.expected import Balance
from demo.outputs import Outputs, Record
from demo.scene import ANNA, FATIMA, JOERG, PATRONS, XIAOMING, Patron
from demo.stage import Done
from demo.story import STEPS

FILE = "NORTH-20260302T101500Z-000000000001-of-an-institution-with-a-long-name.xml"
REASON = "credit_already_exported"


def balance(active: str, transferred: str) -> Balance:
    return Decimal(active), Decimal(transferred)


def done(title: str, *patrons: Patron) -> Done:
    after = {patron: balance("115.25", "145.25") for patron in patrons}
    fines = {patron: ["F-1001", "F-1002"] for patron in patrons}
    return Done(title, {}, after, fines, events=2, rejected=0, parked=0)


@pytest.fixture
def outputs() -> Outputs:
    outputs = Outputs("demo-1234abcd.")
    manifest = (
        f'{{"profile": "NORTH", "batch_number": 1, "count": 2, "file_name": "{FILE}", '
        '"debits": {"total": "12345.50"}, "credits": {"total": "-2345.50"}, '
        '"total": "10000.00", "currency": "USD"}'
    )
    headers = {
        "bursar-partition": "1",
        "bursar-offset": "1234",
        "bursar-topic": "demo-1234abcd.bursar-payment.v1",
        "bursar-reason": REASON,
        "bursar-detail": "amount: must be a text with the currency's decimals, not a number",
    }
    records = outputs.records
    records["export-manifest"].append(
        Record("export-manifest", (0, 0), None, manifest.encode(), {"ce_id": "1/manifest"})
    )
    records["rejected"].append(Record("rejected", (0, 0), None, b"", headers))
    return outputs


def printed(outputs: Outputs, width: int) -> list[str]:
    stream = StringIO()
    steps = [done("3 South exported (with import)", *PATRONS), done("7 F-2001 paid twice more")]
    report.show(Console(file=stream, width=width), steps, outputs)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 136, 200])
def test_no_name_and_no_number_is_cut_or_broken(outputs: Outputs, width: int) -> None:
    lines = printed(outputs, width)
    assert [line for line in lines if cell_len(line) > width] == []
    assert [line for line in lines if "…" in line] == []
    names = [patron.name for patron in (ANNA, XIAOMING, FATIMA, JOERG)]
    amounts = ["0.00 → 115.25", "0.00 → 145.25", "0.00 → 260.50", "10000.00 USD", "-2345.50"]
    for whole in (*names, *amounts, FILE, REASON, "F-1001, F-1002", "bursar-payment.v1"):
        assert any(whole in line for line in lines), whole


def test_a_wide_terminal_has_a_table_for_each_list(outputs: Outputs) -> None:
    assert sum(line.startswith("┏") for line in printed(outputs, 200)) == 3


def test_the_bars_of_the_steps_leave_their_names_whole_on_80_columns() -> None:
    stream = StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    result = "no event, as it must be"
    with report.step_bars(console) as bars:
        for step in STEPS:
            bars.add_task(step.title, total=1, completed=1, result=result)
    lines = stream.getvalue().splitlines()
    for step in STEPS:
        assert any(step.title in line and result in line for line in lines), step.title
