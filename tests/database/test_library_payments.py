"""Payments and waivers in the library after an export, each in a commit of its own."""

from __future__ import annotations

import asyncio

import pytest

from service.core.after_export import change_credit_id
from service.core.ledger import SourceKey
from tests.support.exports import check_sealed, fine_ids, profiles_with, run
from tests.support.inputs import ABSENT
from tests.support.write_path import (
    Record,
    Row,
    WritePath,
    balance_streams,
    change,
    fine,
    member_of,
    payment,
    response,
    write_path,
)

PROFILES = profiles_with(library_payments="credit", credits={"included": True})
ONLY = profiles_with(library_payments="credit", credits={"included": True}, mode="export_only")
CREDIT = change_credit_id(SourceKey("6050", "ALMA", "C-1"))


def pays(amount: str, number: int = 1, fine_id: str = "F-1", kind: str = "paid") -> Record:
    return change(change_id=f"C-{number}", fine_id=fine_id, kind=kind, amount=amount)


async def exported(path: WritePath, *, only: bool = False) -> None:
    await path.take(fine(amount="25.00"))
    await run(path, ONLY if only else PROFILES)


async def outcomes(path: WritePath, *records: Record) -> dict[str, int]:
    return dict((await path.take(*records)).outcomes)


async def balance(path: WritePath) -> Row:
    (row,) = await path.rows("SELECT active, transferred FROM account")
    return row


async def test_a_fine_that_is_paid_at_the_desk_after_its_transfer_becomes_a_credit_line(
    path: WritePath,
) -> None:
    await exported(path)
    assert await outcomes(path, pays("25.00")) == {"applied": 1}
    assert await balance(path) == {"active": -2500, "transferred": 2500}
    (stream,) = (await balance_streams(path.pool)).values()
    event = stream[-1]
    transaction = member_of(event, "transaction")
    assert (transaction["kind"], transaction["amount"]) == ("credit", "-25.00")
    assert event["library"] == {"source": "ALMA", "change_id": "C-1"}
    shown = member_of(event, "fine")
    assert (shown["fine_id"], shown["credit_of"]) == (CREDIT, "F-1")
    await run(path, PROFILES)
    assert fine_ids(await check_sealed(path)) == [["F-1"], [CREDIT]]
    assert await balance(path) == {"active": 0, "transferred": 0}


async def test_a_profile_that_does_not_say_so_rejects_it(path: WritePath) -> None:
    await path.take(fine(amount="25.00"))
    await run(path, profiles_with())
    assert await outcomes(path, pays("25.00")) == {"rejected:already_exported": 1}


@pytest.mark.parametrize("only", [False, True])
async def test_credits_of_earlier_commits_count(path: WritePath, only: bool) -> None:
    """What was waived or cancelled of them does not, whenever that was."""
    await exported(path, only=only)
    assert await outcomes(path, pays("10.00")) == {"applied": 1}
    assert await outcomes(path, pays("15.01", 2)) == {"rejected:exceeds_remaining": 1}
    by_library = fine(fine_id="C", type="CREDIT", amount="-8.00", credit_of="F-1")
    assert await outcomes(path, by_library) == {"applied": 1}
    assert await outcomes(path, pays("7.01", 3)) == {"rejected:exceeds_remaining": 1}
    assert await outcomes(path, pays("3.00", 4, "C", "waived")) == {"applied": 1}
    assert await outcomes(path, pays("5.00", 5, "C")) == {"applied": 1}  # paid out at the desk
    assert await outcomes(path, pays("10.01", 6)) == {"rejected:exceeds_remaining": 1}
    gone = change(change_id="C-7", fine_id=CREDIT, kind="cancelled", amount=ABSENT, currency=ABSENT)
    assert await outcomes(path, gone) == {"applied": 1}
    assert await outcomes(path, pays("20.01", 8)) == {"rejected:exceeds_remaining": 1}
    assert await outcomes(path, pays("20.00", 9)) == {"applied": 1}
    detail = await path.rows("SELECT DISTINCT detail FROM rejected")
    assert all("at the bursar" in str(row["detail"]) for row in detail)


async def test_the_credit_of_an_excess_does_not_count(path: WritePath) -> None:
    await exported(path)
    await path.take(
        payment(payment_id="A", amount="10.00"), payment(payment_id="B", amount="20.00")
    )
    await path.take(
        payment(
            payment_id="R",
            kind="reversal",
            reverses_payment_id="A",
            fine_id=ABSENT,
            amount=ABSENT,
            currency=ABSENT,
        )
    )
    assert await path.value("SELECT outstanding FROM fine WHERE fine_id = 'F-1'") == 1000
    assert await outcomes(path, pays("10.01")) == {"rejected:exceeds_remaining": 1}
    assert await outcomes(path, pays("10.00", 2)) == {"applied": 1}


async def test_two_payments_on_two_connections_do_not_exceed_what_is_owed_together(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for number in range(10):
            await path.take(fine(fine_id=f"F-{number}", amount="25.00"))
        await run(path, PROFILES)
        for number in range(10):
            first, second = await asyncio.gather(
                path.take(pays("15.00", number, f"F-{number}")),
                other.take(pays("15.00", 100 + number, f"F-{number}")),
            )
            assert sorted([*first.outcomes, *second.outcomes]) == [
                "applied",
                "rejected:exceeds_remaining",
            ]
    assert await path.value("SELECT active FROM account") == -10 * 1500


async def test_a_record_that_waits_for_the_credit_is_decided_with_it(path: WritePath) -> None:
    await exported(path)
    early = change(change_id="C-9", fine_id=CREDIT, kind="paid", amount="1.00")
    assert await outcomes(path, early) == {"parked:unknown_fine": 1}
    await path.take(pays("25.00"))
    assert await path.value("SELECT count(*) FROM parked") == 0
    assert await balance(path) == {"active": -2400, "transferred": 2500}


def sends_back(**overrides: object) -> Record:
    return response(outcome="refused", reason="no such student", **overrides)


async def test_the_bursar_cannot_refuse_a_line_after_the_library_was_paid(path: WritePath) -> None:
    await exported(path)
    await path.take(pays("1.00"))
    assert await outcomes(path, sends_back()) == {"rejected:already_paid": 1}
    gone = change(change_id="C-2", fine_id=CREDIT, kind="cancelled", amount=ABSENT, currency=ABSENT)
    await path.take(gone)
    assert await outcomes(path, sends_back(response_id="R-2")) == {"applied": 1}


async def test_the_bursar_cannot_refuse_a_line_while_it_has_a_credit_of_the_fine(
    path: WritePath,
) -> None:
    await exported(path)
    await path.take(fine(fine_id="C", type="CREDIT", amount="-8.00", credit_of="F-1"))
    await run(path, PROFILES)
    assert await outcomes(path, sends_back()) == {"rejected:already_paid": 1}
    assert await outcomes(path, sends_back(response_id="R-2", batch_number=2)) == {"applied": 1}
    assert await outcomes(path, sends_back(response_id="R-3")) == {"applied": 1}


async def test_an_answer_that_refuses_the_fine_and_its_credit_is_applied(path: WritePath) -> None:
    await path.take(
        fine(amount="25.00"), fine(fine_id="C", type="CREDIT", amount="-8.00", credit_of="F-1")
    )
    await run(path, PROFILES)
    assert await outcomes(path, sends_back()) == {"applied": 1}
    assert await balance(path) == {"active": 1700, "transferred": 0}
