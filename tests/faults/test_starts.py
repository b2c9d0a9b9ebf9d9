"""A server is away, silent or slow when the service starts."""

from __future__ import annotations

import time

import pytest

from tests.faults.network import Network
from tests.faults.operator import problems
from tests.faults.proxy import Mode
from tests.faults.stage import Stage

NAMES = ("one", "two")
NAMED = {"kafka": "Kafka", "postgres": "database"}
EVENTS = 450
SECONDS_MAX = 180
STATES = {"away": Mode.DROP, "silent": Mode.BLACK_HOLE, "slow": Mode.LATENCY}


def rows() -> list[object]:
    """Each server in each state, and instances of a process or of several."""
    return [
        pytest.param(server, mode, marks=pytest.mark.fault(name, processes=processes))
        for server in NAMED
        for state, mode in STATES.items()
        for name, processes in (
            (f"start-{server}-{state}", 1),
            (f"start-{server}-{state}-processes", 2),
        )
    ]


async def until_named(stage: Stage, server: str) -> None:
    """Each instance is not ready, and says that it waits for the server."""

    async def is_named() -> bool:
        texts = [" ".join((await problems(stage, name)).values()) for name in NAMES]
        return all(NAMED[server] in text for text in texts)

    await stage.until(is_named, SECONDS_MAX)


async def until_started(stage: Stage) -> None:
    """Each instance is at work."""

    async def have_started() -> bool:
        return all(stage.members[name].has_started for name in NAMES)

    await stage.until(have_started, SECONDS_MAX)


@pytest.mark.slow
@pytest.mark.parametrize(("server", "mode"), rows())
async def test_it_waits_says_for_what_and_begins_by_itself(
    network: Network, server: str, mode: Mode
) -> None:
    """Records wait already. While the server is slow, the instances begin all the same."""
    stage, proxy = network.stage, network.proxy(server)
    await stage.prepare()
    await stage.publish_unread(stage.load.first_half(EVENTS))
    stage.row.count(f"{server}: {mode}")
    proxy.mode = mode
    await stage.start(*NAMES, restart=True, wait=False)
    if mode is Mode.LATENCY:
        await until_started(stage)
    else:
        await until_named(stage, server)
    proxy.mode = Mode.PASS
    ended = time.monotonic()
    await until_started(stage)
    await stage.until_progress()
    stage.row.progress_seconds.append(round(time.monotonic() - ended, 1))
    await stage.until_quiet()
    await stage.export([])
    await stage.judge()
    assert stage.row.restarts == 0, "it waits, and does not end"
