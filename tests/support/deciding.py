"""Records that wait for a person or were rejected, and what decisions on them did."""

from dataclasses import replace
from typing import Any

from service.apply.operator_actions import DecisionResult, Justification
from service.core.words import Wait
from service.operations import parked, rejected
from service.operations.parked import ParkedFilter, ParkedRecord
from service.operations.rejected import RejectedFilter, RejectedRecord
from tests.support.installation import institution, profile
from tests.support.write_path import Record, WritePath, fine, payment

PROFILE = institution() + profile("SIS", overpayment="hold")
WHY = Justification("ann", "the bursar confirmed it")


async def parked_now(path: WritePath, **wanted: Any) -> list[ParkedRecord]:
    async with path.pool.acquire() as connection:
        return await parked.find(connection, replace(ParkedFilter(), **wanted))


async def rejected_now(path: WritePath, **wanted: Any) -> list[RejectedRecord]:
    async with path.pool.acquire() as connection:
        return await rejected.find(connection, replace(RejectedFilter(), **wanted))


async def export(path: WritePath) -> None:
    await path.export(PROFILE)


async def exported(path: WritePath) -> None:
    await path.take(fine())
    await export(path)


async def held_for_its_excess(path: WritePath) -> ParkedRecord:
    await exported(path)
    await path.take(payment(amount="100.00"))
    (item,) = await parked_now(path)
    assert item.wait is Wait.OVERPAID_HELD
    return item


async def rejected_by_the_database(path: WritePath, record: Record) -> ParkedRecord:
    """A constraint that was not thought of, and is mended afterwards."""
    await path.pool.execute("ALTER TABLE fine ADD CONSTRAINT odd CHECK (loan_id <> 'L-odd')")
    await path.take(record)
    (item,) = await parked_now(path, wait=Wait.INTERNAL_ERROR)
    return item


async def actions(path: WritePath) -> list[tuple[object, ...]]:
    rows = await path.rows(
        "SELECT action, institution_id, reason, operator, outcome FROM operator_action ORDER BY 1"
    )
    return [tuple(row.values()) for row in rows]


async def balances(path: WritePath) -> tuple[object, ...]:
    (row,) = await path.rows("SELECT active, transferred FROM account")
    return tuple(row.values())


def done(decision_result: DecisionResult) -> str:
    assert decision_result.done, decision_result.outcome
    return decision_result.outcome


def not_done(decision_result: DecisionResult) -> str:
    assert not decision_result.done
    return decision_result.outcome


async def single_rejected(path: WritePath, *records: Record) -> RejectedRecord:
    await path.take(*records)
    (item,) = await rejected_now(path)
    return item
