"""Offsets told to Kafka, behind the database's commit: for lag tools and as a witness; best effort.

They are never where reading goes on. A restored older database is recognised by them.
"""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ..runtime.telemetry import Event, get_log

LAST_SECONDS_MAX = 2

log = get_log(__name__)


class Commits:
    """One commit at a time, in the background; a newer offset replaces one that waits."""

    def __init__(self, consumer: AIOKafkaConsumer, interval_ms: int) -> None:
        self._consumer = consumer
        self._interval_ms = interval_ms
        self._waiting: dict[TopicPartition, int] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, at: TopicPartition, next_offset: int) -> None:
        """The database has committed up to here."""
        self._waiting[at] = next_offset
        self._news.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def drop(self) -> None:
        """The partitions may be somebody else's now."""
        self._waiting.clear()

    async def close(self) -> bool:
        """Tells the last ones, within a bound; False if the broker does not answer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            async with asyncio.timeout(LAST_SECONDS_MAX):
                await self._commit()
        except TimeoutError:
            log.warning(Event.OFFSET_COMMIT_FAILED, problem="TimeoutError")
            return False
        return True

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(self._interval_ms / 1_000)
            self._news.clear()
            await self._commit()

    async def _commit(self) -> None:
        ours = self._consumer.assignment()
        offsets = {at: offset for at, offset in self._waiting.items() if at in ours}
        self._waiting.clear()
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except KafkaError as problem:  # the next one says more than this one would have
            log.warning(Event.OFFSET_COMMIT_FAILED, problem=type(problem).__name__)
            self._waiting = offsets | self._waiting
