"""The clocks of the instances are wrong, in both directions, and jump, under load."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.clocks import SHIFT, set_clock, shifted
from tests.faults.databases import FEW_EVENTS
from tests.faults.stage import Stage

UNFORKED = "tests.faults.unforked"


@pytest.mark.slow
@pytest.mark.fault("clock-skew")
async def test_clocks_two_hours_apart_that_jump_by_four_change_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    ahead, behind = tmp_path / "ahead", tmp_path / "behind"
    await stage.start("one", settings=shifted(ahead, SHIFT), module=UNFORKED)
    await stage.start("two", settings=shifted(behind, -SHIFT), module=UNFORKED)
    assert skew(stage, "one") > timedelta(seconds=SHIFT / 2)
    assert skew(stage, "two") < -timedelta(seconds=SHIFT / 2)

    async def harm() -> None:
        for now_ahead, now_behind in ((behind, ahead), (ahead, behind)):
            stage.row.count("clocks jump by 4 h")
            set_clock(now_ahead, SHIFT)
            set_clock(now_behind, -SHIFT)
            await stage.until_progress()

    await stage.under_load(harm, FEW_EVENTS)
    assert stage.row.restarts == 0


def skew(stage: Stage, name: str) -> timedelta:
    """By how much the clock of an instance is ahead, as its log shows."""
    latest = str(stage.site.log(name)[-1]["time"])
    return datetime.fromisoformat(latest) - datetime.now(UTC)
