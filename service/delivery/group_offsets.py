"""The committed offsets of the delivery's group: for tools that show a lag, and for a lost state.

They have a client of their own. If the reader of the topics had the group, it would stand still
while the group's coordinator is away, and could not be given further partitions.
"""

import asyncio
from collections.abc import Collection, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ..kafka.clients import KafkaUnavailable, close_client, new_reader, start
from ..runtime.telemetry import Event, get_log
from ..settings import KafkaAccess

log = get_log(__name__)

ANSWER_SECONDS_MAX = 30


class GroupOffsets:
    """Reads and writes the committed offsets of a group that has no members."""

    def __init__(self, access: KafkaAccess, group_id: str) -> None:
        self._access = access
        self._group = group_id
        self._client: AIOKafkaConsumer | None = None

    async def read(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offsets of those partitions that have any. Raises KafkaError, Unavailable."""
        client = await self._opened(partitions)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            offsets = {partition: await client.committed(partition) for partition in partitions}
        return {partition: offset for partition, offset in offsets.items() if offset is not None}

    async def write(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commits the offsets. A failure is only logged: nothing depends on them with a state."""
        try:
            client = await self._opened(offsets)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await client.commit(dict(offsets))
        except (KafkaError, KafkaUnavailable, TimeoutError) as problem:
            log.warning(Event.OFFSET_COMMIT_FAILED, problem=type(problem).__name__)
            await self.close()

    async def close(self) -> None:
        """Closes the client, if there is one."""
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
