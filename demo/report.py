"""What happened, for people to read: balances step by step, batches, rejected records."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.expected import ZERO, Balance
from demo.outputs import Outputs
from demo.stage import Done

NOTHING: Balance = (ZERO, ZERO)
FINE_WIDTH = 7


def show(console: Console, done: list[Done], outputs: Outputs) -> None:
    console.print(_balances(done), _batches(outputs), _rejected(outputs))


def _balances(done: list[Done]) -> Table:
    table = Table(
        title="Balances, before → after each step",
        title_justify="left",
        caption="Below zero: a credit. A lost item's fine leaves the balance when it is exported.",
        caption_justify="left",
    )
    for heading in ("step", "fines"):
        table.add_column(heading)
    for heading in ("patron", ""):
        table.add_column(heading, no_wrap=True)
    for heading in ("active", "transferred", "total"):
        table.add_column(heading, justify="right")
    for step in done:
        _add_step(table, step)
    last = done[-1].after if done else {}
    for patron, balance in last.items():
        title = "the end" if patron is next(iter(last)) else ""
        cells = _moved(balance, balance)
        table.add_row(title, "", Text(patron.name), patron.college.currency, *cells)
    return table


def _add_step(table: Table, step: Done) -> None:
    """A row for each patron whose balance moved; a line if there is none."""
    rows = [patron for patron in step.after if step.before.get(patron) != step.after[patron]]
    title = step.title
    for patron in rows:
        cells = _moved(step.before.get(patron, NOTHING), step.after[patron])
        currency = patron.college.currency
        end = patron is rows[-1]
        fines = ", ".join(map(_short, sorted(step.fines[patron])))
        table.add_row(title, fines, Text(patron.name), currency, *cells, end_section=end)
        title = ""
    if not rows:
        counts = {"rejected": step.rejected, "parked": step.parked}
        remarks = ["no effect", *(f"{n} {what}" for what, n in counts.items() if n)]
        table.add_row(title, "", Text(", ".join(remarks), style="dim"), end_section=True)


def _short(fine_id: str) -> str:
    """A credit that the service made has a long identity; the library's fines have short ones."""
    return fine_id if len(fine_id) <= FINE_WIDTH else f"{fine_id[:FINE_WIDTH]}…"


def _moved(before: Balance, after: Balance) -> list[Text]:
    """Active, transferred and their sum; dim where nothing moved."""
    pairs = zip((*before, sum(before)), (*after, sum(after)), strict=True)
    return [
        Text(f"{old:.2f}", style="dim") if old == new else Text(f"{old:.2f} → {new:.2f}")
        for old, new in pairs
    ]


def _batches(outputs: Outputs) -> Table:
    table = Table(title="Batches", title_justify="left")
    for heading in ("profile", "batch"):
        table.add_column(heading)
    for heading in ("fines", "debits", "credits", "total"):
        table.add_column(heading, justify="right")
    table.add_column("file", overflow="fold")
    for manifest in outputs.manifests:
        table.add_row(
            manifest["profile"],
            str(manifest["batch_number"]),
            str(manifest["count"]),
            manifest["debits"]["total"],
            manifest["credits"]["total"],
            f"{manifest['total']} {manifest['currency']}",
            manifest["file_name"],
        )
    return table


def _rejected(outputs: Outputs) -> Table:
    table = Table(title="Rejected records", title_justify="left")
    for heading in ("topic", "offset", "reason", "field and rule"):
        table.add_column(heading)
    for record in outputs.records["rejected"]:
        headers = record.headers
        place = f"{headers['bursar-partition']}/{headers['bursar-offset']}"
        topic = headers["bursar-topic"].partition(".")[2]
        table.add_row(topic, place, headers["bursar-reason"], Text(headers["bursar-detail"]))
    return table
