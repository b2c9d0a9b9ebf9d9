"""I5: every exported fine is in one live line of one sealed batch, and no byte has changed."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

from lxml import etree

from tests.auditor.evidence import Data, Evidence, Finding, Row
from tests.auditor.facts import BatchId, batch_id
from tests.auditor.streams import minor
from tests.auditor.values import decimals

XB = "{http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans}"


class Printed(NamedTuple):
    """A line of a document: its id, amount in minor units, currency, type and owner."""

    bursar_transaction_id: str
    amount: int
    currency: str
    type: str
    owner: str


def judge_batches(evidence: Evidence) -> Iterator[Finding]:
    """What I5 has against lines and batches."""
    lines: dict[BatchId, list[Row]] = defaultdict(list)
    batches = {batch_id(row): row for row in evidence.tables["export_batch"]}
    waiting = (row for row in evidence.tables["adopted_line"] if row["state"] != "taken")
    for row in (*evidence.tables["export_line"], *waiting):
        lines[batch_id(row)].append(row)
    without_bytes = {
        batch_id(row)
        for row in evidence.tables["adopted_batch"]
        if row["document"] in ("missing", "differs")
    } | {key for key, row in batches.items() if row["document_removed_at"] is not None}
    for key, row in sorted(batches.items()):
        if key in without_bytes:  # removed after their retention, or never published
            continue
        for rule in _rules_broken(row, lines[key]):
            yield Finding("I5", rule, key)
    for key in sorted(lines.keys() - batches.keys()):
        yield Finding("I5", "a line is of a batch that was not sealed", key)
    yield from _judge_lines(evidence)
    yield from _judge_chains(evidence)
    yield from _judge_published(evidence, "export-batch.v1", "document")
    yield from _judge_published(evidence, "export-manifest.v1", "manifest")


def _rules_broken(row: Row, lines: list[Row]) -> Iterator[str]:
    """What one batch says of itself, against its bytes."""
    manifest, document = json.loads(row["manifest"]), row["document"]
    digest = sha256(document)
    if digest.digest() != row["sha256"] or digest.hexdigest() != manifest["sha256"]:
        yield "the hash is not that of the bytes"
    if len(document) != manifest["size_bytes"]:
        yield "the size is not that of the bytes"
    try:
        number, patrons, printed = read_document(document)
    except (ValueError, etree.XMLSyntaxError, AttributeError):
        yield "the document cannot be read"
        return
    if not number == manifest["export_number"] == str(row["export_number"]):
        yield "the export number is not that of the document"
    yield from _totals_broken(row, manifest, printed, patrons)
    in_document = {line.bursar_transaction_id: line.amount for line in printed}
    in_manifest = {
        line["bursar_transaction_id"]: minor(line["amount"]) for line in manifest["lines"]
    }
    in_table = {line["bursar_transaction_id"]: line["amount"] for line in lines}
    if not in_document == in_manifest == in_table or len(in_document) != len(printed):
        yield "the lines of document, manifest and table differ"
    fines = {line["bursar_transaction_id"]: line["fine_id"] for line in lines}
    if any(
        fines.get(line["bursar_transaction_id"]) != line["fine_id"] for line in manifest["lines"]
    ):
        yield "a line is of another fine than the manifest says"


def _totals_broken(row: Row, manifest: Data, printed: list[Printed], patrons: int) -> Iterator[str]:
    computed: dict[str, object] = {
        "count": len(printed),
        "total": sum(line.amount for line in printed),
        "debits": _sum([line.amount for line in printed if line.amount > 0]),
        "credits": _sum([line.amount for line in printed if line.amount < 0]),
        "patrons": patrons,
        "by_type": _by(printed, "type"),
        "by_owner": _by(printed, "owner"),
    }
    stated = {
        "count": manifest["count"],
        "total": minor(manifest["total"]),
        "debits": (manifest["debits"]["count"], minor(manifest["debits"]["total"])),
        "credits": (manifest["credits"]["count"], minor(manifest["credits"]["total"])),
        "patrons": manifest["patrons"],
        "by_type": _stated(manifest["by_type"]),
        "by_owner": _stated(manifest["by_owner"]),
    }
    for name, value in computed.items():
        if stated[name] != value:
            yield f"{name} is not that of the document"
    if (row["fine_count"], row["total"]) != (computed["count"], computed["total"]):
        yield "count or total of the table is not that of the document"
    if any(line.currency != row["currency"] for line in printed):
        yield "a line has another currency than its batch"


def _sum(amounts: list[int]) -> tuple[int, int]:
    return len(amounts), sum(amounts)


def _by(printed: list[Printed], member: str) -> dict[str, tuple[int, int]]:
    amounts: dict[str, list[int]] = defaultdict(list)
    for line in printed:
        amounts[getattr(line, member)].append(line.amount)
    return {code: _sum(each) for code, each in amounts.items()}


def _stated(entries: list[Data]) -> dict[str, tuple[int, int]]:
    return {entry["code"]: (entry["count"], minor(entry["total"])) for entry in entries}


def read_document(document: bytes) -> tuple[str, int, list[Printed]]:
    """The export number of a document, how many patrons it has, and its lines."""
    root = etree.fromstring(document, etree.XMLParser(resolve_entities=False, huge_tree=True))
    lines = []
    for fine in root.iter(f"{XB}userFineFee"):
        owner = fine.findtext(f"{XB}owneredEntity/{XB}libraryCode")
        currency = fine.findtext(f"{XB}compositeSum/{XB}currency") or ""
        amount = Decimal(fine.findtext(f"{XB}compositeSum/{XB}sum") or "")
        lines.append(
            Printed(
                fine.findtext(f"{XB}bursarTransactionId") or "",
                int(amount.scaleb(decimals(currency)[0])),
                currency,
                fine.findtext(f"{XB}fineFeeType") or "",
                owner or "institution",
            )
        )
    patrons = sum(1 for _ in root.iter(f"{XB}userExportedFineFeesList"))
    return root.findtext(f".//{XB}exportNumber") or "", patrons, lines


def _judge_lines(evidence: Evidence) -> Iterator[Finding]:
    """One live line for each fine that has one, and the fine names it."""
    live = defaultdict(list)
    for row in evidence.tables["export_line"]:
        if row["state"] == "live":
            live[row["institution_id"], row["fine_id"]].append(row["bursar_transaction_id"])
    named = {(row["institution_id"], row["fine_id"]): row for row in evidence.tables["fine"]}
    for key in sorted(live.keys() | named.keys()):
        fine = named.get(key)
        line = None if fine is None else fine["line"]
        if live.get(key, []) != ([] if line is None else [line]):
            yield Finding("I5", "a fine has not exactly the live line that it names", key)
        elif fine is not None and (fine["status"] == "Transferred") > (line is not None):
            yield Finding("I5", "a fine is Transferred without a line", key)


def _judge_chains(evidence: Evidence) -> Iterator[Finding]:
    """Numbers without gaps, each batch with the hash of the one before it, numbers used once."""
    counters = {
        (row["institution_id"], row["profile"]): row for row in evidence.tables["profile_counter"]
    }
    batches = sorted(evidence.tables["export_batch"], key=batch_id)
    before: dict[tuple[str, str], Row] = {}
    for row in batches:
        profile = batch_id(row)[:2]
        previous = before.get(profile)
        number, digest = (
            (0, None) if previous is None else (previous["batch_number"], previous["sha256"])
        )
        if row["batch_number"] != number + 1:
            yield Finding("I5", "a batch number is missing before it", batch_id(row))
        stated = json.loads(row["manifest"])["previous_sha256"]
        if row["previous_sha256"] != digest or stated != (digest and digest.hex()):
            yield Finding("I5", "its chain does not go on from the batch before it", batch_id(row))
        before[profile] = row
    for profile, last in before.items():
        counter = counters.get(profile)
        if counter is None or counter["batch_number"] != last["batch_number"]:
            yield Finding("I5", "the counter is not at the last batch", profile)
    used = Counter((row["institution_id"], row["export_number"]) for row in batches)
    for key, count in used.items():
        if count > 1:
            yield Finding("I5", "an export number was used twice", (key[0], str(key[1])))


def _judge_published(evidence: Evidence, contract: str, column: str) -> Iterator[Finding]:
    """Every batch was published with its bytes, and no other."""
    stored = {"/".join(map(str, batch_id(row))): row for row in evidence.tables["export_batch"]}
    published = set()
    for record in evidence.published(contract):
        name = record.header("ce_id").removesuffix("/manifest")
        published.add(name)
        row = stored.get(name)
        if row is None:
            yield Finding("I5", f"a {column} was published that was not sealed", (name,))
        elif sha256(record.value or b"").digest() != _digest_of(row, column):
            yield Finding("I5", f"a {column} was published with other bytes", (name,))
    if evidence.is_whole(contract):
        for name in sorted(stored.keys() - published):
            yield Finding("I5", f"a {column} was not published", (name,))


def _digest_of(row: Row, column: str) -> bytes:
    """The digest of the bytes of a batch, also if they were removed after their retention."""
    is_removed = column == "document" and row["document_removed_at"] is not None
    digest: bytes = row["sha256"] if is_removed else sha256(row[column]).digest()
    return digest
