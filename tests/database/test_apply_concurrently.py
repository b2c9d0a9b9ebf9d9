"""Records that several connections apply at the same instant."""

import asyncio
from collections import Counter

import pytest

from tests.support.exports import patron
from tests.support.mixture import PROFILES
from tests.support.write_path import WritePath, change, fine, payment, profiles_of, write_path


async def test_the_same_fine_on_two_connections_at_once_counts_once(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for number in range(40):
            item = fine(fine_id=f"F-{number}")
            first, second = await asyncio.gather(path.take(item), other.take(item))
            assert Counter(first.outcomes) + Counter(second.outcomes) == {"applied": 1, "repeat": 1}
    assert await path.value("SELECT count(*) FROM ledger_transaction") == 40
    assert await path.value("SELECT active FROM account") == 40 * 9550


async def test_two_contents_of_one_identity_on_two_connections_at_once_are_one_conflict(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for number in range(40):
            first, second = await asyncio.gather(
                path.take(fine(fine_id=f"F-{number}")),
                other.take(fine(fine_id=f"F-{number}", patron=patron("P-2"), amount="1.00")),
            )
            result = Counter(first.outcomes) + Counter(second.outcomes)
            assert result == {"applied": 1, "rejected:fine_conflict": 1}
    active = await path.value("SELECT sum(active) FROM account")
    assert active == await path.value("SELECT sum(amount) FROM fine")


async def test_two_connections_on_one_account_wait_for_each_other_and_try_once(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for number in range(40):
            await asyncio.gather(
                path.take(fine(fine_id=f"F-{number}-1")), other.take(fine(fine_id=f"F-{number}-2"))
            )
        assert path.applier.retries + other.applier.retries == {}
    assert await path.value("SELECT active FROM account") == 80 * 9550


PAIRS = 500


@pytest.mark.fault("payment-with-fine")
async def test_a_fine_and_its_payment_at_the_same_instant_on_two_connections_find_each_other(
    path: WritePath, database_url: str
) -> None:
    """What the two miss of each other is what the sweep is for."""
    fines = [fine(fine_id=f"F-{n}", patron=patron(f"P-{n % 50}")) for n in range(PAIRS)]
    others = [
        change(change_id=f"C-{n}", fine_id=f"F-{n}")
        if n % 2
        else payment(payment_id=f"PAY-{n}", fine_id=f"F-{n}")
        for n in range(PAIRS)
    ]
    async with write_path(database_url, partition=1) as other:
        for item, two in zip(fines, others, strict=True):
            await asyncio.gather(path.take(item), other.take(two))
        await other.sweep()
    waits = await path.rows("SELECT wait, count(*) AS n FROM parked GROUP BY wait")
    assert waits == [{"wait": "not_exported", "n": PAIRS // 2}]
    profiles = profiles_of(PROFILES)
    await path.exports(profiles).run_profile(profiles.profiles[0])
    assert await path.value("SELECT count(*) FROM parked") == 0
    balances = await path.rows("SELECT sum(active) AS a, sum(transferred) AS t FROM account")
    assert balances == [{"a": 0, "t": (PAIRS // 2) * (9550 - 1000)}]


COPRIME_TO_30 = (1, 7, 11, 13, 17, 19, 23, 29)
TURNS = 8


async def test_eight_connections_on_the_same_accounts_meet_no_deadlock(
    path: WritePath, database_url: str
) -> None:
    async def worker(partition: int) -> Counter[str]:
        """Every poll touches every account, in an order of its own."""
        async with write_path(database_url, partition) as writer:
            for turn in range(TURNS):
                numbers = [(n * COPRIME_TO_30[partition] + turn) % 30 for n in range(30)]
                await writer.take(
                    *(fine(fine_id=f"F-{turn}-{n}", patron=patron(f"P-{n}")) for n in numbers),
                    *(
                        payment(payment_id=f"{partition}-{turn}-{n}", fine_id=f"F-{turn}-{n}")
                        for n in numbers
                    ),
                    *(
                        change(change_id=f"{partition}-{turn}-{n}", fine_id=f"F-{turn}-{n}")
                        for n in numbers
                    ),
                )
            return writer.applier.retries

    retries = await asyncio.gather(*(worker(partition) for partition in range(8)))
    assert sum(retries, Counter())["DeadlockDetectedError"] == 0
    assert await path.value("SELECT count(*) FROM ledger_transaction") == TURNS * 30 * 9
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await path.value(deadlocks) == 0
    assert await path.value("SELECT count(*) FROM parked") == TURNS * 30 * 8
    assert await path.value("SELECT sum(active) FROM account") == TURNS * 30 * (9550 - 8 * 1000)
