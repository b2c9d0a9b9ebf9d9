"""A process of a simulation: an instance of the service, or a command of an operator."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from service.settings import Settings
from tests.simulator.scheduler import CURRENT, Actor
from tests.simulator.sessions import Link

CLOSE_SECONDS_MAX = 2


@dataclass(eq=False, slots=True)
class Process:
    """A process from its start to its end. `problem` is what it has ended with; `was_ended`,
    whether it was killed or told to stop.
    """

    actor: Actor
    link: Link
    settings: Settings
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    is_up: bool = False
    problem: BaseException | None = None
    has_ended: bool = False
    was_ended: bool = False

    async def run(self) -> None:
        """Runs to its end. Keeps the error with which a process would end."""
        try:
            await self.work()
        except asyncio.CancelledError:
            pass
        except BaseException as problem:  # noqa: BLE001 - a process would end with it
            self.problem = problem
        self.kill()  # what is left of it ends with the process

    async def work(self) -> None:
        """What the process does."""
        raise NotImplementedError

    def kill(self) -> None:
        """Ends it at once, as SIGKILL does."""
        self.actor.is_dead = self.has_ended = True
        token = CURRENT.set(self.actor)
        for task in list(self.actor.tasks):
            if task is not asyncio.current_task():
                task.cancel()
        self.link.cut_all()
        CURRENT.reset(token)
        self.is_up = False


async def close(end: Callable[[], Awaitable[object]]) -> None:
    """Ends something in the time that a process has for it."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(end(), CLOSE_SECONDS_MAX)
