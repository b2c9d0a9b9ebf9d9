"""A topic is stopped while a release that does not know of stops runs beside this one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.single_events import fine, payment
from tests.faults.stage import Stage
from tests.support.load_events import Event, take_all
from tests.support.older_release import extract_older_release

OLDER = "0.7.0"
BAD_MAX = 40
FINES = 60
FIRST, LATER = range(FINES), range(FINES, 2 * FINES)
WHY = ("--reason", "a test", "--operator", "ann")


def fines(numbers: range) -> list[Event]:
    """Each in a place of its own, so that all partitions have some."""
    return [fine("1001", number) for number in numbers]


def payments(numbers: range) -> list[Event]:
    """A part of each fine, which may come before it."""
    return [payment("1001", number) for number in numbers]


async def applied_fines(stage: Stage) -> int:
    """How many fines the ledger has."""
    (row,) = await stage.site.rows("SELECT count(*) AS n FROM fine")
    return int(str(row["n"]))


@pytest.mark.slow
@pytest.mark.fault("older-release-beside-a-stop")
async def test_what_a_stop_holds_back_an_older_release_leaves_there(
    stage: Stage, tmp_path: Path
) -> None:
    older = await asyncio.to_thread(extract_older_release, tmp_path, OLDER)
    await stage.start("newer", settings={"BURSAR_BAD_RECORDS_IN_A_ROW_MAX": str(BAD_MAX)})
    await stage.take(fines(FIRST))
    bad = Event("fine-created.v1", "bad", None, b"no JSON", "invalid_json")
    await stage.take([bad] * BAD_MAX)
    stage.row.count("stopped topic")
    assert await stage.site.rows("SELECT topic FROM intake_stop") != []
    stage.row.count("older release")
    await stage.start("older", root=older)
    await stage.publish(fines(LATER))
    stage.publisher.acknowledged -= FINES  # nobody takes them yet
    await stage.take(payments(range(2 * FINES)))
    assert await stage.members.pop("newer").stop() == 0
    await stage.take(payments(range(2 * FINES, 3 * FINES)))  # the older one goes on alone
    assert await applied_fines(stage) == FINES
    await stage.start("again")
    await stage.site.command(
        "intake", "resume", "--topic", stage.site.topic("fine-created.v1"), *WHY
    )
    take_all(stage.model, fines(LATER))
    stage.publisher.acknowledged += FINES
    await stage.until_quiet()
    assert await applied_fines(stage) == 2 * FINES
    await stage.export([])
    await stage.judge()
