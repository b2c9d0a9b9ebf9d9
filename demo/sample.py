"""One fine in the three forms that matter, side by side, and what to look at next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from demo.outputs import Outputs
from demo.scene import LATE_FINE, fine_created

NAMESPACE = "http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans"
XB = f"{{{NAMESPACE}}}"
SHOWN_OF_FINE = ("institution_id", "fine_id", "patron", "type", "amount", "currency", "item")
SHOWN_OF_PATRON = ("patron_id", "name", "identifiers")
SHOWN_OF_CHANGE = ("institution_id", "patron_id", "currency", "sequence", "balance", "transaction")
SHOWN_OF_FINE_CHANGED = ("fine_id", "status")
HIDDEN_OF_LINE = ("fineFeeComment", "owneredEntity", "vat")
PATH_WIDTH = 54
SIDE_BY_SIDE_WIDTH = 120
PLACES = (
    ("{folder}/batches/*.xml", "what an ERP loads; docs/bursar-xml.md describes it"),
    ("{folder}/batches/manifests/*.json", "the control totals of each batch, and its lines"),
    ("{folder}/events/*.jsonl", "every record of five output topics, one on each line"),
    ("{folder}/profiles.toml", "the profiles that chose these fines; docs/reference/profiles.md"),
    ("make services", "PostgreSQL and Kafka, to try it by hand: docs/getting-started.md"),
    (
        ".venv/bin/python examples/send_aiokafka.py --help",
        "sends a fine, a payment or an answer of your own",
    ),
    (
        ".venv/bin/python examples/load_aiokafka.py --help",
        "loads batches, as an ERP does: docs/consumer-guide.md",
    ),
    (
        ".venv/bin/python examples/watch.py --help",
        "prints balances, closed loans and rejected records",
    ),
    (".venv/bin/python -m service --help", "the operator's commands: docs/runbook.md"),
    ("docs/architecture.md", "how it works, and which test holds each promise"),
)


def show(console: Console, outputs: Outputs) -> None:
    """The fine F-2005 as it came, as a balance and as a line of a batch, shortened.

    Side by side if the console is wide enough for it, else one below the other.
    """
    forms = {
        "fine-created: the library sends it": _fine(),
        "balance-changed: everybody reads it": _change(outputs),
        "export-batch: the bursar's ERP loads it": _line(outputs),
    }
    title = f"The fine {LATE_FINE.fine_id}, shortened"
    if console.width < SIDE_BY_SIDE_WIDTH:
        console.print(Text(title, "bold"))
        for heading, text in forms.items():
            console.print(Text(heading, "bold"), Text(text), sep="\n", soft_wrap=True)
        return
    table = Table(title=title, title_justify="left", expand=True)
    for heading in forms:
        table.add_column(heading, overflow="fold")
    table.add_row(*(Text(text) for text in forms.values()))
    console.print(table)


def show_next(console: Console, folder: Path, root: Path) -> None:
    """Files, commands and pages, a line each."""
    shown = folder.relative_to(root)
    is_wide = console.width >= SIDE_BY_SIDE_WIDTH
    between = "" if is_wide else "\n      "
    rows = [
        f"  {place.format(folder=shown):{PATH_WIDTH if is_wide else 0}}{between}{text}"
        for place, text in PLACES
    ]
    console.print(Group(Text("Look next"), *map(Text, rows)), highlight=False, soft_wrap=True)


def _fine() -> str:
    event = _chosen(fine_created(LATE_FINE), SHOWN_OF_FINE)
    event["patron"] = _chosen(event["patron"], SHOWN_OF_PATRON)
    event["item"] = _chosen(event["item"], ("title",))
    return _indented(event)


def _change(outputs: Outputs) -> str:
    """That of its export, which the payment that came too early follows at once."""
    changes = (record.json for record in outputs.changes)
    whole = next(
        change
        for change in changes
        if change["fine"]["fine_id"] == LATE_FINE.fine_id
        and change["transaction"]["kind"].startswith("export")
    )
    event = _chosen(whole, SHOWN_OF_CHANGE)
    event["transaction"] = _chosen(event["transaction"], ("type", "amount"))
    event["fine"] = _chosen(whole["fine"], SHOWN_OF_FINE_CHANGED)
    return _indented(event)


def _line(outputs: Outputs) -> str:
    ElementTree.register_namespace("xb", NAMESPACE)
    number = outputs.bursar_transaction_id_of(LATE_FINE.fine_id)
    documents = [ElementTree.fromstring(each.value) for each in outputs.records["export-batch"]]
    line = next(
        line
        for document in documents
        for line in document.iter(f"{XB}userFineFee")
        if line.findtext(f"{XB}bursarTransactionId") == number
    )
    for parent in list(line.iter()):
        for name in HIDDEN_OF_LINE:
            for child in parent.findall(XB + name):
                parent.remove(child)
    ElementTree.indent(line, " ")
    text = ElementTree.tostring(line, encoding="unicode")
    return text.replace(f' xmlns:xb="{NAMESPACE}"', "")


def _chosen(whole: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: whole[name] for name in names if name in whole}


def _indented(event: object) -> str:
    return json.dumps(event, indent=1, ensure_ascii=False)
