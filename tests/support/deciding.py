"""Records that wait for a person or were rejected, and what decisions on them did."""

import json

from service.apply.operator_actions import DecisionResult, Justification
from service.core.words import Wait
from service.operations import parked, rejected
from service.operations.parked_records import ParkedFilter, ParkedRecord
from service.operations.rejected import RejectedFilter, RejectedRecord
from tests.contracts import examples
from tests.support.installation import institution, profile
from tests.support.write_path import PREFIX, Record, Row, WritePath, fine, outbox_of, payment

PROFILE = institution() + profile("SIS", overpayment="hold")
ALL_PARKED = ParkedFilter()
ALL_REJECTED = RejectedFilter()
WHY = Justification("ann", "the bursar confirmed it")


async def parked_now(path: WritePath, selected: ParkedFilter = ALL_PARKED) -> list[ParkedRecord]:
    async with path.pool.acquire() as connection:
        return await parked.find(connection, selected)


async def rejected_now(
    path: WritePath, selected: RejectedFilter = ALL_REJECTED
) -> list[RejectedRecord]:
    async with path.pool.acquire() as connection:
        return await rejected.find(connection, selected)


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
    (item,) = await parked_now(path, ParkedFilter(wait=Wait.INTERNAL_ERROR))
    return item


async def actions(path: WritePath) -> list[tuple[object, ...]]:
    rows = await path.rows(
        "SELECT action, institution_id, reason, operator, outcome FROM operator_action ORDER BY 1"
    )
    await check_published(path)
    return [tuple(row.values()) for row in rows]


async def check_published(path: WritePath, prefix: str = PREFIX) -> list[Row]:
    """Every decision that is stored was queued for its topic; returns what was published.

    The texts that people wrote are not.
    """
    stored = await path.rows(
        "SELECT action_id, action, institution_id, subject - 'details' AS subject,"
        " subject -> 'details' AS details, outcome, reason, operator FROM operator_action"
        " ORDER BY action_id"
    )
    sent = await outbox_of(path.pool, "operator-action.v1", prefix)
    events = [each.data for each in sent]
    assert len(events) == len(stored)
    for event, row, record in zip(events, stored, sent, strict=True):
        assert examples.faults("operator-action", record.value or b"") == []
        subject, details = json.loads(str(row["subject"])), row["details"]
        assert event["subject"] == subject
        assert event.get("details") == (None if details is None else json.loads(str(details)))
        for name in ("action_id", "action", "outcome"):
            assert event[name] == row[name]
        assert event.get("institution_id") == row["institution_id"]
        for name in ("reason", "operator"):
            assert str(row[name]).encode() not in (record.value or b"")
        institution_id = row["institution_id"]
        assert record.key == (None if institution_id is None else str(institution_id).encode())
    return events


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
