"""I6: no row and no event of one institution names what belongs to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from lxml import etree

from tests.auditor.batches import XB
from tests.auditor.evidence import Evidence, Finding, Record, json_of

# Tables whose rows name a fine, and the columns that name the row.
NAMING_FINES: Mapping[str, tuple[str, ...]] = {
    "ledger_transaction": ("patron_id", "currency", "sequence"),
    "export_line": ("bursar_transaction_id",),
    "loan_closed": ("loan_id",),
}
NAMING_BATCHES: Mapping[str, tuple[str, ...]] = {
    "export_line": ("bursar_transaction_id",),
}
EVENTS = ("balance-changed.v1", "loan-closed.v1")
BATCHES = ("export-batch.v1", "export-manifest.v1")


def judge_institutions(evidence: Evidence) -> Iterator[Finding]:
    """What I6 has against rows and events."""
    yield from _judge_fines(evidence)
    yield from _judge_batches(evidence)
    for contract in EVENTS:
        for record in evidence.published(contract):
            if not _is_of_its_institution(record):
                yield Finding("I6", "an event names two institutions", _ids(record))
    for contract in BATCHES:
        for record in evidence.published(contract):
            if len({*_institutions(record), *_in_body(record)} - {None}) != 1:
                yield Finding("I6", "a batch names two institutions", _ids(record))
    for table in ("rejected", "parked"):
        for row in evidence.tables[table]:
            body = json_of(row["record_value"])
            named = None if body is None else body.get("institution_id")
            is_text = isinstance(named, str) and row["institution_id"] is not None
            if is_text and named != row["institution_id"]:
                place = (row["topic"], row["partition"], row["record_offset"])
                yield Finding("I6", f"a row of {table} is under another institution", place)


def _judge_fines(evidence: Evidence) -> Iterator[Finding]:
    """A fine that a row names is one of its institution, and of its account."""
    homes = defaultdict(set)
    accounts = {}
    for row in evidence.tables["fine"]:
        homes[row["fine_id"]].add(row["institution_id"])
        accounts[row["institution_id"], row["fine_id"]] = (row["patron_id"], row["currency"])
    for table, columns in NAMING_FINES.items():
        for row in evidence.tables[table]:
            ids = (row["institution_id"], *(row[name] for name in columns))
            others = homes.get(row["fine_id"], set())
            if row["institution_id"] not in others:
                where = "only another institution has" if others else "is not there"
                invariant = "I6" if others else "I2"
                yield Finding(invariant, f"a row of {table} names a fine that {where}", ids)
            elif table == "ledger_transaction":
                account = accounts[row["institution_id"], row["fine_id"]]
                if account != (row["patron_id"], row["currency"]):
                    yield Finding("I6", "a transaction names a fine of another account", ids)


def _judge_batches(evidence: Evidence) -> Iterator[Finding]:
    """A batch that a row names is one of its institution."""
    homes = defaultdict(set)
    for row in evidence.tables["export_batch"]:
        homes[row["profile"], row["batch_number"]].add(row["institution_id"])
    for table, columns in NAMING_BATCHES.items():
        for row in evidence.tables[table]:
            others = homes.get((row["profile"], row["batch_number"]), set())
            if others and row["institution_id"] not in others:
                ids = (row["institution_id"], *(row[name] for name in columns))
                yield Finding("I6", f"a row of {table} is of another institution's batch", ids)


def _is_of_its_institution(record: Record) -> bool:
    """Whether key, subject and body name the same institution and patron."""
    body = json_of(record.value)
    if body is None:
        return False
    key = f"{body.get('institution_id')}/{body.get('patron_id')}"
    subject = record.header("ce_subject")
    is_of_patron = subject.startswith((f"{key}/", f"{body.get('institution_id')}/"))
    return record.key == key.encode() and is_of_patron and record.header("ce_partitionkey") == key


def _institutions(record: Record) -> set[str | None]:
    """The institutions in the key and the headers of a batch's record."""
    key = (record.key or b"").decode(errors="replace")
    texts = (key, record.header("ce_id"), record.header("ce_subject"))
    return {text.partition("/")[0] for text in texts if text}


def _in_body(record: Record) -> set[str | None]:
    body = json_of(record.value)
    if body is not None:
        return {body.get("institution_id")}
    try:
        root = etree.fromstring(record.value or b"", etree.XMLParser(resolve_entities=False))
    except etree.XMLSyntaxError:
        return {"?"}
    return {each.text for each in root.iter(f"{XB}InstitutionId") if each.text != "null"}


def _ids(record: Record) -> tuple[object, ...]:
    return (*record.place, record.header("ce_id"), (record.key or b"").decode(errors="replace"))
