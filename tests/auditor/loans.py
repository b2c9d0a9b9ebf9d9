"""I10: the loan of a lost fine that was exported is closed once, if its profile says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime

from tests.auditor.evidence import Data, Evidence, Finding, Record, Row, json_of
from tests.auditor.ledger import Ledger

CONTRACT = "loan-closed.v1"
Loan = tuple[str, str]  # institution and id


def judge_loans(evidence: Evidence, ledger: Ledger) -> Iterator[Finding]:
    """What I10 has against loans."""
    stored = {
        (row["institution_id"], row["loan_id"]): row for row in evidence.tables["loan_closed"]
    }
    events = _published(evidence, stored)
    for loan in sorted(ledger.loans - stored.keys()):
        yield Finding("I10", "a loan that had to be closed is not recorded as closed", loan)
    for loan in sorted(stored.keys() - ledger.loans - _of_lines_not_taken(evidence)):
        yield Finding("I10", "a loan was closed that no exported fine closes", loan)
    if evidence.is_whole(CONTRACT):
        for loan in sorted((stored.keys() | ledger.loans) - events.keys()):
            yield Finding("I10", "the closing of a loan was not published", loan)
    for loan in sorted(events.keys() - stored.keys()):
        yield Finding("I10", "the closing of a loan was published that is not recorded", loan)
    for loan, values in sorted(events.items()):
        if len(values) > 1:
            yield Finding("I10", "the closing of a loan was published in two ways", loan)


def _published(evidence: Evidence, stored: Mapping[Loan, Row]) -> Mapping[Loan, set[bytes | None]]:
    """In which ways the closing of each loan was published."""
    events: dict[Loan, set[bytes | None]] = defaultdict(set)
    for record in evidence.published(CONTRACT):
        if (event := json_of(record.value)) is not None:
            loan = event["institution_id"], event["loan_id"]
            if not _is_of_a_lost_batch(evidence, record, event, stored.get(loan)):
                events[loan].add(record.value)
    return events


def _is_of_a_lost_batch(evidence: Evidence, record: Record, event: Data, row: Row | None) -> bool:
    """Whether a lost database has published the closing, and nothing of the batch it names: no
    recovery could adopt that batch, and the loan is closed again when its fine is exported again.
    """
    if not evidence.is_accepted(record):
        return False
    published = event["batch_number"], datetime.fromisoformat(event["closed_at"])
    return row is None or published != (row["batch_number"], row["closed_at"])


def _of_lines_not_taken(evidence: Evidence) -> set[tuple[str, str]]:
    """Loans that a batch has closed which a recovery has adopted, and whose fine has not taken its
    line: it waits, or a person has dropped it.
    """
    fines = {
        (row["institution_id"], row["fine_id"])
        for row in evidence.tables["adopted_line"]
        if row["state"] != "taken"
    }
    return {
        (row["institution_id"], row["loan_id"])
        for row in evidence.tables["loan_closed"]
        if (row["institution_id"], row["fine_id"]) in fines
    }
