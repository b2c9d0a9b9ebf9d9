"""Waiting that ends early, and waits that grow."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from random import randrange
from typing import TypeVar

R = TypeVar("R")


async def wait_any(events: Iterable[asyncio.Event], milliseconds: int) -> None:
    """Until one of `events` is set, at most so long."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=milliseconds / 1_000, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


@dataclass(slots=True)
class Backoff:
    """Doubles with each failure in a row, with a spread, so that rivals do not meet again."""

    first_ms: int
    max_ms: int
    failures: int = 0

    def next_ms(self) -> int:
        self.failures += 1
        bound = min(self.max_ms, self.first_ms << min(self.failures - 1, 20))
        return bound - randrange(bound // 2 + 1)

    def reset(self) -> None:
        self.failures = 0


async def unless_set(work: Coroutine[object, object, R], *events: asyncio.Event) -> R | None:
    """What `work` returns; None if one of `events` came first, and `work` was cancelled."""
    task = asyncio.ensure_future(work)
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait((task, *waits), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, *waits):
            one.cancel()
        # Its end is waited for: what it held is free then. What it raises now nobody asked for.
        await asyncio.gather(task, return_exceptions=True)
