"""Bad records that stop a topic, and what waits then."""

from __future__ import annotations

from service.apply.applier import Applier
from service.apply.operator_actions import DecisionResult, Justification
from service.core.breaker import EVERY, StopKey
from service.database import intake_stops
from service.database.intake_stops import StopState
from service.database.ledger_read import LedgerReader
from service.messages.decode import parse
from service.operations.intake_stops import TakeStopped, resume
from service.settings.parts import ApplyLimits
from tests.support.guards import Unguarded
from tests.support.inputs import bursar_payment
from tests.support.write_path import OUTPUTS, PREFIX, Record, WritePath, payment, record

MAX = 3
PAYMENTS = f"{PREFIX}bursar-payment.v1"
WHY = Justification("tester", "a test")


def stops_after(path: WritePath, bad_max: int = MAX) -> None:
    """From now on so many bad records in a row stop a topic."""
    limits = ApplyLimits(bad_records_in_a_row_max=bad_max)
    path.applier = Applier(Unguarded(path.pool), LedgerReader(parse), OUTPUTS, limits)


def bad(institution_id: str | None = "6050", number: int = 0) -> Record:
    """A payment without an amount, or one that is no JSON and so names no institution."""
    if institution_id is None:
        return record("bursar-payment.v1", b"no JSON")
    members = {"institution_id": institution_id, "payment_id": f"BAD-{number}", "amount": "much"}
    return record("bursar-payment.v1", bursar_payment(**members))


def pays(payment_id: str, institution_id: str = "6050", **members: object) -> Record:
    return payment(payment_id=payment_id, institution_id=institution_id, **members)


async def stops_of(path: WritePath) -> list[StopState]:
    async with path.pool.acquire() as connection:
        return list(await intake_stops.stops(connection))


async def stopped(path: WritePath) -> list[str]:
    """For which institutions the topic of payments is stopped, and "all"."""
    states = await stops_of(path)
    assert {state.key.topic for state in states} <= {PAYMENTS}
    return [state.key.institution_id or "all" for state in states]


async def resumed(
    path: WritePath, institution_id: str = EVERY, bad_records: int | None = None
) -> DecisionResult:
    """A person resumes the topic of payments."""
    key = StopKey(PAYMENTS, institution_id)
    (state,) = [state for state in await stops_of(path) if state.key == key]
    return await resume(path.applier, state, WHY, bad_records, MAX)


async def take_waiting(path: WritePath) -> int:
    return await TakeStopped(path.applier).run_once()


async def payments_known(path: WritePath) -> list[str]:
    """Those with an identity."""
    rows = await path.rows("SELECT payment_id FROM payment ORDER BY payment_id")
    return [str(row["payment_id"]) for row in rows]
