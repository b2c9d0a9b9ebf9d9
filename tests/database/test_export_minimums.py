"""Minimum amounts of a profile, per fine and per patron, at their boundaries."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.exports import exported, only, opened, profiles_with
from tests.support.inputs import ABSENT
from tests.support.write_path import Record, WritePath, change, fine


def debit(name: str, amount: str, **overrides: object) -> Record:
    return fine(fine_id=name, amount=amount, **overrides)


def credit(name: str, amount: str, **overrides: object) -> Record:
    return fine(fine_id=name, amount=amount, type="CREDIT", **overrides)


async def test_an_amount_is_exactly_the_minimum_or_one_minor_unit_less(path: WritePath) -> None:
    """What remains counts: at the desk ten dollars became exactly five, or a cent less."""
    await path.take(
        debit("exactly", "5.00"),
        debit("a cent less", "4.99"),
        debit("paid to it", "10.00"),
        debit("paid below it", "10.00"),
        credit("credit exactly", "-2.00"),
        credit("credit a cent less", "-1.99"),
        change(change_id="1", fine_id="paid to it", amount="5.00"),
        change(change_id="2", fine_id="paid below it", amount="5.01"),
    )
    more = 'minimum_amount = "5.00"\ncredits = { included = true, minimum_amount = "2.00" }'
    assert await exported(path, profiles_with(more=more)) == [
        "credit exactly",
        "exactly",
        "paid to it",
    ]


async def test_a_credit_has_an_age_of_its_own(path: WritePath) -> None:
    ages = {"young": "2026-09-03T22:00:00Z", "old": "2026-09-03T21:59:59Z"}  # midnight in Vienna
    await path.take(
        *(credit(name, "-1.00", created_at=at) for name, at in ages.items()),
        debit("fine", "1.00", created_at=ages["young"]),
    )
    await opened(path, "2026-09-04T22:00:00Z")
    profiles = profiles_with(more="credits = { included = true, minimum_age_days = 2 }")
    assert await exported(path, profiles) == ["fine", "old"]


PER_PATRON = 'minimum_amount_scope = "patron"\ncredits = { included = true }\n'


@pytest.mark.parametrize(
    ("amounts", "passes"),
    [
        pytest.param(["6.00", "4.00"], True, id="exactly"),
        pytest.param(["6.00", "3.99"], False, id="a_cent_less"),
        pytest.param(["12.00", "-2.00"], True, id="exactly_with_a_credit"),
        pytest.param(["12.00", "-2.01"], False, id="a_cent_less_with_a_credit"),
        pytest.param(["-10.00"], True, id="a_credit_alone"),
        pytest.param(["1.00", "-10.99"], False, id="owed_a_cent_less"),
        pytest.param(["50.00", "-50.00"], False, id="level"),
    ],
)
@pytest.mark.parametrize("fines_max", [50, 1], ids=["whole", "split"])
async def test_a_minimum_per_patron_is_the_absolute_sum_of_his_fines_however_they_are_cut(
    path: WritePath, amounts: list[str], passes: bool, fines_max: int
) -> None:
    names = [f"F-{n}" for n in range(len(amounts))]
    await path.take(
        *(
            (credit if amount.startswith("-") else debit)(name, amount)
            for name, amount in zip(names, amounts, strict=True)
        )
    )
    profiles = profiles_with(fines_max, PER_PATRON + 'minimum_amount = "10.00"')
    assert await exported(path, profiles) == (names if passes else [])


async def test_the_rest_of_a_split_patron_counts_with_what_the_run_took_of_him(
    path: WritePath,
) -> None:
    """Two batches are sealed when a fine is paid: with the two the rest is exactly the minimum."""
    await path.take(*(debit(f"F-{n}", "2.50") for n in range(5)))
    profiles, stop = profiles_with(2, PER_PATRON + 'minimum_amount = "10.00"'), asyncio.Event()
    job = path.exports(profiles)
    await job.run_profile(only(profiles), lambda _: stop.set(), stop)
    await path.take(change(fine_id="F-3", kind="cancelled", amount=ABSENT, currency=ABSENT))
    assert await exported(path, profiles) == ["F-0", "F-1", "F-2", "F-4"]


async def test_the_rest_of_a_split_patron_stays_when_all_of_him_falls_below(
    path: WritePath,
) -> None:
    await path.take(*(debit(f"F-{n}", "2.50") for n in range(5)))
    profiles, stop = profiles_with(2, PER_PATRON + 'minimum_amount = "10.00"'), asyncio.Event()
    job = path.exports(profiles)
    await job.run_profile(only(profiles), lambda _: stop.set(), stop)
    await path.take(
        change(fine_id="F-2", kind="paid", amount="2.50"),
        change(fine_id="F-3", change_id="C-2", kind="paid", amount="0.01"),
    )
    assert await exported(path, profiles) == ["F-0", "F-1"]
    assert await path.value("SELECT count(*) FROM fine WHERE status = 'Active'") == 2
