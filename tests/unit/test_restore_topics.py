"""Reading output topics for the restore check: what counts as silence of a topic."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from service.restore.findings import CannotAsk
from service.restore.topics import SILENCE_SECONDS_MAX, Range, Topics

AT = TopicPartition("library.balance-changed.v1", 0)
SILENCE_NS = (SILENCE_SECONDS_MAX + 1) * 1_000_000_000


class Reader:
    """A consumer that gives `answers`: how many records come, and how far its position moves."""

    def __init__(self, clock: Clock, answers: Iterable[tuple[int, int]]) -> None:
        self._clock = clock
        self._answers = iter(answers)
        self._position = 0

    def assign(self, _: Iterable[TopicPartition]) -> None:
        """It has one partition in any case."""

    def seek(self, _: TopicPartition, offset: int) -> None:
        self._position = offset

    def pause(self, _: TopicPartition) -> None:
        """There is nothing more to read."""

    async def position(self, _: TopicPartition) -> int:
        return self._position

    async def getmany(
        self, *_: TopicPartition, **_options: int
    ) -> Mapping[TopicPartition, list[SimpleNamespace]]:
        count, moved = next(self._answers)
        first, self._position = self._position, self._position + moved
        self._clock.ns += SILENCE_NS if count == 0 else 0
        return {AT: [SimpleNamespace(offset=first + n) for n in range(count)]}


class Clock:
    """A monotonic clock that a test moves."""

    ns = 0

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic_ns", clock)
    return clock


async def pages(reader: Reader, end: int, clock: Clock, pause_ns: int = 0) -> int:
    """How many records are read; whoever takes them pauses after each page."""
    count = 0
    async for page in Topics(reader).read([Range(AT, 0, end)]):
        count += len(page)
        clock.ns += pause_ns
    return count


async def test_a_partition_that_ends_without_a_record_is_read_however_long_that_takes(
    clock: Clock,
) -> None:
    """The markers of a transaction are no records; or the process was stopped for a while."""
    assert await pages(Reader(clock, [(1, 1), (0, 1)]), 2, clock) == 1


async def test_a_topic_that_gives_no_records_is_silent(clock: Clock) -> None:
    with pytest.raises(CannotAsk, match="does not give its records"):
        await pages(Reader(clock, [(1, 1), (0, 0)]), 2, clock)


async def test_the_time_that_comparing_a_page_takes_is_no_silence(clock: Clock) -> None:
    assert await pages(Reader(clock, [(1, 1), (1, 1)]), 2, clock, SILENCE_NS) == 2
