"""The scheduler: whatever an instance asks of a port waits for a turn, and the seed chooses whose.

All choices are made by one generator of random numbers, and only while every task waits. So it does
not matter in which order the tasks came to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from random import Random

from tests.simulator.clock import Clock

# How often a turn is granted although a timer could be due first.
TURN_BEFORE_TIMER = 0.92
STEP_NS_MAX = 2_000_000
STEPS_MAX = 200_000

CURRENT: ContextVar[Actor] = ContextVar("actor")


class Stuck(Exception):
    """The simulation does not come to its end."""


@dataclass(eq=False, slots=True)
class Actor:
    """Whoever asks something of a port: an instance of the service, or the network.

    A paused actor gets no turn, as a process that was stopped by SIGSTOP. For one that is dead
    every port is gone, as after SIGKILL.
    """

    name: str
    is_paused: bool = False
    is_dead: bool = False
    tasks: dict[asyncio.Task[object], None] = field(default_factory=dict)


@dataclass(slots=True)
class Turn:
    """Something that an actor is about to do."""

    actor: Actor
    label: str
    number: int
    granted: asyncio.Future[None]

    @property
    def order(self) -> tuple[str, str, int]:
        """Turns are sorted by what they are, so that the choice does not depend on sets."""
        return self.actor.name, self.label, self.number


@dataclass(eq=False, slots=True)
class Statement:
    """A statement that the server has not answered; `pid` is that of its session."""

    label: str
    pid: int | None
    descriptor: int | None
    is_blocked: bool = False
    was_blocked: bool = False


class Scheduler:
    """Grants turns and moves the time. `interfere` is asked before each choice, and may act itself;
    `blocked` says which sessions wait for a lock.
    """

    def __init__(
        self, clock: Clock, random: Random, blocked: Callable[[Collection[int]], set[int]]
    ) -> None:
        self.clock = clock
        self.random = random
        self.steps = 0
        self.trace: list[str] = []
        self.interfere: Callable[[], bool] = lambda: False
        # Whether another session than this one is in a transaction.
        self.can_block: Callable[[int], bool] = lambda _pid: True
        self._blocked = blocked
        self._numbers = count()
        self._turns: list[Turn] = []
        self._statements: list[Statement] = []

    @property
    def digest(self) -> str:
        """A digest of all that has happened."""
        return sha256("\n".join(self.trace).encode()).hexdigest()[:16]

    def note(self, text: str) -> None:
        """Adds a line to the trace."""
        self.trace.append(f"{self.clock.monotonic_ns() // 1_000} {text}")

    async def turn(self, actor: Actor, label: str) -> None:
        """Waits until the actor may do this. Ends it if the actor was killed."""
        if not actor.is_dead:
            turn = Turn(
                actor, label, next(self._numbers), asyncio.get_running_loop().create_future()
            )
            self._turns.append(turn)
            try:
                await turn.granted
            finally:
                self._turns.remove(turn)
        if actor.is_dead:
            raise asyncio.CancelledError(f"{actor.name} was killed")

    def about_to(self, labels: Collection[str]) -> list[str]:
        """The names of the actors that wait to do one of these."""
        return sorted({turn.actor.name for turn in self._turns if turn.label in labels})

    @contextmanager
    def waiting_for_server(
        self, label: str, pid: int | None = None, descriptor: int | None = None
    ) -> Iterator[None]:
        """Until the end of the block nothing happens but the answer of the server.

        If the statement waits for a lock, the others go on.
        """
        statement = Statement(label, pid, descriptor)
        self._statements.append(statement)
        try:
            yield
        finally:
            self._statements.remove(statement)

    def locks_may_be_free(self) -> None:
        """A transaction has ended: those who waited for a lock may have it now."""
        for statement in self._statements:
            statement.is_blocked = False

    @property
    def locked_out(self) -> list[int]:
        """The sessions that wait for a lock."""
        return [s.pid for s in self._statements if s.is_blocked and s.pid is not None]

    def is_busy(self) -> bool:
        return self._first() is not None

    def is_expected(self, descriptor: int) -> bool:
        """Answers are taken one after the other, although several may have come."""
        first = self._first()
        others = {each.descriptor for each in self._statements if each is not first}
        if first is None or first.descriptor is None:
            return descriptor not in others
        return descriptor == first.descriptor

    def check_lock(self) -> None:
        first = self._first()
        if first is None or first.pid is None or not self.can_block(first.pid):
            return
        if self._blocked([first.pid]):
            first.is_blocked = True
            if not first.was_blocked:
                self.note(f"  {first.label} waits for a lock")
            first.was_blocked = True

    def choose(self, timer_ns: int | None) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"no end after {STEPS_MAX} steps")
        if self.interfere():
            return
        turns = [turn for turn in self._turns if not turn.granted.done()]
        ready = sorted(
            (turn for turn in turns if not turn.actor.is_paused), key=lambda turn: turn.order
        )
        if ready and (timer_ns is None or self.random.random() < TURN_BEFORE_TIMER):
            self.clock.pass_time(self.random.randrange(STEP_NS_MAX))
            turn = self.random.choice(ready)
            self.note(f"{turn.actor.name}: {turn.label}")
            turn.granted.set_result(None)
        elif timer_ns is not None:
            self.clock.pass_time(timer_ns)
        elif self._statements:
            self.locks_may_be_free()  # the server sees to a deadlock
        else:
            waiting = ", ".join(f"{turn.actor.name}: {turn.label}" for turn in turns)
            raise Stuck(f"nothing can happen any more; waiting: {waiting or 'nobody'}")

    def _first(self) -> Statement | None:
        return next((each for each in self._statements if not each.is_blocked), None)


def new_task(
    loop: asyncio.AbstractEventLoop, work: object, **options: object
) -> asyncio.Task[object]:
    """Makes a task, which ends with the actor that it belongs to."""
    task: asyncio.Task[object] = asyncio.Task(work, loop=loop, **options)  # type: ignore[arg-type]
    context = options.get("context")
    actor = CURRENT.get(None) if context is None else context.get(CURRENT)  # type: ignore[attr-defined]
    if actor is not None:
        actor.tasks[task] = None
        task.add_done_callback(lambda done: actor.tasks.pop(done, None))
        if actor.is_dead:
            task.cancel()
    return task
