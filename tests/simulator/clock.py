"""An event loop in a time that is made up. When nothing is ready, a driver says what happens next.

No callback runs because time has passed in the world outside, and no answer of a server is taken
unless the driver waits for it. So the same choices of the driver give the same run.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime
from typing import Protocol

SECOND_NS = 1_000_000_000
MOVED_NS = 5_000_000
BEGIN_SECONDS = int(datetime(2026, 11, 10, 8, tzinfo=UTC).timestamp())
# How long a server may take until it is looked up whether its statement waits for a lock.
CHECK_AFTER_SECONDS = 0.002


class Driver(Protocol):
    """Decides what happens when every task waits for something."""

    def is_busy(self) -> bool:
        """Whether the answer of a server has to come before anything else may happen."""

    def is_expected(self, descriptor: int) -> bool:
        """Whether what this socket has received may be taken now."""

    def check_lock(self) -> None:
        """Called when the answer has not come yet."""

    def choose(self, timer_ns: int | None) -> None:
        """Makes something happen, or moves the time; the next timer is due in `timer_ns`."""


class Clock:
    """The time of a simulation, which all instances and the database share."""

    def __init__(self) -> None:
        self._ns = 0
        self._set_ns = -MOVED_NS

    def monotonic_ns(self) -> int:
        """The time as `time.monotonic_ns` gives it."""
        return 1_000 * SECOND_NS + self._ns

    def pass_time(self, nanoseconds: int) -> None:
        """Moves the time, by a nanosecond at least."""
        self._ns += max(1, nanoseconds)

    def has_moved(self) -> bool:
        """Whether the time has moved since the last call, by more than a few milliseconds."""
        if self._ns - self._set_ns < MOVED_NS:
            return False
        self._set_ns = self._ns
        return True

    @property
    def microseconds(self) -> int:
        """The time of the wall clock, since 1970."""
        return BEGIN_SECONDS * 1_000_000 + self._ns // 1_000

    @property
    def milliseconds(self) -> int:
        """The time as Kafka stamps records."""
        return self.microseconds // 1_000


class _Selector(selectors.DefaultSelector):
    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Called before each round of callbacks; with 0 if some are ready, or a timer is due."""
        if timeout is not None and timeout <= 0:
            return []
        if not self._driver.is_busy():
            self._driver.choose(None if timeout is None else int(timeout * SECOND_NS))
            return []
        ready = super().select(CHECK_AFTER_SECONDS)
        expected = [event for event in ready if self._driver.is_expected(event[0].fd)]
        if not expected:
            self._driver.check_lock()
        return expected


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The event loop of a simulation."""

    def __init__(self, clock: Clock, driver: Driver) -> None:
        super().__init__(_Selector(driver))
        self._clock = clock
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """The simulated time in seconds."""
        return self._clock.monotonic_ns() / SECOND_NS
