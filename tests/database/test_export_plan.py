"""A run where little is due goes in steps: each is committed, and gives the run back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import asyncpg
import pytest

from service.database.ledger_read import LedgerReader
from service.export.manifest import Manifest
from service.export.preview import preview
from service.messages.decode import parse
from tests.support.exports import (
    all_fine_ids,
    check_sealed,
    fine_ids,
    fines,
    held_back,
    lines_of_manifest,
    only,
    opened,
    parts,
    patron,
    profiles_with,
)
from tests.support.inputs import ABSENT
from tests.support.stepwise import STEP, finish, mark, passed_over, plans, step_once
from tests.support.write_path import Record, WritePath, change, fine, write_path

HELD_TWICE = '{"not_exportable": 2}'


WITHOUT_MONEY = {"amount": ABSENT, "currency": ABSENT}


PER_PATRON = (
    'minimum_amount_scope = "patron"\nminimum_amount = "3.00"\ncredits = { included = true }'
)


def mixture(chance: Random) -> list[Record]:
    """Patrons with few and many fines: due, too young, held back, below the minimum, credits."""
    records = []
    for number in range(40):
        for place in range(chance.choice([1, 1, 1, 2, 3, 5, 11])):
            kind = chance.choice(["due", "young", "young", "young", "held", "credit"])
            is_credit = kind == "credit"
            records.append(
                fine(
                    fine_id=f"F-{number:03}-{place:02}",
                    patron=patron(number),
                    loan_id=f"L-{number}-{place}",
                    type="CREDIT" if is_credit else "OVERDUEFINE",
                    amount=f"{'-' if is_credit else ''}{chance.randrange(1, 4)}.00",
                    created_at=f"{2999 if kind == 'young' else 2026}-09-01T00:00:00Z",
                    exportable=kind != "held",
                )
            )
    return records


@pytest.mark.parametrize("more", ["credits = { included = true }", PER_PATRON])
@pytest.mark.parametrize("seed", range(3))
async def test_steps_change_no_batch_and_no_preview(path: WritePath, seed: int, more: str) -> None:
    """Bytes, numbers, parts and counts are those of a run that looks at everything at once."""
    await path.take(*mixture(Random(seed)))
    await opened(path, "2026-10-01T00:00:00Z")
    profiles = profiles_with(6, more)
    store = LedgerReader(parse)
    at_once = [built async for built in preview(path.pool, store, only(profiles))]
    in_steps = [
        built async for built in preview(path.pool, store, only(profiles), step_fines_max=STEP)
    ]
    sealed: list[Manifest] = []
    await path.exports(profiles, STEP).run_profile(only(profiles), sealed.append)

    await check_sealed(path)
    rows = await path.rows("SELECT document FROM export_batch ORDER BY batch_number")
    assert len(rows) > 3
    assert [row["document"] for row in rows] == [built.document for built in at_once]
    assert [built.document for built in in_steps] == [built.document for built in at_once]
    at = sealed[0].sealed_at
    for built in (at_once, in_steps):
        assert [replace(each.manifest, sealed_at=at) for each in built] == [
            replace(manifest, sealed_at=at) for manifest in sealed
        ]
    assert await plans(path) == []


@pytest.mark.parametrize("steps", range(1, 7))
async def test_a_preview_of_a_run_that_is_planned_in_part_is_what_the_run_seals(
    path: WritePath, steps: int
) -> None:
    """A fine that was selected is disputed meanwhile, another one is paid in part."""
    await path.take(*passed_over(6), *fines(12))
    profiles = profiles_with(5)
    for _ in range(steps):
        await step_once(path, profiles)
    await path.take(
        change(fine_id="F-00000", kind="disputed", **WITHOUT_MONEY),
        change(fine_id="F-00001", change_id="C-2", kind="paid", amount="0.40"),
    )
    store = LedgerReader(parse)
    expected = [built async for built in preview(path.pool, store, only(profiles))]
    sealed: list[Manifest] = []
    await path.exports(profiles, STEP).run_profile(only(profiles), sealed.append)
    assert [built.manifest.sha256 for built in expected] == [item.sha256 for item in sealed]
    assert [built.manifest.held_back for built in expected] == [item.held_back for item in sealed]


async def test_the_mark_moves_where_nothing_is_due_and_no_batch_is_sealed(path: WritePath) -> None:
    await path.take(*passed_over(30))
    profiles = profiles_with(more='empty_run = "empty_batch"')
    assert await step_once(path, profiles) == STEP
    assert await mark(path) == ("N-00003", "N-00003")
    assert await plans(path) == []
    assert await path.value("SELECT held_back FROM export_run") == HELD_TWICE
    counts = await finish(path, profiles)
    assert sum(counts) == 30 - STEP
    assert max(counts) == STEP
    (manifest,) = await check_sealed(path)
    assert (manifest["count"], manifest["last"]) == (0, True)
    assert held_back(manifest) == {"not_exportable": 15}


async def test_between_two_steps_the_run_and_its_patrons_are_free_and_another_exporter_goes_on(
    path: WritePath, database_url: str
) -> None:
    """What was selected and what was passed over is not looked at again."""
    selected = ["A-0", "A-1"]
    due = [fine(fine_id=name, patron=patron(name), loan_id=name) for name in selected]
    await path.take(*due, *passed_over(30))
    profiles = profiles_with(50)
    assert await step_once(path, profiles, 12) == 12
    assert await mark(path) == ("", "")
    assert await plans(path) == [("N-00009", "N-00009", selected)]
    rival = await asyncpg.connect(database_url)
    try:
        await rival.execute("SELECT FROM export_run WHERE state = 'open' FOR UPDATE NOWAIT")
        await rival.execute("SELECT FROM account FOR UPDATE NOWAIT")
    finally:
        await rival.close()
    async with write_path(database_url, partition=1) as other:
        counts = await finish(other, profiles, 12)
    assert counts == [12, 8]
    (manifest,) = await check_sealed(path)
    assert all_fine_ids([manifest]) == selected
    assert (parts([manifest]), manifest["last"]) == ([1], True)
    assert held_back(manifest) == {"not_exportable": 15}
    assert await plans(path) == []


async def test_two_exporters_take_the_steps_of_a_run_in_turns(
    path: WritePath, database_url: str
) -> None:
    due = [
        fine(fine_id=f"D-{n:05}", patron=patron(f"N-{n:05}x"), loan_id=f"L-{n}") for n in range(40)
    ]
    await path.take(*passed_over(200), *due)
    profiles = profiles_with(7)
    async with write_path(database_url, partition=1) as other:
        both = await asyncio.gather(finish(path, profiles), finish(other, profiles))
    manifests = await check_sealed(path)
    assert all_fine_ids(manifests) == [f"D-{n:05}" for n in range(40)]
    assert parts(manifests) == [1, 2, 3, 4, 5, 6]
    assert [manifest["last"] for manifest in manifests] == [False] * 5 + [True]
    assert held_back(manifests[-1]) == {"not_exportable": 100}
    assert sum(map(sum, both)) == 240, "no fine is passed twice"
    assert await plans(path) == []


async def test_what_becomes_of_a_selected_fine_before_its_batch_is_sealed_counts(
    path: WritePath,
) -> None:
    """Disputed: held back and counted; cancelled: gone; paid in part: what remains goes."""
    await path.take(*fines(4), *passed_over(4, first=90_000))
    await path.take(*[fine(fine_id=f"Z-{n}", patron=patron(f"Z-{n}")) for n in range(3)])
    profiles = profiles_with(50)
    await step_once(path, profiles)
    await step_once(path, profiles)
    assert (await plans(path))[0][2] == ["F-00000", "F-00001", "F-00002", "F-00003"]
    await path.take(
        change(fine_id="F-00000", kind="disputed", **WITHOUT_MONEY),
        change(fine_id="F-00001", change_id="C-2", kind="cancelled", **WITHOUT_MONEY),
        change(fine_id="F-00002", change_id="C-3", kind="paid", amount="0.40"),
    )
    await finish(path, profiles)
    (manifest,) = await check_sealed(path)
    assert [(line["fine_id"], line["amount"]) for line in lines_of_manifest(manifest)] == [
        ("F-00002", "0.60"),
        ("F-00003", "1.00"),
        ("Z-0", "95.50"),
        ("Z-1", "95.50"),
        ("Z-2", "95.50"),
    ]
    assert held_back(manifest) == {"in_dispute": 1, "not_exportable": 2}


async def test_a_plan_whose_fines_are_all_gone_seals_nothing(path: WritePath) -> None:
    await path.take(*fines(2), *[fine(fine_id=f"Z-{n}", exportable=False) for n in range(8)])
    profiles = profiles_with(50)
    await step_once(path, profiles, 1)
    assert (await plans(path))[0][2] == ["F-00000"]
    await path.take(
        change(fine_id="F-00000", kind="cancelled", **WITHOUT_MONEY),
        change(fine_id="F-00001", change_id="C-2", kind="cancelled", **WITHOUT_MONEY),
    )
    await finish(path, profiles)
    assert await check_sealed(path) == []
    assert await plans(path) == []
    assert await path.value("SELECT state FROM export_run") == "closed"


@pytest.mark.parametrize("more", ["", PER_PATRON])
async def test_a_fine_of_a_patron_who_is_planned_waits_for_the_next_run(
    path: WritePath, more: str
) -> None:
    """By itself it could be below the minimum, or find no room beside the patron's others."""
    await path.take(*fines(3, of_each=3, amount="1.00"), *fines_of_others(6))
    profiles = profiles_with(50, more)
    await step_once(path, profiles, 3)
    assert (await plans(path))[0][:2] == ("P-00000", "F-00002")
    late = [
        fine(fine_id=f"F-0000{n}x", patron=patron(0), amount="5.00", loan_id=f"X-{n}")
        for n in range(3)
    ]
    await path.take(*late)
    await finish(path, profiles, 3)
    await finish(path, profiles, 3)
    batches = fine_ids(await check_sealed(path))
    assert batches == [
        ["F-00000", "F-00001", "F-00002", *(f"Q-{n}" for n in range(6))],
        ["F-00000x", "F-00001x", "F-00002x"],
    ]


