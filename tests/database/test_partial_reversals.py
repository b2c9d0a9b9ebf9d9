"""Parts of payments that are taken back, on a real database: kept, counted and never too much."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import pytest

from service.database.session import statements
from service.operations.reconcile import reconcile
from tests.support.commands import Commands
from tests.support.reporting import STORY, export
from tests.support.write_path import WritePath, fine, payment, reversal, write_path

LEFT = "SELECT payment_id, amount FROM payment_reversed ORDER BY payment_id"
ROUNDS = 30


async def charged_back(path: WritePath) -> None:
    """A payment of 25.00 of which 10.00 were taken back."""
    await path.take(fine(amount="25.00"))
    await export(path)
    await path.take(payment(amount="25.00"))
    await path.take(reversal("B-1", "PAY-1", amount="10.00", currency="USD"))


async def outstanding(path: WritePath) -> object:
    return await path.value("SELECT outstanding FROM fine WHERE fine_id = 'F-1'")


async def test_a_part_of_a_payment_that_is_charged_back_is_outstanding(path: WritePath) -> None:
    await charged_back(path)
    assert await outstanding(path) == 10_00
    assert await path.rows("SELECT active, transferred FROM account") == [
        {"active": 0, "transferred": 10_00}
    ]
    assert await path.rows(LEFT) == [{"payment_id": "PAY-1", "amount": 10_00}]
    assert await path.value("SELECT reversed_by FROM payment WHERE payment_id = 'PAY-1'") is None
    assert await path.value("SELECT payments_live FROM fine") == 1


async def test_each_poll_knows_what_the_polls_before_it_took_back(path: WritePath) -> None:
    await charged_back(path)
    too_much = await path.take(reversal("B-2", "PAY-1", amount="15.01", currency="USD"))
    assert too_much.outcomes == {"rejected:amount_mismatch": 1}
    await path.take(reversal("B-3", "PAY-1", amount="14.99", currency="USD"))
    assert await path.value("SELECT payments_live FROM fine") == 1
    await path.take(reversal("B-4", "PAY-1"))
    assert await outstanding(path) == 25_00
    assert await path.value("SELECT payments_live FROM fine") == 0
    assert await path.value("SELECT reversed_by FROM payment WHERE payment_id = 'PAY-1'") == "B-4"
    assert await path.rows(LEFT) == [{"payment_id": "PAY-1", "amount": 25_00}]
    nothing_left = await path.take(reversal("B-5", "PAY-1"))
    assert nothing_left.outcomes == {"rejected:already_reversed": 1}
    applied = await path.rows("SELECT applied FROM payment WHERE reverses = 'PAY-1' ORDER BY 1")
    assert [row["applied"] for row in applied] == [0, 0, 1, 10_00, 14_99]


async def test_a_part_that_waited_for_its_payment_knows_what_was_taken_back(
    path: WritePath,
) -> None:
    await path.take(reversal("B-1", "PAY-1", amount="10.00", currency="USD"))
    await path.take(reversal("B-2", "PAY-1", amount="10.00", currency="USD"))
    await path.take(fine(amount="25.00"), payment(amount="25.00"))
    await export(path)
    assert await outstanding(path) == 20_00
    assert await path.rows(LEFT) == [{"payment_id": "PAY-1", "amount": 20_00}]


async def test_a_whole_reversal_of_an_older_release_leaves_nothing(path: WritePath) -> None:
    """It has set `reversed_by`, and knows no table of what was reversed."""
    await charged_back(path)
    await path.take(reversal("B-2", "PAY-1"))
    await path.pool.execute("DELETE FROM payment_reversed")
    for last in (
        reversal("B-3", "PAY-1"),
        reversal("B-4", "PAY-1", amount="0.01", currency="USD"),
    ):
        assert (await path.take(last)).outcomes == {"rejected:already_reversed": 1}


@pytest.mark.parametrize(
    ("amounts", "applied"),
    [(("7.00", "7.00"), 1), (("10.00", "10.00"), 1), ((None, None), 1), (("5.00", "5.00"), 2)],
    ids=["more than all", "all twice", "what is left twice", "two halves"],
)
async def test_two_connections_at_once_never_take_back_more_than_all(
    path: WritePath, database_url: str, amounts: tuple[str | None, ...], applied: int
) -> None:
    numbers = range(ROUNDS)
    await path.take(*(fine(fine_id=f"F-{n}", amount="10.00") for n in numbers))
    await export(path)
    await path.take(
        *(payment(payment_id=f"P-{n}", fine_id=f"F-{n}", amount="10.00") for n in numbers)
    )
    outcomes: Counter[str] = Counter()
    async with write_path(database_url, partition=1) as other:
        for n in numbers:
            taken = [
                reversal(f"{name}-{n}", f"P-{n}", **_money(amount))
                for name, amount in zip("AB", amounts, strict=True)
            ]
            reports = await asyncio.gather(path.take(taken[0]), other.take(taken[1]))
            for report in reports:
                outcomes.update(report.outcomes)
    assert outcomes["applied"] == applied * ROUNDS
    assert await path.value("SELECT count(*) FROM fine WHERE outstanding > 1000") == 0
    await _nothing_is_reversed_twice(path)


def _money(amount: str | None) -> dict[str, object]:
    return {} if amount is None else {"amount": amount, "currency": "USD"}


async def _nothing_is_reversed_twice(path: WritePath) -> None:
    """The table has what the transactions of the reversals add up to."""
    rows = await path.rows(
        "SELECT payment_id, amount FROM payment_reversed"
        " EXCEPT SELECT cause ->> 'reverses_payment_id', sum(amount)::bigint"
        " FROM ledger_transaction WHERE kind IN ('reversal', 'reversal_noted', 'credit_cancelled')"
        " GROUP BY 1"
    )
    assert rows == []
    assert (await reconcile(path.pool)).agrees


async def test_the_database_itself_forbids_to_take_back_more_than_all(path: WritePath) -> None:
    """Whatever a reader believed to be left: what is added is added to what is there."""
    await charged_back(path)
    add = statements("ledger")["add_reversed_amounts"]
    payment_1 = (["6050"], ["SAP"], ["PAY-1"])
    with pytest.raises(asyncpg.CheckViolationError):
        await path.pool.execute(add, *payment_1, [15_01], [25_00])
    await path.pool.execute(add, *payment_1, [15_00], [25_00])
    assert await path.rows(LEFT) == [{"payment_id": "PAY-1", "amount": 25_00}]


async def test_lists_show_what_was_reversed_and_what_is_left(
    path: WritePath, commands: Commands
) -> None:
    await charged_back(path)
    await path.take(payment(payment_id="PAY-2", amount="10.00"))
    back, paid, other = sorted(
        await commands.lines("payments", "list"), key=lambda row: str(row["payment_id"])
    )
    shown = ("amount", "applied", "reversed_amount", "amount_left", "currency")
    assert [paid[name] for name in shown] == ["25.00", "25.00", "10.00", "15.00", "USD"]
    assert [back[name] for name in shown] == ["10.00", "10.00", None, None, "USD"]
    assert [other[name] for name in shown] == ["10.00", "10.00", "0.00", "10.00", "USD"]
    assert paid["in_words"] == "25.00 settled F-1; 10.00 of it reversed, 15.00 left"
    assert back["in_words"] == "took back PAY-1: 10.00 of F-1 is outstanding again"
    (row, *_) = await commands.lines(*STORY, "--payment", "SAP", "PAY-1")
    assert (row["reversed_amount"], row["amount_left"]) == ("10.00", "15.00")
    await path.take(reversal("B-2", "PAY-1"))
    rows = {row["payment_id"]: row for row in await commands.lines("payments", "list")}
    assert rows["PAY-1"]["in_words"] == "25.00 settled F-1; reversed by B-2"
    assert [rows["PAY-1"][name] for name in shown[2:4]] == ["25.00", "0.00"]
    assert rows["B-2"]["in_words"] == "took back PAY-1: 15.00 of F-1 is outstanding again"


async def test_lists_show_the_whole_reversals_of_an_older_release(
    path: WritePath, commands: Commands
) -> None:
    await charged_back(path)
    await path.take(reversal("B-2", "PAY-1"))
    await path.pool.execute("DELETE FROM payment_reversed")
    rows = {row["payment_id"]: row for row in await commands.lines("payments", "list")}
    assert [rows["PAY-1"][name] for name in ("reversed_amount", "amount_left")] == ["25.00", "0.00"]


async def test_sums_of_payments_are_those_of_what_is_left(
    path: WritePath, commands: Commands
) -> None:
    await charged_back(path)
    await path.take(payment(payment_id="PAY-2", kind="write_off", amount="10.00"))
    await path.take(reversal("B-2", "PAY-2", amount="4.00", currency="USD"))
    show = ("export", "show", "--institution", "6050", "--profile", "SIS", "--batch", "1")
    _, row = await commands.lines(*show)
    amounts = [row[name] for name in ("amount", "outstanding", "paid", "written_off")]
    assert amounts == ["25.00", "4.00", "15.00", "6.00"]
    done = await reconcile(path.pool)
    assert done.agrees
    (total,) = done.profiles
    assert (total.exported, total.paid, total.written_off, total.outstanding) == (
        25_00,
        15_00,
        6_00,
        4_00,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payment_reversed SET amount = amount + 1",
        "DELETE FROM payment_reversed",
        "UPDATE payment_reversed SET amount = payment_amount",
    ],
)
async def test_a_wrong_amount_of_what_was_reversed_is_noticed(
    path: WritePath, statement: str
) -> None:
    await charged_back(path)
    assert (await reconcile(path.pool)).agrees
    await path.pool.execute(statement)
    (difference,) = (await reconcile(path.pool)).differences
    assert difference.name == "outstanding_is_not_exported_less_settled"
