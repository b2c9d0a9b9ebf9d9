"""A load of all four contracts through two processes ends where an independent model ends.

Payments in every way there is, sums, changes before and after the export, credits of fines, refused
lines, three kinds of profiles, repeats, conflicts and bad records, with an export behind each half,
and each process killed once (test_two_processes.py has plain sums and the undisturbed case).
BURSAR_LOAD_EVENTS sets its size, 1 200 unless told.
"""

from __future__ import annotations

import asyncio
import os
import time
from random import Random

import pytest

from tests.oracle.model import Model
from tests.support.load import Load
from tests.support.load_audit import audit
from tests.support.load_events import Event, lines_of, publish, take_all
from tests.support.load_export import export_all
from tests.support.load_rules import LUMP_PAYMENTS, profiles
from tests.support.process import Site

EVENTS = int(os.environ.get("BURSAR_LOAD_EVENTS", "1200"))
MANY_EVENTS = 100_000
SECONDS_MAX = 60 + MANY_EVENTS // 100
PARTITIONS = 3
NAMES = ("one", "two")


@pytest.mark.parametrize("count", [EVENTS, pytest.param(MANY_EVENTS, marks=pytest.mark.slow)])
async def test_a_mixed_load_ends_where_the_model_ends_though_each_process_is_killed(
    site: Site, count: int
) -> None:
    await _prepare(site, count)
    made, model = Load(Random(20)), Model(settings=LUMP_PAYMENTS)
    started = time.monotonic()
    first = made.first_half(count // 2)
    repeats = take_all(model, first)
    await _through(site, first, 0, "one")
    manifests = await export_all(site, model, [], SECONDS_MAX)
    batches = {name: manifest for name, _, manifest in lines_of(manifests)}
    second = made.second_half(count - count // 2, model, batches)
    repeats += take_all(model, second)
    await _through(site, second, len(first), "two")
    await export_all(site, model, manifests, SECONDS_MAX)
    await site.stop_all()
    print(f"{len(first) + len(second)} records in {time.monotonic() - started:.1f} s")
    await audit(site, model)
    assert repeats > count // 50
    _has_met_everything(model)


async def _prepare(site: Site, count: int) -> None:
    site.write_profiles(profiles())
    site.settings = {**site.settings, "BURSAR_POLL_RECORDS_MAX": str(max(50, count // 50))}
    await site.command("topics", "create", "--partitions", str(PARTITIONS))
    for name in NAMES:
        await site.start(name)


async def _through(site: Site, events: list[Event], before: int, killed: str) -> None:
    """All of them published and applied; `killed` dies when the first are, and starts again."""
    sent = asyncio.create_task(
        asyncio.to_thread(publish, site.servers, site.prefix, events, PARTITIONS)
    )

    async def has_begun() -> bool:
        return await site.applied() > before

    await site.until(has_begun, SECONDS_MAX)
    await site.kill(killed)
    assert await site.applied() < before + len(events), "it was to die in the middle"
    await site.start(killed)
    await sent
    await site.until_idle(before + len(events), SECONDS_MAX)


def _has_met_everything(model: Model) -> None:
    """A load in which little happens would prove little."""
    assert len(set(model.rejected)) >= 20, model.rejected
    assert {"overtaken", "exceeds_remaining"} <= set(model.rejected)
    assert len(model.parked()) == 5, model.parked()
    made = {(fine["made_by"], fine["status"]) for fine in model.fines.values()}
    assert {("change", "Transferred"), ("payment", "Transferred")} <= made
    assert any(fine["followed"] for fine in model.fines.values())
