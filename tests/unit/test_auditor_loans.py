"""What the auditor has against the closing of a loan that was published twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.auditor.evidence import Evidence, Finding, Record
from tests.auditor.facts import Facts
from tests.auditor.inputs import Inputs
from tests.auditor.ledger import Ledger
from tests.auditor.loans import CONTRACT, judge_loans
from tests.auditor.model import AccountModel

BEFORE = datetime(2026, 11, 10, 8, 0, 56, tzinfo=UTC)
AFTER = datetime(2026, 11, 10, 8, 2, 28, tzinfo=UTC)
LOAN = ("6050", "L-1")


def closing(offset: int, closed_at: datetime) -> Record:
    event = {
        "institution_id": "6050",
        "loan_id": "L-1",
        "batch_number": 1,
        "closed_at": closed_at.isoformat(),
    }
    return Record(CONTRACT, 0, offset, b"6050/P-1", json.dumps(event).encode(), ())


def findings(*records: Record, accepted: int) -> list[Finding]:
    """With the second closing in the tables; a recovery has found the topic up to `accepted`."""
    row = {
        "institution_id": "6050",
        "loan_id": "L-1",
        "fine_id": "F-1",
        "batch_number": 1,
        "closed_at": AFTER,
    }
    tables = {
        "adopted_line": [],
        "loan_closed": [row],
        "outbox": [],
        "outbox_set_aside": [],
        "output_accepted": [{"topic": CONTRACT, "partition": 0, "accepted_offset": accepted}],
    }
    model = AccountModel(
        ("6050", "P-1", "USD"), Facts(Inputs({}, {}, {}, {}), {}, {}, {}, {}, frozenset())
    )
    model.loans.add("L-1")
    evidence = Evidence("", {CONTRACT: records}, {}, {}, tables)
    return list(judge_loans(evidence, Ledger({model.account: model})))


def test_a_lost_database_may_have_closed_it_for_a_batch_of_which_nothing_was_published() -> None:
    assert findings(closing(0, BEFORE), closing(1, AFTER), accepted=0) == []


@pytest.mark.parametrize(
    ("records", "accepted", "rule"),
    [
        ((BEFORE, AFTER), -1, "the closing of a loan was published in two ways"),
        ((AFTER, BEFORE), 0, "the closing of a loan was published in two ways"),
        ((BEFORE,), 0, "the closing of a loan was not published"),
    ],
    ids=["no recovery", "behind the recovery", "the new one is missing"],
)
def test_this_database_closes_it_once(
    records: tuple[datetime, ...], accepted: int, rule: str
) -> None:
    sent = [closing(offset, closed_at) for offset, closed_at in enumerate(records)]
    assert findings(*sent, accepted=accepted) == [Finding("I10", rule, LOAN)]
