"""Sums that name a patron alone, through the write path: tables, events, sweep, bounds."""

from __future__ import annotations

import pytest

from service.database import lump_sums
from service.operations.reconcile import reconcile
from tests.support.lump_sums import (
    HOLDS,
    PROFILES,
    REJECTS,
    outstanding,
    owes,
    parts,
    paying_oldest_first,
    pays_sum,
    waits,
)
from tests.support.write_path import (
    WritePath,
    fine,
    member_of,
    outbox_of,
    payment,
    response,
    reversal,
)


@pytest.fixture
def path(path: WritePath) -> WritePath:
    return paying_oldest_first(path)


async def test_a_sum_pays_the_fines_in_the_order_of_their_export(path: WritePath) -> None:
    await path.take(owes("F-9", "20.00"))
    await path.export(PROFILES)
    await path.take(owes("F-1", "30.00"), owes("F-2", "30.00", "P-2"))
    await path.export(PROFILES)
    report = await path.take(pays_sum("25.00"))
    assert report.outcomes == {"applied": 1}
    assert await outstanding(path) == {"F-1": 25_00, "F-2": 30_00, "F-9": 0}
    assert await parts(path) == [
        {"payment_id": "SUM-1", "place": 1, "fine_id": "F-9", "amount": 20_00},
        {"payment_id": "SUM-1", "place": 2, "fine_id": "F-1", "amount": 5_00},
    ]
    (row,) = await path.rows("SELECT state, fine_id, applied, excess FROM payment")
    assert tuple(row.values()) == ("applied", None, 25_00, 0)
    events = [sent.data for sent in await outbox_of(path.pool, "balance-changed.v1")][-2:]
    assert [member_of(event, "fine")["fine_id"] for event in events] == ["F-9", "F-1"]
    assert {member_of(event, "payment")["payment_id"] for event in events} == {"SUM-1"}


async def test_the_order_of_export_is_by_number_and_not_by_text(path: WritePath) -> None:
    await path.take(owes("F-1", "1.00"), owes("F-2", "1.00"))
    await path.export(PROFILES)
    await path.pool.execute("ALTER TABLE export_line DISABLE TRIGGER USER")
    for fine_id, line in (("F-1", "1000"), ("F-2", "999")):
        await path.pool.execute(
            "UPDATE export_line SET bursar_transaction_id = $2 WHERE fine_id = $1", fine_id, line
        )
        await path.pool.execute("UPDATE fine SET line = $2 WHERE fine_id = $1", fine_id, line)
    await path.take(pays_sum("0.50"))
    assert await outstanding(path) == {"F-1": 1_00, "F-2": 50}


async def test_a_sum_that_waits_is_paid_in_the_commit_of_the_export(path: WritePath) -> None:
    await path.take(owes("F-1", "20.00"), pays_sum("30.00"))
    assert await waits(path) == [("SUM-1", "unallocated")]
    await path.export(PROFILES)
    assert await waits(path) == []
    assert await outstanding(path) | {"F-1": 0} == await outstanding(path)
    (credit,) = await path.rows("SELECT amount, credit_of, status FROM fine WHERE amount < 0")
    assert tuple(credit.values()) == (-10_00, "F-1", "Active")
    assert (await reconcile(path.pool, None, 100)).differences == ()


async def test_a_sum_of_an_unknown_patron_makes_no_account(path: WritePath) -> None:
    report = await path.take(pays_sum("30.00", "P-TYPO"))
    assert report.outcomes == {"parked:unallocated": 1}
    assert await path.value("SELECT count(*) FROM account") == 0
    (row,) = await path.rows("SELECT patron_id, currency, rule, tried, waits FROM payment_sum")
    assert tuple(row.values()) == ("P-TYPO", "USD", "oldest_first", 0, True)
    await path.take(owes("F-1", "20.00", "P-TYPO"))
    await path.export(PROFILES)
    assert (await outstanding(path))["F-1"] == 0


