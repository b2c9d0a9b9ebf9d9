"""When the sink has written its last row."""

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import orjson
from aiokafka.partitioner import murmur2

from service.database.session import Connection
from tests.bench.load import INSTITUTION, Record
from tests.bench.peers.rows import TABLE
from tests.bench.world import (
    PARTITIONS,
    POLL_SECONDS,
    STILL_SECONDS_MAX,
    BenchFailed,
    World,
)
from tests.support.services.process import GuardedProcess

COUNT_SECONDS = 1.0
LAST_ROWS = (
    f"SELECT count(*) FROM {TABLE}"
    f" WHERE institution_id = '{INSTITUTION}' AND fine_id = ANY($1::text[])"
)
ALL_ROWS = f"SELECT count(*) FROM {TABLE}"


class Inserted:
    """Looks for the last row of each partition by its key, which costs next to nothing. All rows
    are counted once in a second, to see that they become more, and when the last are there.
    """

    def __init__(self, world: World, rows: Sequence[Record]) -> None:
        self._world = world
        self._expected = len(rows)
        self._last = last_of_partitions(rows)

    async def reached(self, process: GuardedProcess) -> float:
        """When the last row was seen; raises BenchFailed if they become no more."""
        connection = await asyncpg.connect(self._world.database_url)
        try:
            return await self._reached(connection, process)
        finally:
            await connection.close()

    async def _reached(self, connection: Connection, process: GuardedProcess) -> float:
        count, moved_at = -1, time.monotonic()
        counted_at = moved_at
        while True:
            last_rows = await connection.fetchval(LAST_ROWS, self._last)
            seen_at, now = time.time(), time.monotonic()
            if last_rows == len(self._last) or now > counted_at + COUNT_SECONDS:
                before, count = count, await connection.fetchval(ALL_ROWS)
                if count == self._expected:
                    return seen_at
                counted_at = now
                moved_at = moved_at if count == before else now
            if now > moved_at + STILL_SECONDS_MAX or process.pid() is None:
                raise BenchFailed(
                    f"{process.name} stands still at {count} of {self._expected} rows; the end of"
                    f" {process.log}:\n{process.log_tail()}"
                )
            await asyncio.sleep(POLL_SECONDS)


def last_of_partitions(rows: Sequence[Record]) -> list[str]:
    """The ids of the fines that are the last of their partitions."""
    last = {partition_of(row.key): row for row in rows}
    return [orjson.loads(row.value)["fine_id"] for row in last.values()]


def partition_of(key: bytes) -> int:
    """Where the clients of Java put a record with this key."""
    return (int(murmur2(key)) & 0x7FFFFFFF) % PARTITIONS
