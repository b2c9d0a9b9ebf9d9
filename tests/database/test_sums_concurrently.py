"""Sums that name a patron alone, beside what other connections decide at the same instant."""

import asyncio

from tests.support.exports import patron
from tests.support.lump_sums import (
    PROFILES,
    outstanding,
    owes,
    paying_oldest_first,
    pays_sum,
    waits,
)
from tests.support.write_path import WritePath, fine, reversal, write_path

ROUNDS = 30


async def test_a_sum_and_an_export_at_the_same_instant_leave_none_parked_after_the_sweep(
    path: WritePath, database_url: str
) -> None:
    paying_oldest_first(path)
    async with write_path(database_url, partition=1) as other:
        paying_oldest_first(other)
        for number in range(ROUNDS):
            await path.take(owes(f"F-{number}", "10.00", f"P-{number}"))
            await asyncio.gather(
                path.export(PROFILES),
                other.take(pays_sum("10.00", f"P-{number}", payment_id=f"SUM-{number}")),
            )
        await other.sweep()
    assert await waits(path) == []
    assert set((await outstanding(path)).values()) == {0}


async def test_a_sum_a_fine_and_its_export_at_the_same_instant_find_each_other(
    path: WritePath, database_url: str
) -> None:
    """The account does not exist when the sum is decided, and so nothing is locked for it."""
    paying_oldest_first(path)

    async def made_and_exported(number: int) -> None:
        await path.take(fine(fine_id=f"F-{number}", amount="10.00", patron=patron(f"P-{number}")))
        await path.export(PROFILES)

    async with write_path(database_url, partition=1) as other:
        paying_oldest_first(other)
        for number in range(ROUNDS):
            await asyncio.gather(
                made_and_exported(number),
                other.take(pays_sum("10.00", f"P-{number}", payment_id=f"SUM-{number}")),
            )
        await other.sweep()
    assert await waits(path) == []
    assert set((await outstanding(path)).values()) == {0}


async def test_two_sums_at_the_same_instant_pay_each_fine_once(
    path: WritePath, database_url: str
) -> None:
    paying_oldest_first(path)
    await path.take(*(owes(f"F-{number}", "1.00") for number in range(ROUNDS)))
    await path.export(PROFILES)
    async with write_path(database_url, partition=1) as other:
        paying_oldest_first(other)
        for number in range(0, ROUNDS, 2):
            await asyncio.gather(
                path.take(pays_sum("1.00", payment_id=f"SUM-{number}")),
                other.take(pays_sum("1.00", payment_id=f"SUM-{number + 1}")),
            )
    assert set((await outstanding(path)).values()) == {0}
    assert await path.value("SELECT count(*) FROM payment_part") == ROUNDS
    assert await path.value("SELECT count(*) FROM fine WHERE amount < 0") == 0


async def test_a_sum_and_its_reversal_at_the_same_instant_undo_each_other(
    path: WritePath, database_url: str
) -> None:
    paying_oldest_first(path)
    await path.take(owes("F-1", "10.00"), owes("F-2", "10.00"))
    await path.export(PROFILES)
    async with write_path(database_url, partition=1) as other:
        paying_oldest_first(other)
        for number in range(ROUNDS):
            await asyncio.gather(
                path.take(pays_sum("15.00", payment_id=f"SUM-{number}")),
                other.take(reversal(f"R-{number}", f"SUM-{number}")),
            )
        await other.sweep()
    assert await waits(path) == []
    owed = await outstanding(path)  # of credits that were made and cancelled, too
    assert {owed[name] for name in ("F-1", "F-2")} == {10_00}
    balances = await path.rows("SELECT active, transferred FROM account")
    assert balances == [{"active": 0, "transferred": 20_00}]
