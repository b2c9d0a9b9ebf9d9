"""What the relay reads from the database and stores in it: lease, pages, acknowledgements.

The relay remembers which offsets were acknowledged from the taking of the lease on, and compares
them with the database before each page is sent. Without that, a backup restored under a running
relay would be sent from, and the next acknowledgement would lift the stored offsets over the
evidence.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from ..database.session import Connection, Pool, statements
from ..restore.check import Answer
from ..restore.findings import acknowledgements_lost
from ..restore.guard import Guard
from ..runtime.telemetry import Event, get_log
from .window import Progress, Row

LEASE_NAME = "relay"
WRITER = "relay"
SQL = statements("outbox")

log = get_log(__name__)


class LeaseLost(Exception):
    """Another relay may be sending: nothing more is sent or deleted under this fence number."""


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What waits, by the database's clock; the age is 0 for an empty outbox."""

    rows_waiting: int
    oldest_row_age_seconds: int
    quarantined: int


class Lease:
    """One relay at a time: a row that ends by the database's clock, with a fence number.

    `fence` is None while the lease is not held. Not for use by two tasks at once.
    """

    def __init__(self, pool: Pool, holder: str, seconds: int) -> None:
        self._pool = pool
        self._holder = holder
        self._seconds = seconds
        self._renewed_ns = 0
        self.fence: int | None = None

    @property
    def has_ended(self) -> bool:
        """By our own monotonic clock, from before the renewal was asked for: never too late."""
        return time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000

    @property
    def is_renewal_due(self) -> bool:
        """Whether a third of its time has gone."""
        return time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000 // 3

    async def take(self) -> bool:
        """Takes the lease under a new fence number; False if another relay holds it."""
        asked_ns = time.monotonic_ns()
        async with self._pool.acquire() as connection:
            self.fence = await connection.fetchval(
                SQL["take_lease"], LEASE_NAME, self._holder, self._seconds
            )
        self._renewed_ns = asked_ns
        return self.fence is not None

    async def renew(self) -> None:
        """Raises LeaseLost, and whatever the database raises."""
        async with self._pool.acquire() as connection:
            await self.renew_on(connection)

    async def renew_if_due(self) -> None:
        """Renews the lease once a third of its time has gone. Raises as `renew`."""
        if self.is_renewal_due:
            await self.renew()

    async def renew_on(self, connection: Connection) -> None:
        """As `renew`, inside the caller's transaction, which the lease thereby guards."""
        asked_ns = time.monotonic_ns()
        arguments = (LEASE_NAME, self.fence, self._seconds)
        if await connection.fetchval(SQL["renew_lease"], *arguments) is None:
            self.fence = None
            raise LeaseLost
        self._renewed_ns = asked_ns

    async def release(self) -> None:
        """Ends the lease, if it is held, so that the next relay need not wait."""
        if self.fence is None:
            return
        fence, self.fence = self.fence, None
        async with self._pool.acquire() as connection:
            await connection.execute(SQL["release_lease"], LEASE_NAME, fence)


class Outbox:
    """The outbox of one database, for the relay that holds `lease`."""

    def __init__(self, guard: Guard, lease: Lease) -> None:
        self._guard = guard
        self._lease = lease
        self._writer = guard.writer(WRITER)
        self._acknowledged: dict[TopicPartition, int] = {}

    async def begin(self, answer: Answer) -> None:
        """Starts from what the restore check has seen: everything up to the topics' ends is known.

        So it counts as acknowledged. A copy that came late would else have to be explained again
        and again, and could not be any more once retention has removed it. Of a topic that was made
        anew nothing counts that was acknowledged before.
        """
        self._acknowledged = dict(answer.acknowledged)
        for at, end in answer.behind.items():
            log.error(
                Event.OUTPUT_TOPIC_BEHIND, topic=at.topic, partition=at.partition, end_offset=end
            )
        compared = {at: end - 1 for at, end in answer.moved.items()}
        if compared:
            async with self._writer.transaction() as connection:
                for at, offset in sorted(compared.items()):
                    await connection.execute(SQL["set_acknowledged"], *at, offset)
            self._acknowledged |= compared

    async def page(
        self, rows_max: int, bytes_max: int, blocked_topics: Collection[str]
    ) -> list[Row]:
        """The oldest rows of topics that are not blocked, at least one if there is one.

        Raises OlderDatabase if this is not the database that knows what was acknowledged,
        AnotherServer if the restore check has to be asked first.
        """
        async with self._guard.pool.acquire() as connection:
            rows = await connection.fetch(SQL["page"], rows_max, bytes_max, list(blocked_topics))
            if rows:  # to be sent
                await self._guard.verify(connection)
                await self._verify_acknowledged(connection)
        return [Row(*row.values()) for row in rows]

    def gaps(self, progress: Progress) -> int:
        """Partitions in which new records do not follow right behind what was acknowledged.

        What lies between is evidence that must not be passed over, and so is what lies in a topic
        that was made anew: the restore check has to explain it.
        """
        return sum(
            first != self._acknowledged.get(at, -1) + 1
            for at, (first, _) in progress.acknowledged.items()
        )

    async def store(self, rows: Sequence[Row], progress: Progress) -> None:
        """Deletes the rows that are complete and stores offsets and quarantine, in one commit.

        Raises LeaseLost if another relay has the lease.
        """
        complete = progress.complete(rows)
        async with self._writer.transaction() as connection:
            await self._lease.renew_on(connection)
            await connection.executemany(SQL["put_in_quarantine"], progress.quarantined)
            await self._store_offsets(connection, progress)
            await connection.execute(SQL["delete"], complete)
        self._acknowledged |= {at: last for at, (_, last) in progress.acknowledged.items()}
        progress.stored(complete)

    async def status(self) -> OutboxStatus:
        """What waits. Raises what the database raises."""
        async with self._guard.pool.acquire() as connection:
            row = await connection.fetchrow(SQL["waiting"])
        assert row is not None
        return OutboxStatus(*row.values())

    async def _verify_acknowledged(self, connection: Connection) -> None:
        rows = await connection.fetch(SQL["acknowledged"])
        recorded = {TopicPartition(row[0], row[1]): row[2] for row in rows}
        findings = [
            acknowledgements_lost(at, offset, recorded.get(at))
            for at, offset in self._acknowledged.items()
            if recorded.get(at, -1) < offset
        ]
        if findings:
            await self._guard.stop(connection, findings)

    async def _store_offsets(self, connection: Connection, progress: Progress) -> None:
        moves = sorted(progress.acknowledged.items())
        for at, (first, _) in moves:
            # A partition that gives an offset out again is of a topic that was made anew.
            if first <= self._acknowledged.get(at, -1):
                await connection.execute(SQL["set_acknowledged"], *at, -1)
        await connection.execute(
            SQL["acknowledge"],
            [at.topic for at, _ in moves],
            [at.partition for at, _ in moves],
            [last for _, (_, last) in moves],
        )
