"""Fines that the library adjusts or disputes before their export, in PostgreSQL (rules.md, 2b)."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import pytest

from tests.support.commands import Commands
from tests.support.exports import check_sealed, lines_of_manifest
from tests.support.inputs import ABSENT
from tests.support.reporting import STORY, export
from tests.support.write_path import Record, WritePath, change, fine, outbox_of, payment, response

NO_MONEY = {"amount": ABSENT, "currency": ABSENT}
AMENDMENT = "SELECT amount_created, adjusted_at, disputed_at FROM fine_amendment"


def adjusted(amount: str, change_id: str = "A-1", minute: int = 0, **more: object) -> Record:
    members = {"kind": "adjusted", "amount": amount, "changed_at": at(minute)}
    return change(**{**members, "change_id": change_id, **more})


def at(minute: int) -> str:
    return f"2026-09-02T10:{minute:02}:00Z"


async def fines_of_events(path: WritePath) -> list[dict[str, str]]:
    """The member `fine` of each balance-changed event, in order."""
    events = await outbox_of(path.pool, "balance-changed.v1")
    return [cast(dict[str, str], event.data["fine"]) for event in events]


async def test_a_fine_that_grew_before_its_export_is_billed_as_it_is_then(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(amount="5.00"))
    await path.take(adjusted("7.50"))
    await export(path)
    await path.take(payment(amount="2.00"))
    (manifest,) = await check_sealed(path)
    assert [line["amount"] for line in lines_of_manifest(manifest)] == ["7.50"]
    fines = await fines_of_events(path)
    assert [(row["amount"], row.get("amount_created")) for row in fines] == [
        ("5.00", None),
        *[("7.50", "5.00")] * 3,
    ]
    assert await path.rows("SELECT amount, amount_created, outstanding FROM report_fine") == [
        {"amount": 7_50, "amount_created": 5_00, "outstanding": 5_50}
    ]
    story = await commands.lines(*STORY, "--fine", "F-1")
    assert (story[0]["amount"], story[0]["amount_created"]) == ("7.50", "5.00")
    assert ("adjustment", "2.50") in [(row["kind"], row.get("amount")) for row in story[1:]]
    shown = ("held", "show", "--institution", "6050", "--fine", "F-1")
    (card,) = await commands.lines(*shown)
    assert (card["amount"], card["amount_created"]) == ("7.50", "5.00")


async def test_an_amount_is_kept_from_poll_to_poll(path: WritePath) -> None:
    await path.take(fine(amount="5.00"), adjusted("7.50", minute=1))
    for amount, change_id, minute, outcome in (
        ("9.00", "A-2", 0, "rejected:overtaken"),
        ("7.50", "A-3", 2, "rejected:no_change"),
        ("9.00", "A-4", 1, "rejected:overtaken"),
        ("5.00", "A-5", 2, "applied"),
    ):
        report = await path.take(adjusted(amount, change_id, minute))
        assert report.outcomes == {outcome: 1}, change_id
    assert await path.value("SELECT amount FROM fine") == 5_00
    (row,) = await path.rows(AMENDMENT)
    instant = datetime.fromisoformat(at(2))
    assert row == {"amount_created": 5_00, "adjusted_at": instant, "disputed_at": None}
    assert "amount_created" not in (await fines_of_events(path))[-1]


@pytest.mark.parametrize("together", [True, False])
async def test_a_dispute_that_is_read_after_its_end_leaves_the_fine_active(
    path: WritePath, *, together: bool
) -> None:
    records = (
        fine(),
        change(change_id="R", kind="restored", changed_at=at(5), **NO_MONEY),
        change(change_id="D", kind="disputed", changed_at=at(0), **NO_MONEY),
    )
    await path.take_in_polls(records, len(records) if together else 1)
    assert await path.value("SELECT status FROM fine") == "Active"
    reasons = "SELECT reason FROM rejected ORDER BY record_offset"
    assert [row["reason"] for row in await path.rows(reasons)] == ["no_change", "overtaken"]
    # Releases before this know no such reason, and read this column when a change repeats.
    assert await path.rows("SELECT DISTINCT reason FROM fine_change") == [{"reason": "no_change"}]
    again = await path.take(records[2])
    assert again.outcomes == {"repeat": 1}


async def test_a_dispute_of_an_exported_fine_leaves_its_instant(path: WritePath) -> None:
    await path.take(fine())
    await export(path)
    late = await path.take(change(kind="disputed", changed_at=at(5), **NO_MONEY))
    assert late.outcomes == {"rejected:already_exported": 1}
    await path.take(response(profile="SIS", outcome="refused", reason="unreadable"))
    report = await path.take(change(change_id="R", kind="restored", changed_at=at(4), **NO_MONEY))
    assert report.outcomes == {"rejected:overtaken": 1}


async def test_changes_ahead_of_their_fine_are_decided_as_they_came(path: WritePath) -> None:
    await path.take(adjusted("7.50", "A-1", 1), adjusted("9.00", "A-2", 0))
    await path.take(fine(amount="5.00"))
    assert await path.value("SELECT remaining FROM fine") == 7_50
    assert await path.value("SELECT reason FROM rejected") == "overtaken"


async def test_only_a_change_of_the_instant_or_the_amount_writes_the_amendment(
    path: WritePath,
) -> None:
    await path.take(fine(amount="5.00"), fine(fine_id="F-2"), adjusted("7.50"))
    version = "SELECT xmin::text FROM fine_amendment"
    before = await path.value(version)
    await path.take(change(change_id="paid", amount="1.00"), payment(), payment(fine_id="F-2"))
    await export(path)
    assert await path.value(version) == before
    assert await path.value("SELECT count(*) FROM fine_amendment") == 1


async def test_a_made_credit_that_was_adjusted_is_not_whole(path: WritePath) -> None:
    await path.take(fine(amount="5.00"))
    await export(path)
    await path.take(payment(payment_id="PAID", amount="8.00"))
    credit = str(await path.value("SELECT fine_id FROM fine WHERE type = 'CREDIT'"))
    await path.take(adjusted("2.00", fine_id=credit))
    undo = payment(payment_id="R-1", kind="reversal", reverses_payment_id="PAID", **NO_MONEY)
    assert (await path.take(undo)).outcomes == {"rejected:credit_already_exported": 1}
    more = await path.take(adjusted("3.01", "A-2", fine_id=credit))
    assert more.outcomes == {"rejected:exceeds_remaining": 1}
    await path.take(adjusted("3.00", "A-3", fine_id=credit))
    undo = payment(payment_id="R-2", kind="reversal", reverses_payment_id="PAID", **NO_MONEY)
    assert (await path.take(undo)).outcomes == {"applied": 1}
    rows = await path.rows("SELECT status, remaining, outstanding FROM fine ORDER BY type DESC")
    assert [tuple(row.values()) for row in rows] == [
        ("Transferred", 0, 5_00),
        ("Closed", 0, 0),
    ]


async def test_a_cancelled_fine_that_comes_again_says_so(path: WritePath) -> None:
    await path.take(fine(), change(kind="cancelled", **NO_MONEY))
    assert (await path.take(fine())).outcomes == {"repeat:already_closed": 1}
    assert await path.value("SELECT remaining FROM fine") == 0
    assert await path.value("SELECT active FROM account") == 0
