"""I10: the loan of a lost fine that was exported is closed once, if its profile says so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.auditor.evidence import Evidence, Finding, json_of
from tests.auditor.ledger import Ledger

CONTRACT = "loan-closed.v1"


def judge_loans(evidence: Evidence, ledger: Ledger) -> Iterator[Finding]:
    """What I10 has against loans."""
    stored = Counter(
        (row["institution_id"], row["loan_id"]) for row in evidence.tables["loan_closed"]
    )
    events: dict[tuple[str, str], set[bytes | None]] = defaultdict(set)
    for record in evidence.published(CONTRACT):
        if (event := json_of(record.value)) is not None:
            events[event["institution_id"], event["loan_id"]].add(record.value)
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
