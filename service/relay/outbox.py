"""What the relay reads from the database and stores in it: lease, pages, acknowledgements.

From the moment at which it takes the lease, the relay remembers which offsets were acknowledged,
and compares them with the database before it sends a page. Without this comparison, a relay under
which a backup is restored would send from the backup, and its next acknowledgement would move the
stored offsets beyond the records that show the restore.
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
    """How many rows wait in the outbox and how old the oldest is, by the database's clock; the age
    is 0 for an empty outbox.
    """

    rows_waiting: int
    oldest_row_age_seconds: int
    quarantined: int


class Lease:
    """The lease that lets one relay send at a time: a row that expires by the database's clock and
    has a fence number.

    `fence` is None while the lease is not held. A lease must not be used by two tasks at once.
    """

    def __init__(self, pool: Pool, holder: str, seconds: int) -> None:
        self._pool = pool
        self._holder = holder
        self._seconds = seconds
        self._renewed_ns = 0
        self.fence: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the lease has expired, by the monotonic clock of this process. The time counts
        from before the last renewal was requested, so the answer is never too late.
        """
        return time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000

    @property
    def is_renewal_due(self) -> bool:
        """Whether a third of the lease's time has passed."""
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
        """Renews the lease. Raises LeaseLost, and errors of the database."""
        async with self._pool.acquire() as connection:
            await self.renew_on(connection)

    async def renew_if_due(self) -> None:
        """Renews the lease once a third of its time has gone. Raises as `renew`."""
        if self.is_renewal_due:
            await self.renew()

    async def renew_on(self, connection: Connection) -> None:
        """Renews the lease inside the caller's transaction, which therefore commits only if the
        lease is held.
        """
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
        """Takes over the result of the restore check: every record up to the ends of the output
        topics is known.

        These records therefore count as acknowledged. A copy that arrived late would otherwise have
        to be explained again at each check, which becomes impossible once retention has removed it.
        If a topic was created again, the offsets that were acknowledged in the old topic do not
        count.
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

        Raises OlderDatabase if this is not the database that knows what was acknowledged, or
        AnotherServer if the restore check has to run first.
        """
        async with self._guard.pool.acquire() as connection:
            rows = await connection.fetch(SQL["page"], rows_max, bytes_max, list(blocked_topics))
            if rows:  # to be sent
                await self._guard.verify(connection)
                await self._verify_acknowledged(connection)
        return [Row(*row.values()) for row in rows]

    def gaps(self, progress: Progress) -> int:
        """Returns the partitions in which new records do not follow directly behind the last
        acknowledged one.

        The records between them are evidence that must not be ignored, and so are the records in a
        topic that was created again: the restore check has to explain them.
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
        """Reads how many records wait. Raises errors of the database."""
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
