"""Parts start together, stop stage by stage within a bound, and go down together."""

from __future__ import annotations

import asyncio

import pytest

from service.runtime import lifecycle
from service.runtime.lifecycle import CLOSING_SECONDS, Part, PartEnded, Run, run_parts, steady
from service.runtime.problems import OperatorError


class Journal:
    """What happened, in order; parts that write into it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.all_started = asyncio.Event()

    def part(self, name: str) -> Part:
        async def run(stop: asyncio.Event) -> None:
            self.lines.append(f"{name} starts")
            if len(self.lines) == 3:
                self.all_started.set()
            await stop.wait()
            self.lines.append(f"{name} ends")

        return Part(name, run)


async def test_stages_end_one_after_the_other() -> None:
    journal, stop = Journal(), asyncio.Event()
    stages = [[journal.part("intake")], [journal.part("sweep")], [journal.part("relay")]]
    running = asyncio.create_task(run_parts(stages, stop, 10))
    await journal.all_started.wait()
    stop.set()
    await running
    assert journal.lines == [
        *("intake starts", "sweep starts", "relay starts"),
        *("intake ends", "sweep ends", "relay ends"),
    ]


async def test_an_error_of_one_part_cancels_the_others_and_comes_out() -> None:
    cancelled = []

    async def other(stop: asyncio.Event) -> None:
        try:
            await stop.wait()
        except asyncio.CancelledError:
            cancelled.append("other")
            raise

    async def broken(_stop: asyncio.Event) -> None:
        raise OperatorError("an older database came back")

    stages = [[Part("broken", broken)], [Part("other", other)]]
    with pytest.raises(ExceptionGroup) as caught:
        await run_parts(stages, asyncio.Event(), 10)
    assert caught.group_contains(OperatorError, match="an older database")
    assert cancelled == ["other"]


async def test_a_part_that_takes_its_cancellation_for_a_failure_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a relay whose connection is lost at the moment at which the intake has ended all."""
    monkeypatch.setattr(lifecycle, "CANCEL_AGAIN_SECONDS", 0)
    failures: list[str] = []

    async def tries_again(stop: asyncio.Event) -> None:
        while not failures:
            try:
                await stop.wait()
            except asyncio.CancelledError:
                failures.append("the connection is lost")
        await stop.wait()

    async def broken(_stop: asyncio.Event) -> None:
        raise OperatorError("an older database came back")

    stages = [[Part("broken", broken)], [Part("relay", tries_again)]]
    with pytest.raises(ExceptionGroup) as caught:
        await run_parts(stages, asyncio.Event(), 10)
    assert caught.group_contains(OperatorError, match="an older database")
    assert failures == ["the connection is lost"]


async def test_a_part_that_ends_by_itself_is_an_error() -> None:
    async def short(_stop: asyncio.Event) -> None:
        return

    with pytest.raises(ExceptionGroup) as caught:
        await run_parts([[Part("short", short)]], asyncio.Event(), 10)
    assert caught.group_contains(PartEnded, match="short ended by itself")


async def test_a_part_that_a_librarys_own_cancellation_ends_is_an_error() -> None:
    async def cancelled(_stop: asyncio.Event) -> None:
        raise asyncio.CancelledError

    with pytest.raises(ExceptionGroup) as caught:
        await run_parts([[Part("cancelled", cancelled)]], asyncio.Event(), 10)
    assert caught.group_contains(PartEnded, match="cancelled ended by itself")


async def test_a_part_that_does_not_stop_is_cancelled_in_time() -> None:
    stop = asyncio.Event()
    stop.set()

    async def deaf(_stop: asyncio.Event) -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        await run_parts([[Part("deaf", deaf)]], stop, CLOSING_SECONDS + 1)


async def test_a_part_that_hangs_does_not_take_the_time_of_the_stages_after_it() -> None:
    """The relay still sends what is left."""
    stop, lines = asyncio.Event(), list[str]()
    stop.set()

    async def deaf(_stop: asyncio.Event) -> None:
        await asyncio.Event().wait()

    async def relay(relay_stop: asyncio.Event) -> None:
        await relay_stop.wait()
        lines.append("sent")

    stages = [[Part("intake", deaf)], [Part("sweep", deaf)], [Part("relay", relay)]]
    async with asyncio.timeout(60):
        await run_parts(stages, stop, CLOSING_SECONDS + 1)
    assert lines == ["sent"]


async def test_what_ends_by_itself_is_waited_for() -> None:
    """The database went away and came back: the part begins anew."""
    tries = []

    async def run(stop: asyncio.Event) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionRefusedError
        stop.set()

    await steady("sweep", run)(asyncio.Event())
    assert len(tries) == 2


async def test_a_bug_is_not_waited_for() -> None:
    async def run(_stop: asyncio.Event) -> None:
        raise KeyError

    again: Run = steady("sweep", run)
    with pytest.raises(KeyError):
        await again(asyncio.Event())