async def test_the_setting_at_its_arrival_stays_with_a_sum(path: WritePath) -> None:
    path.applier._lump_rules = {}
    await path.take(owes("F-1", "20.00"), pays_sum("5.00"))
    paying_oldest_first(path)
    await path.take(pays_sum("5.00", payment_id="SUM-2"))
    await path.export(PROFILES)
    assert await waits(path) == [("SUM-1", "unallocated")]
    assert await outstanding(path) == {"F-1": 15_00}


async def test_repeats_and_conflicts_of_sums(path: WritePath) -> None:
    await path.take(owes("F-1", "20.00"), owes("F-2", "20.00", "P-2"))
    await path.export(PROFILES)
    await path.take(pays_sum("5.00"), pays_sum("5.00"))
    report = await path.take(pays_sum("5.00"), pays_sum("5.00", "P-2"))
    assert report.outcomes == {"repeat": 1, "rejected:payment_conflict": 1}
    assert await outstanding(path) == {"F-1": 15_00, "F-2": 20_00}


async def test_a_reversal_undoes_all_parts_and_the_credit(path: WritePath) -> None:
    await path.take(owes("F-1", "20.00"), owes("F-2", "30.00"))
    await path.export(PROFILES)
    await path.take(pays_sum("60.00"))
    line = await path.value("SELECT line FROM fine WHERE fine_id = 'F-2'")
    lines = [{"bursar_transaction_id": line, "reason": "no such student"}]
    answer = response(profile="SIS", outcome="partial", refused_lines=lines)
    assert (await path.take(answer)).outcomes == {"rejected:already_paid": 1}
    report = await path.take(reversal("R-1", "SUM-1"))
    assert report.outcomes == {"applied": 1}
    assert await outstanding(path) | {"F-1": 20_00, "F-2": 30_00} == await outstanding(path)
    (row,) = await path.rows("SELECT active, transferred FROM account")
    assert tuple(row.values()) == (0, 50_00)
    assert await path.value("SELECT sum(payments_live) FROM fine") == 0
    assert (await reconcile(path.pool, None, 100)).differences == ()
    again = await path.take(reversal("R-2", "SUM-1"))
    assert again.outcomes == {"rejected:already_reversed": 1}


async def test_a_reversal_that_comes_first_waits_behind_its_sum(path: WritePath) -> None:
    await path.take(reversal("R-1", "SUM-1"), owes("F-1", "20.00"))
    await path.take(pays_sum("20.00"))
    assert await waits(path) == [("R-1", "unknown_original"), ("SUM-1", "unallocated")]
    await path.export(PROFILES)
    assert await waits(path) == []
    assert await outstanding(path) == {"F-1": 20_00}


async def test_a_reversal_sets_a_waiting_sum_free(path: WritePath) -> None:
    await path.take(owes("F-1", "20.00"))
    await path.export(PROFILES)
    await path.take(payment(payment_id="P", amount="20.00"), pays_sum("15.00"))
    assert await waits(path) == [("SUM-1", "unallocated")]
    await path.take(reversal("R", "P"))
    assert await waits(path) == []
    assert await outstanding(path) == {"F-1": 5_00}


async def test_what_a_reversal_makes_outstanding_keeps_its_place_in_the_order(
    path: WritePath,
) -> None:
    """A paid fine is not among those that a sum may pay, unless it was exported last."""
    for fine_id in ("F-1", "F-2", "F-3"):
        await path.take(owes(fine_id, "10.00"))
        await path.export(PROFILES)
    await path.take(pays_sum("30.00"), pays_sum("15.00", payment_id="SUM-2"))
    assert await waits(path) == [("SUM-2", "unallocated")]
    await path.take(reversal("R-1", "SUM-1"))
    assert await outstanding(path) == {"F-1": 0, "F-2": 5_00, "F-3": 10_00}
    payment_of_fine = payment(payment_id="PAY", fine_id="F-2", amount="5.00")
    await path.take(
        reversal("R-2", "SUM-2"), pays_sum("10.00", payment_id="SUM-3"), payment_of_fine
    )
    assert await outstanding(path) == {"F-1": 0, "F-2": 5_00, "F-3": 10_00}


