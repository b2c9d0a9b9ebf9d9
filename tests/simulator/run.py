"""Runs the simulation of a seed, and says how it went."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from random import Random

from tests.simulator import backups
from tests.simulator.control import Control
from tests.simulator.controls import methods_without, rewrite_without
from tests.simulator.databases import database
from tests.simulator.history import FewPatrons
from tests.simulator.instance import SWEEP_SECONDS
from tests.simulator.judge import all_due, judge
from tests.simulator.ports import ports
from tests.simulator.scheduler import Stuck
from tests.simulator.world import NAMES, Noticed, World, is_older
from tests.support.load_events import Event

EVENTS = 20  # in each half of a history, unless told
GAP_SECONDS_MAX = 1.0
REST_SECONDS_MAX = 400
EXPORT_SECONDS_MAX = 25
QUIET_SECONDS = 2
LAST_RUNS_MAX = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a simulation went; `problem` says what was wrong with it, in the end or before."""

    seed: int
    digest: str
    steps: int
    trace: list[str]
    problem: str | None = None


def simulate(
    seed: int, url: str, template: str, events: int = EVENTS, without: Collection[str] = ()
) -> Outcome:
    """Simulates the history of a seed on a database of its own, and judges its end.

    `events` is how many records each half of the history has, about. `without` names protections
    that the service does not have (controls.py).
    """
    with database(url, template) as its_url, methods_without(without):
        control = Control(its_url)
        world = World(seed, its_url, control, rewrite_without(without))
        problem = None
        try:
            with ports(world):
                world.loop.run_until_complete(_direct(world, events))
            if not world.is_noticed:
                assert not world.is_evident, "the older database was not noticed"
                judge(control, world.history)
        except Exception:  # noqa: BLE001 - whatever it is, the seed has brought it up
            problem = traceback.format_exc()
        finally:
            _abandon(world)
            control.close()
    scheduler = world.scheduler
    return Outcome(seed, scheduler.digest, scheduler.steps, scheduler.trace, problem)


async def _direct(world: World, events: int) -> None:
    """The history; if an older database comes back, it ends when that is noticed."""
    others = [
        asyncio.create_task(world.cluster.watch()),
        asyncio.create_task(_export_now_and_then(world)),
    ]
    try:
        await _live_through(world, events, others[1])
    except Noticed:
        await _stop_for_good(world)
    for task in others:
        task.cancel()
    await asyncio.wait(others)


async def _live_through(world: World, events: int, exports: asyncio.Task[None]) -> None:
    """Two halves with harm, and an end without any in which all comes to rest."""
    load = FewPatrons(Random(world.seed))
    world.want(*NAMES)
    world.faults.begin()
    await _publish(world, load.first_half(events))
    await _come_to_rest(world)
    model = world.history.model()
    world.faults.begin()
    await _publish(world, load.after_exports(events, model, world.history.lines()))
    await _come_to_rest(world)
    world.calm_down()
    exports.cancel()
    await _come_to_rest(world)
    await _export_all(world)
    await _come_to_rest(world, quiet_seconds=SWEEP_SECONDS + QUIET_SECONDS)
    world.want()
    for instance in world.instances.values():
        instance.stop.set()
    await _until(world, world.have_ended)


async def _stop_for_good(world: World) -> None:
    """Every instance stops, and every later start; nothing was written to the older database."""
    world.is_noticed = True
    world.calm_down()
    world.want()
    await _until(world, world.have_ended, keep_running=False)
    world.want(*NAMES)
    await _until(world, world.have_ended, keep_running=False)
    started = [name for name, each in world.instances.items() if not is_older(each.problem)]
    assert not started, f"{started} would write to an older database"
    if world.is_evident:
        now = backups.digests(world.control)
        changed = [name for name, digest in world.restored_tables.items() if now[name] != digest]
        assert not changed, f"written to an older database: {changed}"


async def _publish(world: World, events: Iterable[Event]) -> None:
    for event in events:
        world.history.publish(event)
        await asyncio.sleep(world.random.uniform(0, GAP_SECONDS_MAX))
        world.keep_running()


async def _export_now_and_then(world: World) -> None:
    """In one instance, or in both at once."""
    while True:
        await asyncio.sleep(world.random.uniform(1, EXPORT_SECONDS_MAX))
        profile = world.random.choice(world.profiles.profiles)
        for name in world.random.choice((NAMES[:1], NAMES[1:], NAMES)):
            if world.instances[name].is_up:
                world.instances[name].runs.put_nowait(profile)


async def _export_all(world: World) -> None:
    """Until nothing is due: a run may make credits, or close a fine that a credit waits for."""
    for _ in range(LAST_RUNS_MAX):
        if not all_due(world.history.model()):
            return
        await _run_all(world)
        await _come_to_rest(world)


async def _run_all(world: World) -> None:
    for profile in world.profiles.profiles:
        await _until(world, lambda: world.instances[NAMES[0]].is_up)
        runs = world.instances[NAMES[0]].runs
        runs.put_nowait(profile)
        await runs.join()


async def _come_to_rest(world: World, quiet_seconds: int = QUIET_SECONDS) -> None:
    """Waits until everything is applied and sent, for some seconds in a row."""
    quiet = 0

    def is_quiet() -> bool:
        nonlocal quiet
        quiet = quiet + 1 if world.is_idle() else 0
        return quiet > quiet_seconds

    await _until(world, is_quiet)


async def _until(world: World, holds: Callable[[], bool], *, keep_running: bool = True) -> None:
    end = world.loop.time() + REST_SECONDS_MAX
    while not holds():
        if world.loop.time() > end:
            raise Stuck(f"not at rest after {REST_SECONDS_MAX} s")
        await asyncio.sleep(1)
        if keep_running:
            world.keep_running()


def _abandon(world: World) -> None:
    """Ends what is left without running it any further."""
    for instance in world.instances.values():
        instance.actor.is_dead = True
        instance.link.cut_all()
    world.loop.close()
