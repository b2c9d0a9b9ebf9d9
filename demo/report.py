"""What happened, for people to read: balances step by step, batches, rejected records."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.expected import ZERO, Balance
from demo.outputs import Outputs
from demo.stage import Done

NOTHING: Balance = (ZERO, ZERO)


def show(console: Console, done: list[Done], outputs: Outputs) -> None:
    console.print(_balances(done), _batches(outputs), _rejected(outputs))


def _balances(done: list[Done]) -> Table:
    table = Table(title="Balances, before → after", title_justify="left")
    for heading in ("step", "patron"):
        table.add_column(heading)
    for heading in ("active", "transferred", "total"):
        table.add_column(heading, justify="right")
    for step in done:
        rows = [patron for patron in step.after if step.before.get(patron) != step.after[patron]]
        title = step.title
        for patron in rows:
            before, after = step.before.get(patron, NOTHING), step.after[patron]
            cells = _moved((*before, sum(before)), (*after, sum(after)))
            name = f"{patron.name} ({patron.college.currency})"
            table.add_row(Text(title), Text(name), *cells, end_section=patron is rows[-1])
            title = ""
        if not rows:
            remark = f"{step.rejected} rejected" if step.rejected else f"{step.parked} parked"
            known = "no effect" if not (step.rejected or step.parked) else f"no effect, {remark}"
            table.add_row(Text(title), Text(known, style="dim"), end_section=True)
    return table


def _moved(before: tuple[object, ...], after: tuple[object, ...]) -> list[Text]:
    return [
        Text(f"{old:.2f}", style="dim") if old == new else Text(f"{old:.2f} → {new:.2f}")
        for old, new in zip(before, after, strict=True)
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
