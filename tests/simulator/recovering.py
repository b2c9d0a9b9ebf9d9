"""What an operator does when an older database has come back, as the runbook says: stops
everything, calls `bursar-bridge recover` until it is done, and starts the service again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from service.database.session import Connection, create_pool
from service.restore.recovery import NothingToRecover, Recovery
from service.restore.survey import Plan, RecoveryNotPossible, Step
from service.runtime.failures import DATABASE_FAILURES, IN_THE_WAY, UNAVAILABLE
from service.runtime.waiting import unless_set
from service.wiring import new_outputs, scope_of
from tests.simulator.process import Process, close
from tests.simulator.scheduler import Actor
from tests.simulator.world import NAMES, World, is_older

CALLS_MAX = 60
PAUSE_SECONDS = 1  # between two calls
DRY_RUNS = 0.2
TWICE_AT_ONCE = 0.2
STARTED_TOO_EARLY = 0.2
ALONE_FIRST = 0.7  # as the runbook says; the others begin when everything was read again
# After these an operator calls again.
PASSING = (*UNAVAILABLE, *IN_THE_WAY, *DATABASE_FAILURES, KafkaError)
BESIDE = ("has members", "is at work")  # another instance, or another call


@dataclass(eq=False, slots=True)
class Recover(Process):
    """A call of `bursar-bridge recover`; `is_done` says that it has told its user so."""

    is_dry: bool = False
    is_done: bool = False

    async def work(self) -> None:
        """Recovers, or shows what would be done; a signal interrupts it."""
        url = self.settings.database_url.get_secret_value()
        pool = await create_pool(url, self.settings, self.link.connect)
        try:
            scope, outputs = scope_of(self.settings), new_outputs(self.settings)
            recovery = Recovery(pool, self.settings, scope, outputs, "operator", _ignore)
            work = recovery.preview(_nothing) if self.is_dry else recovery.run()
            await unless_set(work, self.stop)
            self.is_done = not self.stop.is_set()
        finally:
            await close(pool.close)


def _ignore(_: Step) -> None:
    """Its progress is not shown."""


async def _nothing(_connection: Connection, _epoch: int, _plan: Plan) -> None:
    """Of a dry run nothing is shown."""


async def recover(world: World) -> None:
    """From the moment at which the older database was noticed to the start of the service."""
    was_calm = world.faults.is_over
    world.calm_down()
    world.want()
    if not _may_not_write(world):  # nobody can tell any more, unless another one remembers
        await _stop_instances(world)
    if _may_not_write(world):
        await world.until(world.have_ended)
        await _check_nothing_starts(world)
        changed = world.restores.changed() if world.restores.is_evident else []
        assert not changed, f"written to an older database: {changed}"
        if not was_calm:
            world.faults.begin()
        await _recover(world)
    world.scheduler.note("  recovered")
    world.restores.ended()
    for instance in world.instances.values():
        instance.problem = None  # it was heard
    world.want(*(NAMES[:1] if world.random.random() < ALONE_FIRST else NAMES))


def _may_not_write(world: World) -> bool:
    return world.restores.is_evident or world.restores.has_verdict()


async def _stop_instances(world: World) -> None:
    for instance in world.instances.values():
        instance.stop.set()
    await world.until(world.have_ended)


async def _check_nothing_starts(world: World) -> None:
    """Each instance notices the older database; those that were ended before are started again."""
    left = set(NAMES)
    while left:
        world.want(*sorted(left))
        await world.until(world.have_ended)
        world.want()
        left = {name for name in left if not is_older(world.instances[name].problem)}
        started = [name for name in sorted(left) if not world.instances[name].was_ended]
        assert not started, f"{started} would write to an older database"


async def _recover(world: World) -> None:
    # The runbook has people wait: what ended processes have sent arrives by then, or never.
    world.cluster.wire_number += 1
    if world.random.random() < DRY_RUNS:
        world.restores.remember()
        await _run(world, _command(world, "dry run", is_dry=True))
        changed = world.restores.changed()
        assert not changed, f"changed by a dry run: {changed}"
    for call in range(CALLS_MAX):
        if await _call(world, is_first=call == 0):
            return
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError(f"not recovered after {CALLS_MAX} calls")


async def _call(world: World, *, is_first: bool) -> bool:
    """Calls `recover`, at times twice at once; whether it was done."""
    count = 2 if world.random.random() < TWICE_AT_ONCE else 1
    commands = [_command(world, name) for name in ("recover", "recover too")[:count]]
    await _run(world, *commands)
    if any(command.is_done for command in commands):
        return True
    problems = [command.problem for command in commands if command.problem is not None]
    if any(isinstance(problem, NothingToRecover) for problem in problems):
        assert not is_first or count == 2, "there was something to recover"
        return True  # an earlier call was interrupted after its last commit
    for problem in problems:
        if not isinstance(problem, PASSING) and not _is_beside(problem):
            raise problem
    if world.restores.has_verdict() and world.random.random() < STARTED_TOO_EARLY:
        await _check_nothing_starts(world)
    return False


def _is_beside(problem: BaseException) -> bool:
    """Whether the command was refused because of another instance, or another call."""
    text = str(problem)
    return isinstance(problem, RecoveryNotPossible) and any(word in text for word in BESIDE)


def _command(world: World, name: str, *, is_dry: bool = False) -> Recover:
    actor = Actor(name)
    return Recover(actor, world.link(actor), world.settings, is_dry=is_dry)


async def _run(world: World, *commands: Recover) -> None:
    for command in commands:
        world.call(command)
    await world.until(world.have_ended)
    for command in commands:
        world.commands.remove(command)
