"""A relay on a database and topics of a test's own, and the records that wait for it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from service.database.outbox import put
from service.database.session import Pool
from service.messages.encode import Message
from service.relay.loop import Relay, RelayPauses
from service.settings.parts import RelayLimits
from tests.support.topics import Read

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


QUICK = RelayLimits(relay_idle_ms=20, shutdown_seconds_max=1)
SHORT = RelayPauses(lease_retry_ms=20, backoff_ms_max=200, topic_retry_ms=200, status_seconds=1)


SECONDS_MAX = 30
MakeRelay = Callable[..., Relay]


async def queue(pool: Pool, topic: str, records: Sequence[Message], row_bytes: int = 4_000) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await put(connection, topic, records, NOW, row_bytes)


async def until_empty(relay: Relay) -> None:
    """Runs page after page; refusals take more than one."""
    async with asyncio.timeout(SECONDS_MAX):
        while (await relay.status()).rows_waiting:
            await relay.run_once()


def numbered(count: int, keys: int = 7) -> list[Message]:
    return [
        Message(b"1/patron-%d" % (number % keys), b"%06d" % number, (("ce_id", b"%d" % number),))
        for number in range(count)
    ]


def plain(result: Sequence[Read]) -> list[Message]:
    return [Message(read.key, read.value, read.headers) for read in result]


async def expire_lease(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("UPDATE relay_lease SET expires_at = clock_timestamp()")
