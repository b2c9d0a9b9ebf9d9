"""SIGTERM in the middle of work, and while something else is wrong."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from confluent_kafka.admin import AdminClient

from tests.faults.holding import held_accounts, member_in_commit
from tests.faults.members import Member
from tests.faults.network import Network
from tests.faults.proxy import Mode
from tests.faults.stage import MANY_EVENTS, MANY_IN_FLIGHT, PROGRESS_SECONDS_MAX, Stage
from tests.support.topics import group_assignment
from tests.support.waiting import until

GRACE_SECONDS = 25  # BURSAR_SHUTDOWN_SECONDS_MAX of the instances
MARGIN_SECONDS = 15  # what a loaded machine may add to it
AT_ONCE_SECONDS_MAX = 10  # far less than the grace
SECOND_SIGNAL = 128 + signal.SIGTERM
OVERDUE = 1
ASKED = '"event": "stop_asked"'


class Stopping:
    """The end of an instance, which its supervisor starts again, by one SIGTERM or by more."""

    def __init__(self, stage: Stage, member: Member) -> None:
        self._stage = stage
        self._member = member
        self._ends = len(member.ends)
        self._asked = self._member.times_logged(ASKED)
        self._signalled = 0.0

    def signal(self) -> None:
        """Sends SIGTERM; the time that `code` checks begins anew."""
        assert len(self._member.ends) == self._ends, "the instance has ended by itself"
        self._stage.row.count("SIGTERM")
        self._signalled = time.monotonic()
        self._member.signal(signal.SIGTERM)

    async def until_asked(self) -> None:
        """Waits until the instance, or the parent if it has several processes, is stopping."""
        await until(lambda: self._member.times_logged(ASKED) > self._asked)

    async def code(self, seconds_max: float) -> int:
        """The exit code. Fails if the end comes later than this after the latest signal."""
        await self._stage.until(self._has_ended, PROGRESS_SECONDS_MAX)
        seconds = time.monotonic() - self._signalled
        assert seconds <= seconds_max, f"it has ended after {seconds:.1f} s"
        self._stage.row.notes.append(f"A stop took {seconds:.1f} s.")
        return self._member.ends[self._ends]

    async def _has_ended(self) -> bool:
        return len(self._member.ends) > self._ends


@pytest.mark.slow
@pytest.mark.parametrize(
    (),
    [
        pytest.param(marks=pytest.mark.fault("sigterm-in-rebalance")),
        pytest.param(marks=pytest.mark.fault("sigterm-in-rebalance-processes", processes=2)),
    ],
)
async def test_a_stop_during_a_rebalance_ends_in_time_and_loses_nothing(
    stage: Stage, kafka_admin: AdminClient
) -> None:
    stage.in_flight_min = MANY_IN_FLIGHT
    await stage.start("one", "two", restart=True)
    codes: list[int] = []

    async def stop_while_another_joins() -> None:
        await until(lambda: is_stable(kafka_admin, stage), PROGRESS_SECONDS_MAX)
        await stage.start(f"newcomer-{len(codes)}", wait=False)
        await until(lambda: is_rebalancing(kafka_admin, stage), PROGRESS_SECONDS_MAX)
        stopping = Stopping(stage, stage.members["one"])
        stopping.signal()
        codes.append(await stopping.code(GRACE_SECONDS + MARGIN_SECONDS))
        await stage.until_progress()

    await stage.under_load(stop_while_another_joins, MANY_EVENTS)
    assert codes == [0, 0]


async def is_stable(admin: AdminClient, stage: Stage) -> bool:
    """Whether each member of the stage's group has its partitions."""
    return bool(await asyncio.to_thread(group_assignment, admin, stage.site.group))


async def is_rebalancing(admin: AdminClient, stage: Stage) -> bool:
    """Whether the members of the stage's group are being given their partitions anew."""
    return not await is_stable(admin, stage)


@pytest.mark.slow
@pytest.mark.parametrize(
    (),
    [
        pytest.param(marks=pytest.mark.fault("sigterm-twice")),
        pytest.param(marks=pytest.mark.fault("sigterm-twice-processes", processes=2)),
    ],
)
async def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(stage: Stage) -> None:
    """The commit that the instance is in cannot end meanwhile, and so the first signal cannot end
    the instance before the second one comes.
    """
    await stage.start("one", "two", restart=True)
    codes: list[int] = []

    async def stop_twice() -> None:
        async with held_accounts(stage):
            stopping = Stopping(stage, await member_in_commit(stage))
            stopping.signal()
            await stopping.until_asked()
            stopping.signal()
            codes.append(await stopping.code(AT_ONCE_SECONDS_MAX))
        await stage.until_progress()

    await stage.under_load(stop_twice)
    assert codes == [SECOND_SIGNAL, SECOND_SIGNAL]


@pytest.mark.slow
@pytest.mark.parametrize(
    "server",
    [
        pytest.param("kafka", marks=pytest.mark.fault("sigterm-kafka-away")),
        pytest.param("postgres", marks=pytest.mark.fault("sigterm-database-away")),
        pytest.param("kafka", marks=pytest.mark.fault("sigterm-kafka-away-processes", processes=2)),
        pytest.param(
            "postgres", marks=pytest.mark.fault("sigterm-database-away-processes", processes=2)
        ),
    ],
)
async def test_a_stop_while_a_server_is_silent_ends_in_time_and_loses_nothing(
    network: Network, server: str
) -> None:
    """An instance whose stop takes all the time that it has ends itself."""
    stage, proxy = network.stage, network.proxy(server)
    await stage.start("one", "two", restart=True)
    codes: list[int] = []

    async def stop_in_silence() -> None:
        stage.row.count(f"{server} silent")
        proxy.mode = Mode.BLACK_HOLE
        stopping = Stopping(stage, stage.members["one"])
        try:
            stopping.signal()
            codes.append(await stopping.code(GRACE_SECONDS + MARGIN_SECONDS))
        finally:
            proxy.mode = Mode.PASS

    await stage.under_load(stop_in_silence)
    assert len(codes) == 2
    assert set(codes) <= {0, OVERDUE}
