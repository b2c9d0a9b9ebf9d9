"""Export runs on a real database: cuts, chains, totals, held-back fines, two exporters at once."""

from __future__ import annotations

import asyncio
from math import ceil

import pytest

from tests.support.exports import (
    all_fine_ids,
    check_sealed,
    fine_ids,
    fines,
    held_back,
    only,
    parts,
    patron,
    profiles_with,
    run,
)
from tests.support.inputs import ABSENT
from tests.support.write_path import WritePath, change, fine, payment, response, write_path

SIZES = [
    pytest.param(count, limit, id=f"{count}_in_batches_of_{limit}")
    for count, limit in (
        (0, 50),
        (1, 50),
        (49, 50),
        (50, 50),
        (51, 50),
        (999, 400),
        (1000, 500),
        (1001, 500),
        (2500, 1000),
    )
]


@pytest.mark.parametrize(("count", "limit"), SIZES)
async def test_a_run_seals_every_fine_once_in_batches_that_hold_the_limit(
    path: WritePath, count: int, limit: int
) -> None:
    await path.take(*fines(count))
    sealed = await run(path, profiles_with(limit))
    manifests = await check_sealed(path)
    assert [item.batch_number for item in sealed] == [
        manifest["batch_number"] for manifest in manifests
    ]
    assert len(manifests) == ceil(count / limit)
    assert all(0 < int(str(manifest["count"])) <= limit for manifest in manifests)
    assert all_fine_ids(manifests) == [f"F-{n:05}" for n in range(count)]
    assert [manifest["last"] for manifest in manifests] == [
        n == len(manifests) for n in parts(manifests)
    ]
    assert parts(manifests) == list(range(1, len(manifests) + 1))
    assert len({manifest["run_id"] for manifest in manifests}) <= 1
    assert await path.value("SELECT count(*) FROM export_run WHERE state = 'open'") == 0
    transferred = await path.value("SELECT coalesce(sum(transferred), 0)::bigint FROM account")
    assert transferred == count * 100
    assert await run(path, profiles_with(limit)) == [], "nothing is left for another run"


async def test_a_patrons_fines_stay_together(path: WritePath) -> None:
    await path.take(*fines(35, of_each=7))
    await run(path, profiles_with(10))
    assert [len(ids) for ids in fine_ids(await check_sealed(path))] == [7] * 5


async def test_a_patron_larger_than_a_batch_alone_is_split(path: WritePath) -> None:
    await path.take(*fines(23, of_each=23))
    await run(path, profiles_with(10))
    assert [len(ids) for ids in fine_ids(await check_sealed(path))] == [10, 10, 3]


async def test_a_minimum_per_patron_counts_what_the_run_took_of_him_already(
    path: WritePath,
) -> None:
    """Five dollars in batches of two: the last dollar alone would be below the minimum."""
    await path.take(*fines(5, of_each=5))
    await path.take(fine(fine_id="G", patron=patron("P-9"), amount="4.99"))
    more = 'minimum_amount = "5.00"\nminimum_amount_scope = "patron"'
    await run(path, profiles_with(2, more))
    assert [len(ids) for ids in fine_ids(await check_sealed(path))] == [2, 2, 1]
    assert await path.value("SELECT status FROM fine WHERE fine_id = 'G'") == "Active"


async def test_a_run_whose_rest_went_away_ends_with_an_empty_batch(path: WritePath) -> None:
    await path.take(*fines(15))
    profiles, stop = profiles_with(10), asyncio.Event()
    job = path.exports(profiles)
    await job.run_profile(only(profiles), lambda _: stop.set(), stop)
    whole = {"kind": "cancelled", "amount": ABSENT, "currency": ABSENT}
    await path.take(
        *(change(change_id=f"C-{n}", fine_id=f"F-{n:05}", **whole) for n in range(10, 15))
    )
    await job.run_profile(only(profiles))
    manifests = await check_sealed(path)
    assert [(manifest["count"], manifest["part"], manifest["last"]) for manifest in manifests] == [
        (10, 1, False),
        (0, 2, True),
    ]
    assert manifests[0]["run_id"] == manifests[1]["run_id"]
    assert manifests[0]["cutoff"] == manifests[1]["cutoff"]


async def test_a_run_that_stopped_goes_on_with_its_cutoff_and_itsparts(path: WritePath) -> None:
    await path.take(*fines(25))
    profiles, stop = profiles_with(10), asyncio.Event()
    await path.exports(profiles).run_profile(only(profiles), lambda _: stop.set(), stop)
    await run(path, profiles)
    manifests = await check_sealed(path)
    assert [(manifest["count"], manifest["part"], manifest["last"]) for manifest in manifests] == [
        (10, 1, False),
        (10, 2, False),
        (5, 3, True),
    ]
    assert len({(str(manifest["run_id"]), str(manifest["cutoff"])) for manifest in manifests}) == 1


@pytest.mark.parametrize("empty_run", ["nothing", "empty_batch"])
async def test_an_empty_run_does_what_its_profile_says(path: WritePath, empty_run: str) -> None:
    await run(path, profiles_with(more=f'empty_run = "{empty_run}"'))
    result = [(item["count"], item["last"], item["part"]) for item in await check_sealed(path)]
    assert result == ([] if empty_run == "nothing" else [(0, True, 1)])


