"""A group's offsets, kept for others: for tools that show a lag, and for the day a state is lost.

A client of its own: with a group, this library's reader stands still while the group's coordinator
is away, and cannot be given further partitions.
"""

import asyncio
from collections.abc import Collection, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ..kafka.clients import KafkaAccess, KafkaUnavailable, close_client, new_reader, start
from ..runtime.telemetry import Event, get_log

log = get_log(__name__)

ANSWER_SECONDS_MAX = 30


class GroupMarks:
    """Reads and writes the committed offsets of a group nobody is a member of."""

    def __init__(self, access: KafkaAccess, group_id: str) -> None:
        self._access = access
        self._group = group_id
        self._client: AIOKafkaConsumer | None = None

    async def read(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """How far the group has read those that it has read. Raises KafkaError, Unavailable."""
        client = await self._opened(partitions)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            found = {one: await client.committed(one) for one in partitions}
        return {one: offset for one, offset in found.items() if offset is not None}

    async def write(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Best effort: nothing is decided by them as long as the state is there."""
        try:
            client = await self._opened(offsets)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await client.commit(dict(offsets))
        except (KafkaError, KafkaUnavailable, TimeoutError) as problem:
            log.warning(Event.OFFSET_COMMIT_FAILED, problem=type(problem).__name__)
            await self.close()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await close_client(client)

    async def _opened(self, partitions: Collection[TopicPartition]) -> AIOKafkaConsumer:
        if self._client is not None and set(partitions) - self._client.assignment():
            await self.close()
        if self._client is None:
            client = new_reader(self._access, self._group)
            client.assign(list(partitions))
            self._client = await start(client)
        return self._client
