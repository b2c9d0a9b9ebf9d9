"""The books against themselves: silent over a sound ledger, and each broken row is named."""

import asyncio

import pytest
from prometheus_client import generate_latest

from service.operations.reconcile import Difference, Reconcile, Reconciled, reconcile
from service.runtime.telemetry import Metrics
from tests.support.commands import Commands
from tests.support.exports import patron, waiters
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, fine, payment, response

PROFILES = (
    institution()
    + profile("SIS", fine_types=["OVERDUEFINE", "LOSTITEMFINE"], credits={"included": True})
    + profile("YEN", currency="JPY")
)


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    """A little of everything: paid in part, overpaid, written off, reversed, refused, noted."""
    await path.take(
        *(fine(fine_id=f"F-{n}", patron=patron(f"P-{n}"), amount="10.00") for n in range(6)),
        fine(fine_id="F-L", patron=patron("P-0"), amount="50.00", type="LOSTITEMFINE"),
        fine(fine_id="F-C", patron=patron("P-1"), amount="-3.00", type="CREDIT"),
        fine(fine_id="F-Y", patron=patron("P-2"), amount="700", currency="JPY"),
    )
    await path.export(PROFILES)
    line = await path.value("SELECT line FROM fine WHERE fine_id = 'F-5'")
    refused = [{"bursar_transaction_id": line, "reason": "no such student"}]
    await path.take(
        payment(payment_id="1", fine_id="F-0", amount="4.00"),
        payment(payment_id="2", fine_id="F-1", amount="12.50"),
        payment(payment_id="3", fine_id="F-2", amount="1.00", kind="write_off"),
        payment(payment_id="4", fine_id="F-3", amount="10.00"),
        payment(
            payment_id="5",
            fine_id="F-3",
            amount="10.00",
            kind="reversal",
            reverses_payment_id="4",
        ),
        payment(payment_id="6", fine_id="F-C", amount="2.00"),
        payment(payment_id="7", fine_id="F-Y", amount="200", currency="JPY"),
        payment(payment_id="8", fine_id="F-L", amount="50.00"),
        response(profile="SIS", outcome="partial", refused_lines=refused),
    )
    return path


async def broken(path: WritePath, statement: str) -> list[Difference]:
    """What is told after a row was changed behind the service's back."""
    async with path.pool.acquire() as connection:
        for table in ("ledger_transaction", "export_batch", "export_line"):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        status = await connection.execute(statement)
    assert status.endswith(" 1"), f"one row is to be broken: {status}"
    done = await reconcile(path.pool)
    assert not done.agrees
    return list(done.differences)


async def test_sound_books_agree_and_the_totals_add_up(path: WritePath) -> None:
    done = await reconcile(path.pool)
    assert done == Reconciled(done.profiles, done.accounts, (), is_cut=False)
    assert done.agrees
    result = [
        (item.profile, item.currency, item.lines, item.exported, item.paid, item.written_off)
        for item in done.profiles
    ]
    assert result == [
        ("SIS", "USD", 6, 47_00, 12_00, 1_00),
        ("YEN", "JPY", 1, 700, 200, 0),
    ]
    assert {
        account.currency: (account.active, account.transferred) for account in done.accounts
    } == {
        "JPY": (0, 500),
        "USD": (10_00 - 2_50, 34_00),
    }


@pytest.mark.usefixtures("path")
async def test_what_was_exported_is_not_called_what_is_owed_now(
    database_url: str, bootstrap_servers: str
) -> None:
    rows = await Commands(database_url, bootstrap_servers).lines(
        "reconcile", "--institution", "6050"
    )
    of_profile, accounts = (
        next(item for item in rows if item["what"] == what and item["currency"] == "USD")
        for what in ("profile", "accounts")
    )
    assert (of_profile["exported"], of_profile["outstanding"]) == ("47.00", "34.00")
    assert "transferred" not in of_profile
    assert accounts["transferred"] == "34.00"


