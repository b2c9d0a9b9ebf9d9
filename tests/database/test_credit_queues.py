"""What waits for a credit that a payment is about to make moves with that payment."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.core.ledger import SourceKey
from service.core.payments import excess_credit_id
from tests.support.exports import profiles_with, run
from tests.support.inputs import ABSENT
from tests.support.write_path import Record, WritePath, change, fine, payment

CREDIT = excess_credit_id(SourceKey("6050", "SAP", "PAY-1"))
WAIVED = change(fine_id=CREDIT, change_id="C-1", kind="waived", amount="2.00")
CANCELLED = change(
    fine_id=CREDIT, change_id="C-2", kind="cancelled", amount=ABSENT, currency=ABSENT
)
OVERPAID = payment(payment_id="PAY-1", amount="15.00")
REVERSED = payment(
    payment_id="R-1",
    kind="reversal",
    reverses_payment_id="PAY-1",
    fine_id=ABSENT,
    amount=ABSENT,
    currency=ABSENT,
)


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    """A fine of 10.00 that was exported."""
    await path.take(fine(fine_id="F-1", amount="10.00"))
    await run(path, profiles_with())
    return path


@pytest.mark.parametrize(
    "polls",
    [[[WAIVED, OVERPAID, REVERSED]], [[WAIVED], [OVERPAID, REVERSED]], [[WAIVED], [OVERPAID]]],
    ids=["one poll", "two polls", "three polls"],
)
async def test_a_change_that_waits_for_the_credit_goes_before_newer_records(
    path: WritePath, polls: Sequence[Sequence[Record]]
) -> None:
    for poll in polls:
        await path.take(*poll)
    if REVERSED not in polls[-1]:
        await path.take(REVERSED)
    assert await path.rows("SELECT active, transferred FROM account") == [
        {"active": -300, "transferred": 0}
    ]
    assert await path.rows("SELECT state FROM fine_change") == [{"state": "applied"}]
    (reversal,) = await path.rows("SELECT state, reason FROM payment WHERE payment_id = 'R-1'")
    assert reversal == {"state": "rejected", "reason": "credit_already_exported"}


async def test_a_newer_change_does_not_overtake_one_that_waits_for_the_credit(
    path: WritePath,
) -> None:
    await path.take(WAIVED)
    await path.take(OVERPAID, CANCELLED)
    changes = await path.rows("SELECT change_id, state FROM fine_change ORDER BY change_id")
    assert [row["state"] for row in changes] == ["applied", "applied"]
    assert await path.rows("SELECT id FROM parked") == []
