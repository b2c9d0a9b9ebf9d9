"""One simulation: its clocks, brokers, instances and harm, from a seed to a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import copy_context
from random import Random

from service.runtime.problems import OlderDatabase
from tests.simulator.backends import Backends
from tests.simulator.backups import Restores
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
from tests.simulator.history import TOPICS, History
from tests.simulator.instance import IDLE_SECONDS_MAX, SESSION_SECONDS, Instance, settings_for
from tests.simulator.process import Process
from tests.simulator.scheduler import CURRENT, Actor, Scheduler, Stuck, new_task
from tests.simulator.sessions import Link, Work
from tests.support.load_rules import profiles
from tests.support.write_path import profiles_of

NAMES = ("one", "two")
REST_SECONDS_MAX = 400
READ_WHEN_IDLE = (
    "SELECT sum(next_offset) FROM consumer_offset WHERE NOT EXISTS (SELECT FROM outbox)"
    " AND NOT EXISTS (SELECT FROM recovery WHERE state <> 'done')"
)
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
        self,
        seed: int,
        url: str,
        control: Control,
        rewrite: Callable[[str], str],
        *,
        restores: bool,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = Clock()
        self.control = control
        self.scheduler = Scheduler(self.clock, self.random, control.locked_out)
        self.cluster = Cluster(self.scheduler, TOPICS, SESSION_SECONDS)
        self.history = History(self.cluster)
        self.faults = Faults(self.random, self, restores=restores)
        self.scheduler.interfere = self.faults.interfere
        self.scheduler.can_block = self._is_transaction_beside
        self.instances: dict[str, Instance] = {}
        self.commands: list[Process] = []
        self.backends = Backends()
        self.restores = Restores(control, self.history, self.random)
        self.profiles = profiles_of(profiles())
        self._rewrite = rewrite
        self.wanted: set[str] = set()
        self._down_until: dict[str, float] = {}
        self.settings = settings_for(url, self.random)
        self.loop = SimulatedLoop(self.clock, self.scheduler)
        self.loop.set_task_factory(new_task)  # type: ignore[arg-type]  # a protocol of the stubs
        self.loop.set_exception_handler(lambda _loop, _context: None)

    # Instances

    def start(self, name: str) -> None:
        """Starts an instance, unless it runs."""
        instance = self.instances.get(name)
        if name not in self.wanted or (instance is not None and not instance.has_ended):
            return
        actor = Actor(name)
        link = self.link(actor)
        self.instances[name] = Instance(actor, link, self.settings, profiles=self.profiles)
        self.scheduler.note(f"  {name} starts")
        self._run_as(actor, self.instances[name].run)

    def call(self, command: Process) -> None:
        """Calls a command of an operator."""
        self.commands.append(command)
        self.scheduler.note(f"  {command.actor.name} is called")
        self._run_as(command.actor, command.run)

    def link(self, actor: Actor) -> Link:
        """The way of a new process to the database."""
        decided = (self.faults.ending_of, self._note_commit, self._rewrite)
        return Link(actor, self.scheduler, self.control, *decided, self.backends)

    @property
    def processes(self) -> Sequence[Process]:
        """All instances and commands, in an order of their own."""
        return [*(instance for _, instance in sorted(self.instances.items())), *self.commands]

    def want(self, *names: str) -> None:
        """These instances are to run: whichever ends is started again."""
        self.wanted = set(names)
        for name in names:
            self.start(name)

    def keep_running(self) -> None:
        """Starts what was stopped or killed.

        Raises Noticed if the restored database was noticed; and what else an instance ends with.
        """
        for instance in self.instances.values():
            if instance.problem is not None:
                if self.restores.is_restored and is_older(instance.problem):
                    raise Noticed from instance.problem
                raise instance.problem
        for name in sorted(self.wanted):
            if self.loop.time() >= self._down_until.get(name, 0):
                self.start(name)

    def _run_as(
        self, actor: Actor, run: Callable[[], Coroutine[None, None, None]]
    ) -> asyncio.Task[None]:
        context = copy_context()
        context.run(CURRENT.set, actor)
        return self.loop.create_task(run(), context=context)

    def _note_commit(self, actor: Actor, work: Work) -> None:
        """The records of a commit are those of the latest poll that it has moved the offsets of."""
        instance = self.instances.get(actor.name)
        ends = {(a.topic, a.partition): range(a.first, a.end) for a in work.advances}
        read = () if instance is None else instance.places
        places = tuple(place for place in read if place[2] in ends.get(place[:2], ()))
        self.history.note(work, places)
        self.scheduler.note(
            f"  commit of {len(places)} records, {len(work.batches)} batches,"
            f" {len(work.adopted)} adopted, {len(work.lines)} adopted lines"
        )

    def _is_transaction_beside(self, pid: int) -> bool:
        sessions = [session for process in self.processes for session in process.link.sessions]
        return any(
            session.is_in_transaction() and session.get_server_pid() != pid for session in sessions
        )

    async def until(
        self,
        holds: Callable[[], bool],
        meanwhile: Callable[[], Awaitable[object]] | None = None,
        seconds_max: int = REST_SECONDS_MAX,
    ) -> None:
        """Looks every second whether it holds, and lets happen what happens `meanwhile`.

        Raises Stuck if it never holds.
        """
        for _ in range(seconds_max):
            if holds():
                return
            await asyncio.sleep(1)
            if meanwhile is not None:
                await meanwhile()
        raise Stuck(f"not at rest after {seconds_max} s")

    def have_ended(self) -> bool:
        """Whether nothing runs."""
        return all(process.has_ended for process in self.processes)

    # Harm

    def kill(self) -> None:
        if process := self._some_process():
            self.scheduler.note(f"  {process.actor.name} is killed")
            process.kill()
            self._keep_down(process)

    def stop(self) -> None:
        if process := self._some_process():
            self.scheduler.note(f"  {process.actor.name} is stopped")
            process.stop.set()
            self._keep_down(process)

    def _keep_down(self, process: Process) -> None:
        process.was_ended = True
        seconds = self.random.randint(0, DOWN_SECONDS_MAX)
        self._down_until[process.actor.name] = self.loop.time() + seconds

    def pause(self) -> None:
        if process := self._some_process():
            shorter = self.random.random() < SHORT_PAUSES
            bounds = (1, SESSION_SECONDS) if shorter else (SESSION_SECONDS + 1, PAUSE_SECONDS_MAX)
            self._pause(process, self.random.randint(*bounds))

    def _pause(self, process: Process, seconds: int) -> None:
        self.scheduler.note(f"  {process.actor.name} is paused for {seconds} s")
        process.actor.is_paused = True
        self.loop.call_later(seconds, self._resume, process)
        if seconds > IDLE_SECONDS_MAX:
            self.loop.call_later(IDLE_SECONDS_MAX, process.link.cut_idle)

    def _resume(self, process: Process) -> None:
        process.actor.is_paused = False

    def replace(self) -> None:
        """An instance stands still before it moves the offsets of a poll, and the group gives its
        partitions to another one meanwhile.
        """
        if applying := self._applying():
            instance = self.random.choice(applying)
            self._pause(instance, self.random.randint(1, IDLE_SECONDS_MAX - 1))
            self.cluster.group.expel(instance.actor)

    def has_poll_in_hand(self) -> bool:
        """Whether there is such an instance."""
        return bool(self._applying())

    def _applying(self) -> Sequence[Instance]:
        instances = [instance for _, instance in sorted(self.instances.items())]
        return [each for each in instances if self._can_be_hit(each) and each.has_poll_in_hand]

    def rebalance(self) -> None:
        self.scheduler.note("  rebalance")
        self.cluster.group.rebalance()

    def cut_sessions(self) -> None:
        if process := self._some_process():
            self.scheduler.note(f"  the sessions of {process.actor.name} are cut")
            process.link.cut_all()

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
        """Takes a backup; the next time, the backup takes the place of the database."""
        if self.restores.takes_backup:
            self.scheduler.note("  a backup is taken")
            self.restores.take()
        elif self.restores.can_restore:
            self.scheduler.note(f"  the backup comes back without {self.restores.lost} commits")
            for process in self.processes:
                process.link.cut_all()
            self.cluster.wire_number += 1
            self.restores.put_back()

    def _find_brokers(self) -> None:
        self.cluster.is_unreachable = False
        self.cluster.wake()

    def is_delicate(self) -> bool:
        """Whether an instance is about to begin or to end a transaction."""
        return bool(self.scheduler.about_to(DELICATE))

    def _some_process(self) -> Process | None:
        """One that runs; mostly one that is about to begin or to end a transaction."""
        running = [process for process in self.processes if self._can_be_hit(process)]
        names = self.scheduler.about_to(DELICATE)
        delicate = [process for process in running if process.actor.name in names]
        if delicate and self.random.random() < DELICATE_FIRST:
            return self.random.choice(delicate)
        return self.random.choice(running) if running else None

    def _can_be_hit(self, process: Process) -> bool:
        return not (process.has_ended or process.actor.is_paused or process.stop.is_set())

    # What is left to do

    def calm_down(self) -> None:
        """Ends all harm: who is paused goes on, and the brokers are there."""
        self.faults.end()
        for process in self.processes:
            process.actor.is_paused = False
        self._find_brokers()

    def is_idle(self) -> bool:
        """Whether every record is applied, every event is sent and every recovery has ended."""
        return self.control.value(READ_WHEN_IDLE) == len(self.history.events)
