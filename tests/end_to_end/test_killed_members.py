"""A mixed load through two members of one parent, each of which is killed in between."""

from __future__ import annotations

import os
import signal

import pytest

from tests.end_to_end.test_two_processes import (
    DRAIN_SECONDS_MAX,
    EVENTS,
    INSTITUTIONS,
    Load,
    check_events,
    check_tables,
    configuration,
    pass_by,
    send,
)
from tests.support.process import Site


@pytest.fixture
async def two_members(site: Site) -> Site:
    site.write_profiles("".join(map(configuration, INSTITUTIONS)))
    site.settings = {**site.settings, "BURSAR_PROCESSES": "2"}
    await site.command("migrate")
    await site.command("topics", "create", "--partitions", "4")
    return site


async def kill_member(site: Site, number: int) -> None:
    """Once the parent has started it."""

    async def is_started() -> bool:
        return bool(site.pids_of_member(number))

    await site.until(is_started, DRAIN_SECONDS_MAX)
    os.kill(site.pids_of_member(number)[-1], signal.SIGKILL)


@pytest.mark.slow
async def test_the_books_are_right_with_members_that_are_killed(two_members: Site) -> None:
    """A parent with two members, each killed once; the small form is in test_processes.py."""
    site, load = two_members, Load(EVENTS)
    await site.start("one")
    send(site, "bursar-payment.v1", load.early)
    send(site, "fine-created.v1", load.created)
    first = len(load.created) + len(load.early)
    await pass_by(site, first // 3)
    await kill_member(site, 1)
    await site.until_idle(first, DRAIN_SECONDS_MAX)
    await site.command("export", "run", "--all")
    send(site, "bursar-payment.v1", load.late)
    await pass_by(site, first + len(load.late) // 3)
    await kill_member(site, 2)
    await site.until_idle(load.records, DRAIN_SECONDS_MAX)
    await site.stop_all()

    await check_tables(site, load.expected)
    check_events(site, load.expected)