async def test_an_institution_without_books_agrees(path: WritePath) -> None:
    assert await reconcile(path.pool, "77") == Reconciled((), (), (), is_cut=False)


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (
            "UPDATE account SET active = active + 1 WHERE patron_id = 'P-5'",
            {"active_is_not_its_transactions", "active_is_not_what_remains"},
        ),
        (
            "UPDATE account SET transferred = 0 WHERE patron_id = 'P-0'",
            {"transferred_is_not_its_transactions", "transferred_is_not_what_is_outstanding"},
        ),
        (
            "UPDATE account SET sequence = sequence + 1 WHERE patron_id = 'P-4'",
            {"sequence_is_not_the_last"},
        ),
        (
            "DELETE FROM ledger_transaction WHERE fine_id = 'F-4' AND sequence = 1",
            {
                "active_is_not_its_transactions",
                "running_active_does_not_follow",
                "sequence_has_gaps",
            },
        ),
        (
            """UPDATE ledger_transaction SET active = 1001, active_change = 1001
            WHERE fine_id = 'F-4' AND kind = 'fine'""",
            {"active_is_not_its_transactions", "running_active_does_not_follow"},
        ),
        (
            """UPDATE ledger_transaction SET transferred = 1
            WHERE fine_id = 'F-4' AND kind = 'export_and_paid'""",
            {"running_transferred_does_not_follow"},
        ),
        (
            "UPDATE fine SET remaining = remaining - 1 WHERE fine_id = 'F-5'",
            {"active_is_not_what_remains", "fine_remaining_is_not_its_last_transaction"},
        ),
        (
            "UPDATE fine SET outstanding = outstanding - 1 WHERE fine_id = 'F-4'",
            {
                "transferred_is_not_what_is_outstanding",
                "fine_outstanding_is_not_its_last_transaction",
                "outstanding_is_not_exported_less_settled",
            },
        ),
        (
            "UPDATE payment SET applied = applied - 1 WHERE payment_id = '1'",
            {"outstanding_is_not_exported_less_settled"},
        ),
        (
            "UPDATE payment SET reversed_by = NULL WHERE payment_id = '4'",
            {"outstanding_is_not_exported_less_settled"},
        ),
        (
            "DELETE FROM payment WHERE payment_id = '3'",
            {"outstanding_is_not_exported_less_settled"},
        ),
        (
            "UPDATE export_line SET state = 'refused' WHERE fine_id = 'F-4'",
            {"outstanding_is_not_exported_less_settled", "transferred_fine_has_no_live_line"},
        ),
        (
            "UPDATE export_line SET amount = amount + 1 WHERE fine_id = 'F-5'",
            {"batch_total_is_not_its_lines"},
        ),
        (
            "DELETE FROM export_line WHERE fine_id = 'F-5'",
            {"batch_total_is_not_its_lines", "batch_count_is_not_its_lines"},
        ),
        (
            "DELETE FROM account WHERE patron_id = 'P-5'",
            {
                "active_is_not_its_transactions",
                "active_is_not_what_remains",
                "sequence_is_not_the_last",
            },
        ),
        (
            "DELETE FROM fine WHERE fine_id = 'F-5'",
            {"active_is_not_what_remains", "fine_remaining_is_not_its_last_transaction"},
        ),
        (
            "UPDATE fine SET patron_id = 'P-4' WHERE fine_id = 'F-5'",
            {"active_is_not_what_remains"},
        ),
    ],
)
async def test_a_broken_row_is_named(path: WritePath, statement: str, names: set[str]) -> None:
    assert {item.name for item in await broken(path, statement)} == names


async def test_a_difference_says_whose_account_it_is_and_both_numbers(path: WritePath) -> None:
    result = await broken(path, "UPDATE payment SET applied = 300 WHERE payment_id = '1'")
    assert result == [
        Difference(
            name="outstanding_is_not_exported_less_settled",
            institution_id="6050",
            patron_id="P-0",
            currency="USD",
            fine_id="F-0",
            profile="SIS",
            batch_number=None,
            sequence=None,
            expected=7_00,
            actual=6_00,
        )
    ]
    (sis,) = [item for item in (await reconcile(path.pool)).profiles if item.profile == "SIS"]
    assert sis.difference == -1_00
    assert (await reconcile(path.pool, "77")).agrees


async def test_more_differences_than_are_told_are_not_passed_over(path: WritePath) -> None:
    await path.pool.execute("UPDATE account SET sequence = sequence + 1")
    done = await reconcile(path.pool, limit=2)
    assert (len(done.differences), done.is_cut) == (2, True)


async def test_all_sums_are_of_one_instant(path: WritePath) -> None:
    """What is written between two of its statements does not show in the later one."""
    before = await reconcile(path.pool)
    async with path.pool.acquire() as rival:
        async with rival.transaction():
            await rival.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
            comparing = asyncio.create_task(reconcile(path.pool))
            await until_a_session_waits_for_a_lock(path)
            await rival.execute("UPDATE account SET active = active + 1000")
        assert await comparing == before
    assert await reconcile(path.pool) != before


async def until_a_session_waits_for_a_lock(path: WritePath) -> None:
    """The sums over fines are done by then, those over accounts are not."""
    await waiters(path, 1)


async def test_the_loop_of_the_service_shows_the_differences(path: WritePath) -> None:
    metrics = Metrics()
    loop = Reconcile(path.pool, metrics, 3_600)
    await loop.run_once()
    assert b"bursar_reconcile_differences 0.0" in generate_latest(metrics.registry)
    await broken(path, "UPDATE account SET sequence = sequence + 1 WHERE patron_id = 'P-4'")
    await make_due(path)
    await loop.run_once()
    assert b"bursar_reconcile_differences 1.0" in generate_latest(metrics.registry)


async def make_due(path: WritePath) -> None:
    await path.pool.execute(
        "UPDATE upkeep_turn SET next_at = clock_timestamp() WHERE task = 'reconcile'"
    )
