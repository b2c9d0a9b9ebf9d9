"""What the auditor makes of events that recoveries have published again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.auditor.evidence import Evidence
from tests.auditor.recoveries import published_again

STARTED = datetime(2026, 11, 10, 8, 0, 56, tzinfo=UTC)
ACCOUNT = {"institution_id": "6050", "patron_id": "P-1", "currency": "USD"}


@pytest.mark.parametrize(
    ("announced_at", "epoch"),
    [
        (STARTED + timedelta(minutes=1), 2),
        (STARTED + timedelta(days=2), 3),  # a later recovery has published it
        (STARTED - timedelta(hours=2), 2),  # the clock of the database was set back
    ],
)
def test_an_event_that_is_published_again_has_the_epoch_of_its_time(
    announced_at: datetime, epoch: int
) -> None:
    again = {
        **ACCOUNT,
        "epoch": 2,
        "announced_sequence": 9,
        "announced_id": "again",
        "announced_at": announced_at,
    }
    recoveries = [
        {"epoch": 2, "started_at": STARTED},
        {"epoch": 3, "started_at": STARTED + timedelta(days=1)},
    ]
    tables = {
        "ledger_transaction": [{**ACCOUNT, "sequence": 1, "epoch": 1}],
        "recovery_account": [again],
        "recovery": recoveries,
    }
    (event,) = published_again(Evidence("", {}, {}, {}, tables)).values()
    assert (event["epoch"], event["sequence"], event["transaction_id"]) == (epoch, 9, "again")