async def test_a_sum_that_is_rejected_keeps_its_identity(path: WritePath) -> None:
    await path.take(owes("F-1", "20.00"))
    await path.export(REJECTS)
    report = await path.take(pays_sum("20.01"), pays_sum("20.01"))
    assert report.outcomes == {"rejected:overpaid": 1, "repeat": 1}


async def test_a_sum_that_is_held_is_not_tried_again(path: WritePath) -> None:
    await path.take(owes("F-1", "20.00"))
    await path.export(HOLDS)
    await path.take(pays_sum("20.01"), owes("F-2", "1.00"))
    assert await waits(path) == [("SUM-1", "overpaid_held")]
    await path.export(HOLDS)
    await path.sweep()
    assert await waits(path) == [("SUM-1", "overpaid_held")]


async def test_a_patron_beside_a_fine_must_be_the_fines(path: WritePath) -> None:
    await path.take(fine())
    await path.export(PROFILES)
    report = await path.take(
        payment(payment_id="P-1", amount="1.00", patron_id="P-2"),
        payment(payment_id="P-2", amount="1.00", patron_id="P-1"),
    )
    assert report.outcomes == {"rejected:reference_mismatch": 1, "applied": 1}


async def test_an_export_reads_a_bounded_number_of_sums_and_the_sweep_the_others(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lump_sums, "WAITING_SUMS_MAX", 3)
    sums = [pays_sum("1.00", payment_id=f"SUM-{number}") for number in range(10)]
    await path.take(owes("F-1", "8.00"), *sums)
    await path.export(PROFILES)
    assert await outstanding(path) == {"F-1": 5_00}
    assert [name for name, _ in await waits(path)] == [f"SUM-{number}" for number in range(3, 10)]
    await path.sweep()
    assert await outstanding(path) == {"F-1": 0}
    assert [name for name, _ in await waits(path)] == ["SUM-8", "SUM-9"]


async def test_the_sweep_tries_no_sum_that_was_tried_since(path: WritePath) -> None:
    await path.take(owes("F-1", "8.00"), pays_sum("9.00"))
    await path.export(REJECTS)
    assert await waits(path) == [("SUM-1", "unallocated")]
    rows = await path.rows("SELECT tried, waits FROM payment_sum")
    assert rows == [{"tried": 2, "waits": True}]
    before = await path.value("SELECT xmin::text FROM payment_sum")
    await path.sweep()
    assert await path.value("SELECT xmin::text FROM payment_sum") == before


async def test_sums_of_ten_thousand_records_leave_an_export_quick(path: WritePath) -> None:
    """The number of sums that an export reads does not depend on how many wait."""
    await path.take(owes("F-1", "1.00"))
    await path.pool.execute(
        "INSERT INTO payment_sum"
        " (institution_id, source, payment_id, patron_id, currency, rule, tried, waits)"
        " SELECT '6050', 'OLD', n::text, 'P-1', 'USD', 'oldest_first', 0, TRUE"
        " FROM generate_series(1, 10000) AS n"
    )
    await path.export(PROFILES)
    assert await outstanding(path) == {"F-1": 1_00}


async def test_a_sum_on_which_the_program_fails_stops_no_export(path: WritePath) -> None:
    await path.take(owes("F-1", "20.00"), pays_sum("5.00"), pays_sum("6.00", payment_id="SUM-2"))
    await path.pool.execute(
        "UPDATE parked_original SET record_value = convert_to('{}', 'UTF8') WHERE id = 'SUM-1'"
    )
    await path.export(PROFILES)
    assert await outstanding(path) == {"F-1": 14_00}
    assert await path.value("SELECT id FROM parked_failure") == "SUM-1"
