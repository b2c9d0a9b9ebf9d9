"""Runs the parts of the process: they start together, they stop stage by stage within a time limit,
and if one of them fails, all end.
"""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

from .failures import UNAVAILABLE
from .problems import describe
from .telemetry import Event, get_log
from .waiting import is_cancelled, wait_any

log = get_log(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Of the time to stop, kept for what follows the parts: cancelling them, the pool.
CLOSING_SECONDS = 2
# What a cancelled part may still do, such as give its lease back, takes less.
CANCEL_AGAIN_SECONDS = 15
OVERDUE_STATUS = 1
RETRY_PAUSE_MS = 1_000

R = TypeVar("R")
Run = Callable[[asyncio.Event], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the process. `run` is called with an event; it works until the event is set, then
    finishes its current work and returns.
    """

    name: str
    run: Run


class PartEnded(Exception):
    """A part of the process returned although it was not asked to stop."""


async def run_parts(
    stages: Sequence[Sequence[Part]], stop: asyncio.Event, shutdown_seconds_max: int
) -> None:
    """Runs all parts until `stop` is set, then ends the stages one after the other; returns when
    all have ended.

    Each stage has a time limit of its own, so that a part that hangs does not take the time of the
    later stages: the last stage has at least half of the time, and the others share the first half.
    A part that has not ended within its stage's time limit is cancelled. An error of a part cancels
    the others at once and is raised in an ExceptionGroup: if one part has found, for example, that
    the database is an older one, no other part may go on publishing from it. A part that does not
    end when it is cancelled is cancelled again: a library may answer the cancellation with another
    error, such as a lost connection, after which the part would just try again.
    """
    events = [asyncio.Event() for _ in stages]
    async with asyncio.TaskGroup() as group:
        tasks = [
            [group.create_task(_guarded(part, stage_stop), name=part.name) for part in stage]
            for stage, stage_stop in zip(stages, events, strict=True)
        ]
        every = tuple(chain.from_iterable(tasks))
        for task in every:
            task.add_done_callback(partial(_insist_after_error, every))
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
    _insist(late)


def _insist_after_error(tasks: Collection[asyncio.Task[None]], ended: asyncio.Task[None]) -> None:
    if not ended.cancelled() and ended.exception() is not None:
        asyncio.get_running_loop().call_later(CANCEL_AGAIN_SECONDS, _insist, tasks)


def _insist(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancels the parts that have not ended, and looks again after a while."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        asyncio.get_running_loop().call_later(CANCEL_AGAIN_SECONDS, _insist, left)


async def until_available(
    stop: asyncio.Event,
    attempt: Callable[[], Awaitable[R]],
    retryable: tuple[type[Exception], ...],
    note: Callable[[Exception], None],
) -> R | None:
    """Returns what `attempt` returns; while it raises one of the exceptions `retryable`, calls it
    again after a pause.

    `note` is called with each exception after which `attempt` is called again. Returns None if
    `stop` was set meanwhile.
    """
    while not stop.is_set():
        try:
            return await attempt()
        except retryable as problem:
            note(problem)
            await wait_any((stop,), RETRY_PAUSE_MS)
    return None


def steady(name: str, run: Run) -> Run:
    """Returns a function that calls `run`, and calls it again while the database, Kafka or the
    network is unavailable; any other error is raised.
    """

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


def nothing() -> None:
    """Does nothing; this is the default for `before_end`."""


@contextlib.contextmanager
def stop_on_signals(
    stop: asyncio.Event,
    shutdown_seconds_max: int,
    *,
    before_end: Callable[[], None] = nothing,
    ends_at_second: bool = True,
) -> Iterator[None]:
    """Sets `stop` at the first SIGTERM or SIGINT, and ends the process immediately at the second.

    The process also ends immediately when `shutdown_seconds_max` seconds have passed since the
    first signal, even if the event loop is blocked or a client does not close. The time limit for
    the stop still counts after the `with` block has ended, until the process ends.

    `before_end` is called just before the process is ended by a second signal or by the time limit.
    Without `ends_at_second` a second signal changes nothing: a member may get the same signal
    twice, from its parent and from somebody who signals all processes.
    """
    loop = asyncio.get_running_loop()

    def end(status: int) -> None:
        before_end()
        os._exit(status)

    watchdog = threading.Timer(shutdown_seconds_max, end, (OVERDUE_STATUS,))
    watchdog.daemon = True

    def on_signal(number: signal.Signals) -> None:
        if not stop.is_set():
            stop.set()
            watchdog.start()
        elif ends_at_second:
            end(128 + number)

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def log_loop_problems() -> None:
    """Makes the running event loop log exceptions that no task has caught, without quoting any
    data.

    By default the event loop would print the text of the exception, which may quote personal data.
    """
    asyncio.get_running_loop().set_exception_handler(_log_loop_problem)


def _log_loop_problem(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    problem = context.get("exception")
    fields = describe(problem) if isinstance(problem, BaseException) else None
    log.error(Event.LOOP_PROBLEM, problem=fields, where=str(context.get("message", ""))[:100])
