"""One simulation: its clocks, brokers, instances and harm, from a seed to a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import copy_context
from random import Random

from service.runtime.problems import OlderDatabase
from tests.simulator import backups
from tests.simulator.clock import Clock, SimulatedLoop
from tests.simulator.cluster import Cluster
from tests.simulator.control import Control
from tests.simulator.faults import (
    DOWN_SECONDS_MAX,
    PAUSE_SECONDS_MAX,
    SHORT_PAUSES,
    UNREACHABLE_SECONDS_MAX,
    Faults,
)
from tests.simulator.history import TOPICS, History, Step
from tests.simulator.instance import IDLE_SECONDS_MAX, SESSION_SECONDS, Instance, settings_for
from tests.simulator.scheduler import CURRENT, Actor, Scheduler, new_task
from tests.simulator.sessions import Commit, Link
from tests.support.load_rules import profiles
from tests.support.write_path import profiles_of

NAMES = ("one", "two")
DELICATE = ("sql BEGIN", "sql COMMIT")
DELICATE_FIRST = 0.8


class Noticed(Exception):
    """An instance has ended because its database is an older one."""


def is_older(problem: BaseException | None) -> bool:
    """Whether this and nothing else ends a process."""
    if isinstance(problem, BaseExceptionGroup):
        return problem.split(OlderDatabase)[1] is None
    return isinstance(problem, OlderDatabase)


class World:
    """Everything that a simulation has. Faults hit what is there at the time."""

    def __init__(
        self, seed: int, url: str, control: Control, rewrite: Callable[[str], str]
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = Clock()
        self.control = control
        self.scheduler = Scheduler(self.clock, self.random, control.locked_out)
        self.cluster = Cluster(self.scheduler, TOPICS, SESSION_SECONDS)
        self.history = History(self.cluster)
        self.faults = Faults(self.random, self)
        self.scheduler.interfere = self.faults.interfere
        self.scheduler.can_block = self._is_transaction_beside
        self.instances: dict[str, Instance] = {}
        self.profiles = profiles_of(profiles())
        self._rewrite = rewrite
        self._wanted: set[str] = set()
        self._down_until: dict[str, float] = {}
        self._settings = settings_for(url, self.random)
        self._backup: backups.Backup | None = None
        self.is_restored = False
        self.is_evident = False
        self.is_noticed = False
        self.restored_tables: Mapping[str, object] = {}
        self.loop = SimulatedLoop(self.clock, self.scheduler)
        self.loop.set_task_factory(new_task)  # type: ignore[arg-type]  # a protocol of the stubs
        self.loop.set_exception_handler(lambda _loop, _context: None)

    # Instances

    def start(self, name: str) -> None:
        """Starts an instance, unless it runs."""
        instance = self.instances.get(name)
        if name not in self._wanted or (instance is not None and not instance.has_ended):
            return
        actor = Actor(name)
        link = Link(
            actor,
            self.scheduler,
            self.control,
            self.faults.ending_of,
            self._note_commit,
            self._rewrite,
        )
        self.instances[name] = Instance(actor, link, self._settings, self.profiles)
        self.scheduler.note(f"  {name} starts")
        self._run_as(actor, self.instances[name].run)

    def want(self, *names: str) -> None:
        """These instances are to run: whichever ends is started again."""
        self._wanted = set(names)
        for name in names:
            self.start(name)

    def keep_running(self) -> None:
        """Starts what was stopped or killed.

        Raises Noticed if the restored database was noticed; and what else an instance ends with.
        """
        for instance in self.instances.values():
            if instance.problem is not None:
                if self.is_restored and is_older(instance.problem):
                    raise Noticed from instance.problem
                raise instance.problem
        for name in sorted(self._wanted):
            if self.loop.time() >= self._down_until.get(name, 0):
                self.start(name)

    def _run_as(self, actor: Actor, run: Callable[[], object]) -> asyncio.Task[object]:
        context = copy_context()
        context.run(CURRENT.set, actor)
        return self.loop.create_task(run(), context=context)  # type: ignore[arg-type]

    def _note_commit(self, commit: Commit) -> None:
        """The records of a commit are those of the latest poll that it has moved the offsets of."""
        instance = self.instances[commit.actor.name]
        ends = {(a.topic, a.partition): range(a.first, a.end) for a in commit.advances}
        read = () if instance.intake is None else instance.intake.places
        places = tuple(place for place in read if place[2] in ends.get(place[:2], ()))
        self.history.steps.append(Step(commit.advances, places, commit.batches))
        self.scheduler.note(f"  commit of {len(places)} records, {len(commit.batches)} batches")

    def _is_transaction_beside(self, pid: int) -> bool:
        sessions = [
            each
            for _, instance in sorted(self.instances.items())
            for each in instance.link.sessions
        ]
        return any(
            session.is_in_transaction() and session.get_server_pid() != pid for session in sessions
        )

    def have_ended(self) -> bool:
        """Whether no instance runs."""
        return all(instance.has_ended for instance in self.instances.values())

    # Harm

    def kill(self) -> None:
        if instance := self._some_instance():
            self.scheduler.note(f"  {instance.actor.name} is killed")
            instance.actor.is_dead = instance.has_ended = True
            token = CURRENT.set(instance.actor)
            for task in list(instance.actor.tasks):
                task.cancel()
            instance.link.cut_all()
            CURRENT.reset(token)
            instance.is_up = False
            self._keep_down(instance)

    def stop(self) -> None:
        if instance := self._some_instance():
            self.scheduler.note(f"  {instance.actor.name} is stopped")
            instance.stop.set()
            self._keep_down(instance)

    def _keep_down(self, instance: Instance) -> None:
        seconds = self.random.randint(0, DOWN_SECONDS_MAX)
        self._down_until[instance.actor.name] = self.loop.time() + seconds

    def pause(self) -> None:
        if instance := self._some_instance():
            shorter = self.random.random() < SHORT_PAUSES
            bounds = (1, SESSION_SECONDS) if shorter else (SESSION_SECONDS + 1, PAUSE_SECONDS_MAX)
            seconds = self.random.randint(*bounds)
            self.scheduler.note(f"  {instance.actor.name} is paused for {seconds} s")
            instance.actor.is_paused = True
            self.loop.call_later(seconds, self._resume, instance)
            if seconds > IDLE_SECONDS_MAX:
                self.loop.call_later(IDLE_SECONDS_MAX, instance.link.cut_idle)

    def _resume(self, instance: Instance) -> None:
        instance.actor.is_paused = False

    def rebalance(self) -> None:
        self.scheduler.note("  rebalance")
        self.cluster.group.rebalance()

    def cut_sessions(self) -> None:
        if instance := self._some_instance():
            self.scheduler.note(f"  the sessions of {instance.actor.name} are cut")
            instance.link.cut_all()

    def end_wait_for_lock(self) -> None:
        if pids := self.scheduler.locked_out:
            self.scheduler.note("  a wait for a lock ends")
            self.control.value("SELECT pg_cancel_backend($1)", self.random.choice(pids))
            self.scheduler.locks_may_be_free()

    def lose_brokers(self) -> None:
        self.scheduler.note("  the brokers cannot be reached")
        self.cluster.is_unreachable = True
        seconds = self.random.randint(1, UNREACHABLE_SECONDS_MAX)
        self.loop.call_later(seconds, self._find_brokers)

    def restore(self) -> None:
        """Takes a backup; the second time, the backup takes the place of the database."""
        steps = len(self.history.steps)
        if self._backup is None:
            self.scheduler.note("  a backup is taken")
            self._backup = backups.take(self.control, steps)
        elif not self.is_restored:
            lost = steps - self._backup.steps
            self.scheduler.note(f"  the backup comes back without {lost} commits")
            for instance in self.instances.values():
                instance.link.cut_all()
            self.cluster.wire_number += 1
            backups.put_back(self.control, self._backup)
            del self.history.steps[self._backup.steps :]
            self.is_restored = True
            self.is_evident = backups.is_evident(self.control, self.history, self.cluster.group)
            self.restored_tables = backups.digests(self.control)

    def _find_brokers(self) -> None:
        self.cluster.is_unreachable = False
        self.cluster.wake()

    def is_delicate(self) -> bool:
        """Whether an instance is about to begin or to end a transaction."""
        return bool(self.scheduler.about_to(DELICATE))

    def _some_instance(self) -> Instance | None:
        """One that runs; mostly one that is about to begin or to end a transaction."""
        running = [
            instance
            for _, instance in sorted(self.instances.items())
            if not (instance.has_ended or instance.actor.is_paused or instance.stop.is_set())
        ]
        names = self.scheduler.about_to(DELICATE)
        delicate = [instance for instance in running if instance.actor.name in names]
        if delicate and self.random.random() < DELICATE_FIRST:
            return self.random.choice(delicate)
        return self.random.choice(running) if running else None

    # What is left to do

    def calm_down(self) -> None:
        """Ends all harm: who is paused goes on, and the brokers are there."""
        self.faults.end()
        for instance in self.instances.values():
            instance.actor.is_paused = False
        self._find_brokers()

    def is_idle(self) -> bool:
        """Whether every record is applied and every event is sent."""
        read = self.control.value(
            "SELECT sum(next_offset) FROM consumer_offset WHERE NOT EXISTS (SELECT FROM outbox)"
        )
        return read == len(self.history.events)
