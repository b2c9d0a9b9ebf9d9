"""What must hold at the end: events, files and tables say the same; a line for what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Any

import asyncpg
from jsonschema import Draft7Validator
from lxml import etree

from demo.outputs import Outputs, Record
from demo.scene import LOANS, MARKED_FINE, MARKED_FINE_BILLED, MARKED_FINE_TITLE
from demo.world import ROOT

CONTRACTS = ROOT / "contracts"
XB = "{http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans}"
ID_DIGITS = 11
DECIMALS = 2  # of the demo's currencies


def events_are_sound(outputs: Outputs) -> Iterator[str]:
    """Schemas hold; sequences have no gap; each event starts where the one before it ended."""
    for name in ("balance-changed", "export-manifest", "loan-closed"):
        schema = json.loads((CONTRACTS / "events" / f"{name}.v1.schema.json").read_bytes())
        validator = Draft7Validator(schema)
        for record in outputs.records[name]:
            for error in validator.iter_errors(record.json):
                yield f"{name} {record.at}: {error.json_path}: breaks its schema"
    accounts: dict[tuple[str, str, str], list[Any]] = {}
    for change in (record.json for record in outputs.changes):
        account = (change["institution_id"], change["patron_id"], change["currency"])
        accounts.setdefault(account, []).append(change)
    for account, changes in accounts.items():
        yield from _account_is_sound(account, changes)
    loans = sorted(record.json["loan_id"] for record in outputs.records["loan-closed"])
    if loans != sorted(LOANS):
        yield f"loan-closed: loans {loans} instead of {sorted(LOANS)}"


def _account_is_sound(account: tuple[str, str, str], changes: list[Any]) -> Iterator[str]:
    name = "/".join(account)
    if [change["sequence"] for change in changes] != list(range(1, len(changes) + 1)):
        yield f"balance-changed of {name}: the sequence has gaps or is out of order"
    before = {"active": "0.00", "transferred": "0.00", "total": "0.00"}
    for change in changes:
        balance = change["balance"]
        if change["previous"] != before:
            yield f"balance-changed of {name}, {change['sequence']}: previous is not the last one"
        if Decimal(balance["active"]) + Decimal(balance["transferred"]) != Decimal(
            balance["total"]
        ):
            yield f"balance-changed of {name}, {change['sequence']}: total is not the sum"
        before = balance


def batches_are_sound(outputs: Outputs) -> Iterator[str]:
    """Each XML is valid, is what its manifest says, and is chained to the one before it."""
    schema = etree.XMLSchema(etree.parse(str(CONTRACTS / "export" / "bursar-export.v1.xsd")))
    documents = {record.headers["ce_id"]: record for record in outputs.records["export-batch"]}
    previous: dict[str, str] = {}
    for record in outputs.records["export-manifest"]:
        manifest = record.json
        document = documents.pop(record.headers["ce_id"].removesuffix("/manifest"), None)
        name = f"batch {manifest['profile']} {manifest['batch_number']}"
        if document is None:
            yield f"{name}: has a manifest and no document"
            continue
        root = etree.fromstring(document.value)
        if not schema.validate(root):
            yield f"{name}: breaks the XSD: {schema.error_log}"
        yield from (f"{name}: {what}" for what in _differing(manifest, document, root))
        if manifest["previous_sha256"] != previous.get(manifest["profile"]):
            yield f"{name}: is not chained to the batch before it"
        previous[manifest["profile"]] = manifest["sha256"]
    for identity in documents:
        yield f"batch {identity}: has a document and no manifest"


def _differing(manifest: Any, document: Record, root: etree._Element) -> Iterator[str]:
    sums = [Decimal(node.text or "") for node in root.iter(f"{XB}sum")]
    ids = sorted(node.text or "" for node in root.iter(f"{XB}bursarTransactionId"))
    pairs = (
        ("sha256", manifest["sha256"], sha256(document.value).hexdigest()),
        ("sha256 header", manifest["sha256"], document.headers["bursar-sha256"]),
        ("size", manifest["size_bytes"], len(document.value)),
        ("count", manifest["count"], len(sums)),
        ("count header", str(manifest["count"]), document.headers["bursar-fine-count"]),
        ("total", Decimal(manifest["total"]), sum(sums, Decimal(0))),
        ("total header", manifest["total"], document.headers["bursar-total"]),
        ("debits", Decimal(manifest["debits"]["total"]), sum(n for n in sums if n > 0)),
        ("credits", Decimal(manifest["credits"]["total"]), sum(n for n in sums if n < 0)),
        ("patrons", manifest["patrons"], len(list(root.iter(f"{XB}user")))),
        ("lines", sorted(line["bursar_transaction_id"] for line in manifest["lines"]), ids),
        ("export number", manifest["export_number"], root.findtext(f".//{XB}exportNumber")),
    )
    for what, expected, actual in pairs:
        if expected != actual:
            yield f"{what}: the manifest says {expected}, the document {actual}"


def lines_are_sound(outputs: Outputs) -> Iterator[str]:
    """Ids have 11 digits with a check digit; the fine with marks is billed as adjusted."""
    lines = [line for manifest in outputs.manifests for line in manifest["lines"]]
    for line in lines:
        number = line["bursar_transaction_id"]
        if len(number) != ID_DIGITS or not has_check_digit(number):
            yield f"line of {line['fine_id']}: {number} is no id of {ID_DIGITS} digits"
    marked = [line for line in lines if line["fine_id"] == MARKED_FINE.fine_id]
    ids = {line["bursar_transaction_id"] for line in marked}
    expected = [(MARKED_FINE_TITLE, MARKED_FINE_BILLED)]
    printed = [
        (node.findtext(f"{XB}itemTitle"), Decimal(node.findtext(f".//{XB}sum") or ""))
        for record in outputs.records["export-batch"]
        for node in etree.fromstring(record.value).iter(f"{XB}userFineFee")
        if node.findtext(f"{XB}bursarTransactionId") in ids
    ]
    if printed != expected:
        yield f"line of {MARKED_FINE.fine_id}: {printed} is billed instead of {expected}"


def has_check_digit(number: str) -> bool:
    """Whether the last digit is right by ISO 7064, MOD 11,10, in the form of the standard."""
    product = 10
    for digit in number[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (product + int(number[-1])) % 10 == 1


async def tables_are_sound(
    database: asyncpg.Connection[asyncpg.Record], outputs: Outputs
) -> list[str]:
    """Account rows = sums of transactions = sums over fines = the last event of each account."""
    events = outputs.balances()
    problems = []
    for source, statement in SUMS.items():
        rows = await database.fetch(statement)
        sums = {
            (row["institution_id"], row["patron_id"], row["currency"]): (
                _money(row["active"]),
                _money(row["transferred"]),
            )
            for row in rows
        }
        if sums != events:
            problems.append(f"{source}: {sums} is not what the events say: {events}")
    rejected = await database.fetch("SELECT reason FROM rejected")
    published = [record.headers["bursar-reason"] for record in outputs.records["rejected"]]
    if sorted(row["reason"] for row in rejected) != sorted(published):
        problems.append("the table of rejected records is not what was published")
    return problems


def _money(minor: int | Decimal) -> Decimal:
    return Decimal(minor).scaleb(-DECIMALS)


SUMS = {
    "account": "SELECT institution_id, patron_id, currency, active, transferred FROM account",
    "ledger_transaction": """
        SELECT
            institution_id, patron_id, currency,
            sum(active_change) AS active, sum(transferred_change) AS transferred
        FROM ledger_transaction
        GROUP BY institution_id, patron_id, currency""",
    "fine": """
        SELECT
            institution_id, patron_id, currency,
            sum(remaining) AS active, sum(outstanding) AS transferred
        FROM fine
        GROUP BY institution_id, patron_id, currency""",
}
