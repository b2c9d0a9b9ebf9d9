"""Runs the parts of the process: they start together, stop stage by stage within a time limit, and
an error of one ends all.
"""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .failures import UNAVAILABLE
from .problems import describe
from .telemetry import Event, get_log
from .waiting import is_cancelled, wait_any

log = get_log(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Of the time to stop, kept for what follows the parts: cancelling them, the pool.
CLOSING_SECONDS = 2
OVERDUE_STATUS = 1
RETRY_PAUSE_MS = 1_000

R = TypeVar("R")
Run = Callable[[asyncio.Event], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the process. `run` works until its event is set, finishes its current work and
    returns.
    """

    name: str
    run: Run


class PartEnded(Exception):
    """A part of the process returned although it was not asked to stop."""


async def run_parts(
    stages: Sequence[Sequence[Part]], stop: asyncio.Event, shutdown_seconds_max: int
) -> None:
    """Runs all parts until `stop`, then ends the stages in order; returns when all have ended.

    Each stage has a time limit of its own, so that a part that hangs does not take the time of the
    later stages: the last stage has at least half of the time, and the others share the first half.
    Parts that are not done by then are cancelled. An error of a part cancels the others at once and
    is raised as an ExceptionGroup: what one part has found wrong, such as an older database, may be
    the ground on which another one publishes.
    """
    events = [asyncio.Event() for _ in stages]
    async with asyncio.TaskGroup() as group:
        tasks = [
            [group.create_task(_guarded(part, stage_stop), name=part.name) for part in stage]
            for stage, stage_stop in zip(stages, events, strict=True)
        ]
        await stop.wait()
        log.info(Event.STOP_REQUESTED, seconds_max=shutdown_seconds_max)
        asked_ns = time.monotonic_ns()
        bounds = _stop_bounds_ms(len(stages), max(1, shutdown_seconds_max - CLOSING_SECONDS))
        for stage, stage_stop, bound_ms in zip(tasks, events, bounds, strict=True):
            stage_stop.set()
            passed_ms = (time.monotonic_ns() - asked_ns) // 1_000_000
            await _end_stage(stage, max(0, bound_ms - passed_ms))


def _stop_bounds_ms(stages: int, seconds: int) -> list[int]:
    """By when each stage has to end, in milliseconds after the stop was asked."""
    half_ms = seconds * 500
    return [half_ms * number // (stages - 1) for number in range(1, stages)] + [2 * half_ms]


async def _end_stage(stage: Sequence[asyncio.Task[None]], bound_ms: int) -> None:
    """Waits for its parts, cancels those that are late and does not wait for these."""
    if not stage:
        return
    _, late = await asyncio.wait(stage, timeout=bound_ms / 1_000)
    if late:
        log.warning(Event.STOP_OVERDUE, parts=sorted(task.get_name() for task in late))
    for task in late:
        task.cancel()


async def until_available(
    stop: asyncio.Event,
    attempt: Callable[[], Awaitable[R]],
    retryable: tuple[type[Exception], ...],
    note: Callable[[Exception], None],
) -> R | None:
    """What `attempt` returns; called again, after a pause, while it raises one of `retryable`.

    `note` is called with each of these exceptions. Returns None if `stop` was set meanwhile.
    """
    while not stop.is_set():
        try:
            return await attempt()
        except retryable as problem:
            note(problem)
            await wait_any((stop,), RETRY_PAUSE_MS)
    return None


def steady(name: str, run: Run) -> Run:
    """`run`, begun again while something outside is unavailable; any other error is raised."""

    def note(problem: Exception) -> None:
        log.warning(Event.PART_RETRIES, part=name, problem=describe(problem))

    return lambda stop: until_available(stop, lambda: run(stop), UNAVAILABLE, note)


async def _guarded(part: Part, stop: asyncio.Event) -> None:
    """A part that ends before it is told to ends the process, however it has ended."""
    try:
        await part.run(stop)
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        # Else a task group would take it for an ordinary end.
    if not stop.is_set():
        raise PartEnded(f"{part.name} ended by itself")


@contextlib.contextmanager
def stop_on_signals(stop: asyncio.Event, shutdown_seconds_max: int) -> Iterator[None]:
    """Sets `stop` at the first SIGTERM or SIGINT, and ends the process immediately at the second.

    The process also ends immediately when `shutdown_seconds_max` seconds have passed since the
    first signal, even if the event loop is blocked or a client does not close. This limit holds
    until the end of the process, also after the end of this block.
    """
    loop = asyncio.get_running_loop()
    watchdog = threading.Timer(shutdown_seconds_max, os._exit, (OVERDUE_STATUS,))
    watchdog.daemon = True

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        watchdog.start()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
