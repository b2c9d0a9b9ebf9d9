"""Runs the simulation of a seed, and says how it went."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.simulator.control import Control
from tests.simulator.controls import methods_without, rewrite_without
from tests.simulator.databases import database
from tests.simulator.history import FewPatrons
from tests.simulator.instance import SWEEP_SECONDS
from tests.simulator.judge import all_due, counts, judge
from tests.simulator.ports import ports
from tests.simulator.recovering import recover
from tests.simulator.sessions import COLLIDES
from tests.simulator.stops import bad_records, check_stops, resume
from tests.simulator.world import NAMES, REST_SECONDS_MAX, Noticed, World
from tests.support.load_events import Event

EVENTS = 20  # in each half of a history, unless told
GAP_SECONDS_MAX = 1.0
EXPORT_SECONDS_MAX = 25
QUIET_SECONDS = 2
RUNS_MAX = 4
NONE: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Way:
    """How histories are simulated.

    `events` is how many records each half has, about; with `restores` an older database comes back
    in each of them; `without` names protections that the service does not have (controls.py).
    """

    events: int = EVENTS
    restores: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a simulation went; `problem` says what was wrong with it, in the end or before.
    `recovered` is what its recoveries have done.
    """

    seed: int
    digest: str
    steps: int
    trace: list[str]
    recovered: Mapping[str, int]
    problem: str | None = None


def simulate(seed: int, url: str, template: str, way: Way) -> Outcome:
    """Simulates the history of a seed on a database of its own, and judges its end."""
    with database(url, template) as its_url, methods_without(way.without):
        control = Control(its_url)
        rewrite = rewrite_without(way.without)
        world = World(seed, its_url, control, rewrite, restores=way.restores)
        problem, recovered = None, NONE
        try:
            with ports(world):
                world.loop.run_until_complete(_direct(world, way.events))
            assert not world.restores.is_evident, "the older database was not noticed"
            collisions = [line for line in world.scheduler.trace if line.endswith(COLLIDES)]
            assert collisions == [], "an account was not locked"
            check_stops(world.history)
            recovered = counts(control, world.restores.count)
            judge(control, world.history)
        except Exception:  # noqa: BLE001 - whatever it is, the seed has brought it up
            problem = traceback.format_exc()
        finally:
            _abandon(world)
            control.close()
    scheduler = world.scheduler
    return Outcome(seed, scheduler.digest, scheduler.steps, scheduler.trace, recovered, problem)


async def _direct(world: World, events: int) -> None:
    others = [
        asyncio.create_task(world.cluster.watch()),
        asyncio.create_task(_export_now_and_then(world)),
    ]
    await _live_through(world, events, others[1])
    for task in others:
        task.cancel()
    await asyncio.wait(others)


async def _live_through(world: World, events: int, exports: asyncio.Task[None]) -> None:
    """Two halves with harm, and an end without any in which all comes to rest."""
    load = FewPatrons(Random(world.seed))
    world.want(*NAMES)
    world.faults.begin()
    await _publish(world, load.first_half(events))
    if not world.faults.has_restores:
        await _publish(world, bad_records(world.seed))
    if world.faults.has_restores and not world.restores.has_backup:
        world.restore()
    await _come_to_rest(world)
    await _export_all(world)
    model = world.history.model()
    world.faults.begin()
    await _publish(world, load.after_exports(events, model, world.history.lines()))
    if world.faults.has_restores and not world.restores.count:
        world.restore()
    await _come_to_rest(world)
    world.calm_down()
    exports.cancel()
    await _come_to_rest(world)
    await _export_all(world)
    await _come_to_rest(world, quiet_seconds=SWEEP_SECONDS + QUIET_SECONDS)
    world.want()
    for instance in world.instances.values():
        instance.stop.set()
    await world.until(world.have_ended)


async def _attend(world: World) -> None:
    """What an operator does all the time."""
    resume(world)
    try:
        world.keep_running()
    except Noticed:
        await recover(world)
    if len(world.wanted) == 1 and not world.restores.is_reading():
        world.want(*NAMES)


async def _publish(world: World, events: Sequence[Event]) -> None:
    """Also while a database is recovered."""

    async def publish() -> None:
        for event in events:
            world.history.publish(event)
            await asyncio.sleep(world.random.uniform(0, GAP_SECONDS_MAX))

    task = asyncio.create_task(publish())
    await world.until(task.done, partial(_attend, world), REST_SECONDS_MAX + len(events))
    await task


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
    for _ in range(RUNS_MAX):
        if not all_due(world.control, world.history.model()):
            return
        await _run_all(world)
        await _come_to_rest(world)


async def _run_all(world: World) -> None:
    """In the first instance, unless it ends meanwhile."""
    attend = partial(_attend, world)
    await world.until(lambda: world.instances[NAMES[0]].is_up, attend)
    instance = world.instances[NAMES[0]]
    for profile in world.profiles.profiles:
        instance.runs.put_nowait(profile)
    done = asyncio.create_task(instance.runs.join())
    await world.until(lambda: done.done() or instance.has_ended, attend)
    done.cancel()


async def _come_to_rest(world: World, quiet_seconds: int = QUIET_SECONDS) -> None:
    """Waits until everything is applied and sent, for some seconds in a row."""
    quiet = 0

    def is_quiet() -> bool:
        nonlocal quiet
        quiet = quiet + 1 if world.is_idle() else 0
        return quiet > quiet_seconds

    await world.until(is_quiet, partial(_attend, world))


def _abandon(world: World) -> None:
    """Ends what is left without running it any further."""
    for process in world.processes:
        process.actor.is_dead = True
        process.link.cut_all()
    world.backends.close()
    world.loop.close()
