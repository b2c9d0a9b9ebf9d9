"""Writers for tests: on a database that nothing is compared with, or guarded as in the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from service.database.session import Connection, Pool
from service.restore.check import RestoreCheck, Scope
from service.restore.guard import Guard
from service.settings.access import KafkaAccess
from service.wiring import WRITERS


class Unguarded:
    """Plain transactions, for the write path without Kafka."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def pool(self) -> Pool:
        return self._pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection


def new_guard(
    pool: Pool,
    access: KafkaAccess,
    group_id: str = "nobody",
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> Guard:
    """As a process of its own; it is not open yet."""
    scope = Scope(group_id, inputs, outputs)
    return Guard(pool, RestoreCheck(access, scope), f"test-{uuid4().hex[:8]}")


async def opened_guard(
    pool: Pool,
    access: KafkaAccess,
    group_id: str = "nobody",
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> Guard:
    """The same, after its check. Raises OlderDatabase."""
    guard = new_guard(pool, access, group_id, inputs, outputs)
    await guard.open(WRITERS)
    return guard
