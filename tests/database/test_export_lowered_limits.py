"""Limits of a batch that are lowered while its run is open hold from its next batch on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.database.ledger_read import LedgerReader
from service.export.batch import Limits
from service.export.preview import preview
from service.messages.decode import parse
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
)
from tests.support.stepwise import finish, passed_over, plans, step_once
from tests.support.write_path import WritePath, fine

BYTES_MAX = 100_000


@pytest.mark.parametrize(
    ("limits", "count", "expected"),
    [((3, ""), 8, [3, 3, 2]), ((50, f"bytes_max = {BYTES_MAX}"), 20, [13, 7])],
    ids=["fines", "bytes"],
)
async def test_a_plan_that_lowered_limits_do_not_allow_is_cut_anew(
    path: WritePath, limits: tuple[int, str], count: int, expected: list[int]
) -> None:
    """All but two of the fines were selected, and four passed over."""
    await path.take(*passed_over(4), *fines(count, comment="本" * 2_000))
    await step_once(path, profiles_with(50), count + 2)
    ((_, _, planned),) = await plans(path)
    assert planned == [f"F-{n:05}" for n in range(count - 2)]
    lowered = profiles_with(*limits)
    foreseen = [built async for built in preview(path.pool, LedgerReader(parse), only(lowered))]
    await finish(path, lowered, 10)
    manifests = await check_sealed(path)
    assert [manifest["count"] for manifest in manifests] == expected
    assert all_fine_ids(manifests) == [f"F-{n:05}" for n in range(count)]
    assert parts(manifests) == list(range(1, len(expected) + 1))
    assert held_back(manifests[-1]) == {"not_exportable": 2}
    assert [built.manifest.sha256 for built in foreseen] == [item["sha256"] for item in manifests]
    assert await plans(path) == []


async def test_a_plan_of_a_single_fine_is_kept_however_low_the_limits_are(path: WritePath) -> None:
    """A single fine always has a batch, also if it is larger than the limit of bytes."""
    await path.take(
        fine(fine_id="A", patron=patron("A")),
        *[fine(fine_id=f"Z-{n}", patron=patron(f"Z-{n}"), exportable=False) for n in range(9)],
    )
    profiles = profiles_with(50)
    await step_once(path, profiles)
    lowered = replace(only(profiles), limits=Limits(50, 1_000))
    counts = await finish(path, replace(profiles, profiles=(lowered,)), 10)
    (manifest,) = await check_sealed(path)
    assert fine_ids([manifest]) == [["A"]]
    assert counts == [6], "what was passed is not passed again"
