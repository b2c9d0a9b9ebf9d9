"""The verdicts: for each invariant, what the evidence has against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.auditor.batches import judge_batches
from tests.auditor.evidence import Evidence, Finding
from tests.auditor.facts import facts_of
from tests.auditor.inputs import Readings, inputs_of, judge_inputs, read_records
from tests.auditor.institutions import judge_institutions
from tests.auditor.ledger import replay
from tests.auditor.loans import judge_loans
from tests.auditor.streams import judge_streams

INVARIANTS: Mapping[str, str] = {
    "I1": "every sound input record is in the ledger exactly once",
    "I2": "sums of transactions, accounts and fines are those of an independent model",
    "I3": "no offset was passed over: each record was applied, repeats, waits or was rejected",
    "I4": "readers get each account's transactions once, without a gap, up to the account itself",
    "I5": "every exported fine is in one live line of one sealed batch whose bytes never change",
    "I6": "no row and no event of one institution names another's",
    "I10": "the loan of an exported lost fine is closed once, where its profile says so",
}


def judge(evidence: Evidence, readings: Readings | None = None) -> Mapping[str, Sequence[Finding]]:
    """The findings of each invariant; those that hold have none.

    `readings` are those of the same records, if they were read before.
    """
    inputs = inputs_of(evidence, readings or read_records(evidence))
    ledger = replay(evidence, facts_of(evidence, inputs))
    findings = [
        *judge_inputs(evidence, inputs),
        *ledger.findings,
        *judge_streams(evidence),
        *judge_batches(evidence),
        *judge_institutions(evidence),
        *judge_loans(evidence, ledger),
    ]
    return {
        name: [finding for finding in findings if finding.invariant == name] for name in INVARIANTS
    }


def broken(evidence: Evidence, readings: Readings | None = None) -> list[Finding]:
    """All findings; none if every invariant holds."""
    return [finding for findings in judge(evidence, readings).values() for finding in findings]
