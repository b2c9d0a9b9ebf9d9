"""Runs of every size: each fine in one batch; lines, manifests, bytes and ledger say the same."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from math import ceil

import pytest

from tests.support.exports import (
    all_fine_ids,
    check_sealed,
    fines,
    held_back,
    only,
    parts,
    patron,
    profiles_with,
    run,
)
from tests.support.inputs import ABSENT
from tests.support.write_path import Record, Row, WritePath, change, fine, outbox_of

POLL = 2_000
BYTES_MAX = 100_000


def check_single_run(manifests: list[Row]) -> None:
    assert parts(manifests) == list(range(1, len(manifests) + 1))
    assert [manifest["last"] for manifest in manifests] == [
        manifest is manifests[-1] for manifest in manifests
    ]
    assert len({(str(manifest["run_id"]), str(manifest["cutoff"])) for manifest in manifests}) == 1
    numbers = [int(str(manifest["export_number"])) for manifest in manifests]
    assert all(after == before + 1 for before, after in pairwise(numbers))


@pytest.mark.parametrize("fines_max", [2_050, pytest.param(5_000, marks=pytest.mark.slow)])
async def test_fines_of_more_than_a_page_are_each_in_one_of_three_batches(
    path: WritePath, fines_max: int
) -> None:
    """A batch has more fines than are read at once."""
    count = 2 * fines_max + 1
    await path.take_in_polls(fines(count), POLL)
    await run(path, profiles_with(fines_max))
    manifests = await check_sealed(path)
    check_single_run(manifests)
    assert [manifest["count"] for manifest in manifests] == [fines_max, fines_max, 1]
    assert all_fine_ids(manifests) == [f"F-{n:05}" for n in range(count)]
    assert await path.value("SELECT sum(transferred)::bigint FROM account") == count * 100
    assert await path.value("SELECT count(*) FROM fine WHERE status = 'Active'") == 0


@pytest.mark.parametrize("count", [1, 49, 50, 51, 250])
async def test_a_run_holds_the_limit_of_bytes_where_it_is_the_narrower_one(
    path: WritePath, count: int
) -> None:
    """Texts of three bytes a character: 32 fines fill a batch that may have a thousand."""
    await path.take(*fines(count, comment="本" * 500))
    await run(path, profiles_with(1_000, f"bytes_max = {BYTES_MAX}"))
    manifests = await check_sealed(path)
    check_single_run(manifests)
    sizes = [len(sent.value or b"") for sent in await outbox_of(path.pool, "export-batch.v1")]
    assert all(size <= BYTES_MAX for size in sizes)
    assert len(sizes) == ceil(count / 32)
    assert all_fine_ids(manifests) == [f"F-{n:05}" for n in range(count)]


@pytest.mark.parametrize(
    ("limits", "comment", "expected"),
    [
        pytest.param((10, ""), "short", [3, 10, 10, 7], id="fines"),
        # Of 13 there is room for one more, and the next patron has two: they stay together.
        pytest.param((50, f"bytes_max = {BYTES_MAX}"), "本" * 2_000, [3, 13, 12, 2], id="bytes"),
    ],
)
async def test_a_patron_larger_than_a_batch_begins_one_and_shares_his_last(
    path: WritePath, limits: tuple[int, str], comment: str, expected: list[int]
) -> None:
    owed = [("A", n, "P-1") for n in range(3)] + [("B", n, "P-2") for n in range(25)]
    owed += [("C", n, "P-3") for n in range(2)]
    names = [f"{who}-{n:02}" for who, n, _ in owed]
    await path.take(
        *(
            fine(fine_id=name, patron=patron(of), amount="1.00", comment=comment)
            for name, (_, _, of) in zip(names, owed, strict=True)
        )
    )
    await run(path, profiles_with(*limits))
    manifests = await check_sealed(path)
    check_single_run(manifests)
    assert [manifest["count"] for manifest in manifests] == expected
    assert all_fine_ids(manifests) == names


@pytest.mark.parametrize("scope", ["fine", "patron"])
async def test_a_patron_of_2500_fines_is_split_by_fines_or_by_bytes(
    path: WritePath, scope: str
) -> None:
    """More than a page, also of what is looked at again where a minimum counts all of them."""
    await path.take_in_polls(fines(2_500, of_each=2_500, comment="本" * 500), POLL)
    minimum = f'minimum_amount = "1.00"\nminimum_amount_scope = "{scope}"'
    await run(path, profiles_with(1_000, f"bytes_max = 2000000\n{minimum}"))
    manifests = await check_sealed(path)
    check_single_run(manifests)
    assert all_fine_ids(manifests) == [f"F-{n:05}" for n in range(2_500)]
    assert all(int(str(manifest["size_bytes"])) <= 2_000_000 for manifest in manifests)
    assert {manifest["patrons"] for manifest in manifests} == {1}


WHOLE = {"amount": ABSENT, "currency": ABSENT}
ENDINGS: dict[str, tuple[dict[str, object], dict[str, int]]] = {
    "cancelled": ({"kind": "cancelled", **WHOLE}, {}),
    "disputed": ({"kind": "disputed", **WHOLE}, {"in_dispute": 5}),
    "paid at the desk": ({"kind": "paid", "amount": "1.00"}, {}),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_run_whose_rest_went_away_ends_with_an_empty_batch_that_says_last(
    path: WritePath, ending: str
) -> None:
    result, held = ENDINGS[ending]
    await path.take(*fines(15))
    profiles, stop = profiles_with(10), asyncio.Event()
    await path.exports(profiles).run_profile(only(profiles), lambda _: stop.set(), stop)
    await path.take(*_of_the_rest(result))
    await run(path, profiles)
    manifests = await check_sealed(path)
    check_single_run(manifests)
    assert [(manifest["count"], manifest["last"]) for manifest in manifests] == [
        (10, False),
        (0, True),
    ]
    assert [held_back(manifest) for manifest in manifests] == [{}, held]
    assert await run(path, profiles) == []


def _of_the_rest(result: dict[str, object]) -> list[Record]:
    return [change(change_id=f"C-{n}", fine_id=f"F-{n:05}", **result) for n in range(10, 15)]


async def test_a_full_batch_is_the_last_one_where_only_held_back_fines_follow(
    path: WritePath,
) -> None:
    """More than a page of them: the run looks to the end before it says that more will come."""
    nobody = [
        fine(fine_id=f"N-{n}", patron=patron(f"Q-{n}", identifiers=[]), amount="1.00")
        for n in range(25)
    ]
    await path.take(*fines(10), *nobody)
    await run(path, profiles_with(10))
    (manifest,) = await check_sealed(path)
    assert (manifest["count"], manifest["last"]) == (10, True)
    assert held_back(manifest) == {"no_identifier": 25}


async def test_a_patron_whom_a_page_cuts_is_looked_at_whole(path: WritePath) -> None:
    """A page is a batch and one fine: five that are passed over leave it six of his ten."""
    passed_over = patron("P-1", identifiers=[])
    await path.take(
        *(fine(fine_id=f"A-{n}", patron=passed_over) for n in range(5)),
        *(fine(fine_id=f"B-{n}", patron=patron("P-2"), amount="1.00") for n in range(10)),
    )
    more = 'minimum_amount = "10.00"\nminimum_amount_scope = "patron"'
    await run(path, profiles_with(10, more))
    (manifest,) = await check_sealed(path)
    assert all_fine_ids([manifest]) == [f"B-{n}" for n in range(10)]


@pytest.mark.parametrize("of_each", [1, 12], ids=["patrons", "a_split_patron"])
async def test_what_is_held_back_all_over_a_run_is_counted_once_and_in_its_last_batch(
    path: WritePath, of_each: int
) -> None:
    await path.take(
        *(
            fine(fine_id=f"F-{n:02}", patron=patron(n // of_each), exportable=n % 3 != 0)
            for n in range(12)
        )
    )
    await run(path, profiles_with(2))
    manifests = await check_sealed(path)
    check_single_run(manifests)
    assert [manifest["count"] for manifest in manifests] == [2, 2, 2, 2]
    assert [held_back(manifest) for manifest in manifests] == [{}, {}, {}, {"not_exportable": 4}]