def fines_of_others(count: int) -> list[Record]:
    return [
        fine(fine_id=f"Q-{n}", patron=patron(f"Q-{n}"), amount="4.00", loan_id=f"Q-{n}")
        for n in range(count)
    ]


async def test_an_exporter_of_an_older_release_voids_the_plan(path: WritePath) -> None:
    """It knows the mark alone: what lies behind its mark is planned anew, and counted once."""
    held = [
        fine(fine_id=f"N-{n}", patron=patron(f"P-0000{n}x"), exportable=False) for n in range(3)
    ]
    await path.take(*fines(20), *held)
    profiles = profiles_with(50)
    await step_once(path, profiles)
    (plan,) = await path.rows("SELECT * FROM export_plan")
    assert (plan["fine_ids"], plan["held_back"]) == (["F-00000", "F-00001"], HELD_TWICE)
    # As the older release does: a batch of the first ten, from the mark on, the plan left as it is.
    await path.pool.execute("DELETE FROM export_plan")
    older, stop = profiles_with(10), asyncio.Event()
    await path.exports(older).run_profile(only(older), lambda _: stop.set(), stop)
    places = ", ".join(f"${n}" for n in range(1, len(plan) + 1))
    statement = f"INSERT INTO export_plan ({', '.join(plan)}) VALUES ({places})"
    await path.pool.execute(statement, *plan.values())
    await finish(path, profiles)
    manifests = await check_sealed(path)
    assert fine_ids(manifests) == [
        [f"F-{n:05}" for n in range(10)],
        [f"F-{n:05}" for n in range(10, 20)],
    ]
    assert held_back(manifests[-1]) == {"not_exportable": 3}
    assert await plans(path) == []


async def test_a_plan_of_a_run_that_an_older_release_closed_is_replaced(path: WritePath) -> None:
    await path.take(*fines(10))
    profiles = profiles_with(50)
    await step_once(path, profiles)
    await path.pool.execute("UPDATE export_run SET state = 'closed'")
    await step_once(path, profiles)
    assert await path.value("SELECT count(*) FROM export_plan") == 1
    await finish(path, profiles)
    (manifest,) = await check_sealed(path)
    assert manifest["count"] == 10
    assert await plans(path) == []