HELD_BACK = {
    "in_dispute": fine(fine_id="in_dispute", patron=patron("P-1")),
    "no_identifier": fine(fine_id="no_identifier", patron=patron("P-2", identifiers=[])),
    "no_patron_name": fine(fine_id="no_patron_name", patron=patron("P-3", name=" ")),
    "not_exportable": fine(fine_id="not_exportable", patron=patron("P-4"), exportable=False),
    "refused": fine(fine_id="refused", patron=patron("P-5")),
    "waits_for_fine": fine(
        fine_id="waits_for_fine",
        patron=patron("P-1"),
        type="CREDIT",
        amount="-1.00",
        credit_of="in_dispute",
    ),
}
NOBODYS = fine(fine_id="nobodys", patron=patron("P-6"), type="NOBODYS")


async def test_held_back_fines_are_counted_by_reason_and_stay_as_they_are(path: WritePath) -> None:
    profiles = profiles_with(1, credits={"included": True})
    await path.take(HELD_BACK["refused"])
    await run(path, profiles)
    refusal = response(outcome="refused", reason="no such student")
    dispute = change(fine_id="in_dispute", kind="disputed", amount=ABSENT, currency=ABSENT)
    await path.take(*HELD_BACK.values(), NOBODYS, dispute, refusal, *fines(3))
    before = await path.rows("SELECT * FROM fine WHERE fine_id !~ '^F' ORDER BY fine_id")
    await run(path, profiles)
    manifests = (await check_sealed(path))[1:]
    assert fine_ids(manifests) == [[f"F-{n:05}"] for n in range(3)]
    assert [held_back(manifest) for manifest in manifests] == [{}, {}, dict.fromkeys(HELD_BACK, 1)]
    after = await path.rows("SELECT * FROM fine WHERE fine_id !~ '^F' ORDER BY fine_id")
    assert after == before


async def test_parked_payments_are_applied_in_the_commit_of_the_export(path: WritePath) -> None:
    await path.take(
        fine(),
        payment(payment_id="A", amount="50.00"),
        payment(payment_id="B", amount="45.50"),
    )
    assert await path.value("SELECT count(*) FROM parked") == 2
    await run(path, profiles_with())
    assert await path.rows(
        "SELECT kind, active_change, transferred_change, cause ->> 'payment_id' AS payment"
        " FROM ledger_transaction ORDER BY sequence"
    ) == [
        {"kind": k, "active_change": a, "transferred_change": t, "payment": p}
        for k, a, t, p in (
            ("fine", 9550, 0, None),
            ("export_and_paid", -9550, 9550, None),
            ("payment", 0, -5000, "A"),
            ("payment", 0, -4550, "B"),
        )
    ]
    commits = await path.rows(
        "SELECT DISTINCT xmin::text AS id FROM ledger_transaction WHERE sequence > 1"
        " UNION SELECT xmin::text FROM export_line UNION SELECT xmin::text FROM outbox"
        " WHERE topic LIKE '%export-batch.v1'"
    )
    assert len(commits) == 1
    assert await path.value("SELECT count(*) FROM parked") == 0
    assert await path.value("SELECT considered FROM fine") == "closed"


async def test_two_exporters_at_once_share_a_run(path: WritePath, database_url: str) -> None:
    await path.take(*fines(300, of_each=3))
    profiles = profiles_with(10)
    async with write_path(database_url, partition=1) as other:
        both = await asyncio.gather(run(path, profiles), run(other, profiles))
    manifests = await check_sealed(path)
    assert all_fine_ids(manifests) == [f"F-{n:05}" for n in range(300)]
    assert sorted(item.batch_number for sealed in both for item in sealed) == list(
        range(1, len(manifests) + 1)
    )
    for run_id in {manifest["run_id"] for manifest in manifests}:
        writer = [manifest for manifest in manifests if manifest["run_id"] == run_id]
        assert parts(writer) == list(range(1, len(writer) + 1))
        assert [item["last"] for item in writer] == [item is writer[-1] for item in writer]
    assert await path.value("SELECT sum(transferred) FROM account") == 300 * 100


async def test_exporters_and_intake_at_once_lose_and_double_nothing(
    path: WritePath, database_url: str
) -> None:
    """Fines, changes and payments come in while two exporters run again and again."""
    records = fines(200, of_each=4)
    profiles = profiles_with(10)
    done = asyncio.Event()

    async def take_in() -> None:
        for start in range(0, 200, 8):
            names = range(start, start + 8)
            await path.take(*records[start : start + 8])
            await path.take(
                *(payment(payment_id=f"{n}", fine_id=f"F-{n:05}", amount="1.00") for n in names)
            )
        done.set()

    async def export(partition: int) -> None:
        async with write_path(database_url, partition) as writer:
            while not done.is_set():
                await run(writer, profiles)

    await asyncio.gather(take_in(), export(1), export(2))
    await run(path, profiles)
    manifests = await check_sealed(path)
    assert sorted(all_fine_ids(manifests)) == [f"F-{n:05}" for n in range(200)]
    await path.sweep()
    assert await path.value("SELECT count(*) FROM parked") == 0
    assert await path.rows("SELECT DISTINCT active, transferred FROM account") == [
        {"active": 0, "transferred": 0}
    ]
    assert await path.value("SELECT count(*) FROM ledger_transaction") == 600
