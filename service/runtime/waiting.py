"""Pauses that an event can end early, and pauses that grow with each failure."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable
from dataclasses import dataclass
from itertools import count
from random import randrange
from typing import Generic, TypeVar

R = TypeVar("R")
K = TypeVar("K", bound=Hashable)

KEYS_MAX = 10_000


async def wait_any(events: Iterable[asyncio.Event], milliseconds: int) -> None:
    """Waits until one of `events` is set, for at most `milliseconds`."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=milliseconds / 1_000, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def is_cancelled() -> bool:
    """Whether the current task was cancelled.

    A CancelledError alone does not prove that the current task was cancelled: a library may raise
    one that comes from a task of its own.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@dataclass(slots=True)
class Backoff:
    """A wait that doubles with each failure in a row, up to `max_ms`.

    Up to half of the wait is random, so that two processes that failed together do not try again
    together.
    """

    first_ms: int
    max_ms: int
    failures: int = 0

    def next_ms(self) -> int:
        """Counts a failure and returns how long to wait, in milliseconds."""
        self.failures += 1
        bound = min(self.max_ms, self.first_ms << min(self.failures - 1, 20))
        return bound - randrange(bound // 2 + 1)

    def reset(self) -> None:
        """Sets the count of failures back to 0 after a success."""
        self.failures = 0


Work = Callable[[], Coroutine[object, object, object]]


async def repeat(
    work: Work, stop: asyncio.Event, interval_ms: int, seldom: Work | None = None, every: int = 1
) -> None:
    """Runs `work` again and again until `stop` is set, with `interval_ms` between an end and the
    next start.

    `seldom` runs after the first call of `work`, and again whenever `work` has run `every` more
    times. When `stop` is set, the running function is cancelled, so it must be safe to end it
    anywhere. Errors of both functions are raised.
    """
    for turn in count():
        if stop.is_set():
            return
        await unless_set(work(), stop)
        if seldom is not None and turn % every == 0:
            await unless_set(seldom(), stop)
        await wait_any((stop,), interval_ms)


class Postponed(Generic[K]):
    """Remembers keys whose last attempt failed; each key has to wait longer with every failure in a
    row.

    Only this process knows which keys have failed, and it measures the waits by its monotonic
    clock. At most KEYS_MAX keys are remembered; a key that fails beyond that number does not wait.
    """

    def __init__(
        self, first_ms: int, max_ms: int, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._first_ms = first_ms
        self._max_ms = max_ms
        self._clock_ns = clock_ns
        self._keys: dict[K, tuple[Backoff, int]] = {}

    def is_waiting(self, key: K) -> bool:
        """Whether it is still too early for the next attempt with this key."""
        known = self._keys.get(key)
        return known is not None and self._clock_ns() < known[1]

    def failed(self, key: K) -> int:
        """Counts a failure and returns how many milliseconds the key has to wait."""
        if key not in self._keys and len(self._keys) >= KEYS_MAX:
            now_ns = self._clock_ns()
            self._keys = {key: entry for key, entry in self._keys.items() if now_ns < entry[1]}
            if len(self._keys) >= KEYS_MAX:
                return 0
        backoff, _ = self._keys.get(key) or (Backoff(self._first_ms, self._max_ms), 0)
        wait_ms = backoff.next_ms()
        self._keys[key] = backoff, self._clock_ns() + wait_ms * 1_000_000
        return wait_ms

    def succeeded(self, key: K) -> None:
        """Forgets the failures of the key."""
        self._keys.pop(key, None)


async def unless_set(work: Coroutine[object, object, R], *events: asyncio.Event) -> R | None:
    """Returns what `work` returns; if one of `events` is set first, cancels `work` and returns
    None.
    """
    task = asyncio.ensure_future(work)
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait((task, *waits), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for waiter in (task, *waits):
            waiter.cancel()
        # Waits until the cancelled task has released its resources; its exception is ignored.
        await asyncio.gather(task, return_exceptions=True)
