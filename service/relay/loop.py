"""Kafka out: the outbox, page by page, in order; a row is deleted after the acknowledgement.

At least once, with the same `ce_id`. One relay at a time, by a lease. Nothing is lost: what waits
stays in the outbox, what the broker refuses for its own sake is set aside with its reason.
"""

import asyncio
import time
from collections.abc import Sequence

from ..database.session import statements
from ..kafka.clients import KafkaAccess
from ..restore.guard import AnotherServer, Guard
from ..runtime.crash import crash_point
from ..runtime.telemetry import Event, Metrics, get_log, observe_since
from ..runtime.waiting import Backoff, unless_set, wait_any
from .acknowledged import Acknowledged
from .lease import Lease, LeaseLost
from .limits import RETRIED, OutboxStatus, RelayLimits, SendFailed
from .sender import OWN_FAULTS, TOPIC_FAULTS, Refusal, Sender
from .window import Outgoing, Progress, Row, SetAside

SQL = statements("outbox")
TICK_SECONDS = 1
WRITER = "relay"
CLOSE_SECONDS_MAX = 5

__all__ = ["OutboxStatus", "Relay", "RelayLimits"]

log = get_log(__name__)


class Relay:
    """`holder` names this relay, unlike any other one's."""

    def __init__(
        self,
        guard: Guard,
        access: KafkaAccess,
        holder: str,
        limits: RelayLimits | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._guard = guard
        self._pool = guard.pool
        self._writer = guard.writer(WRITER)
        self._limits = limits or RelayLimits()
        self._metrics = metrics or Metrics()
        self._lease = Lease(guard.pool, holder, self._limits.lease_seconds)
        self._sender = Sender(access, self._limits.request_bytes_max, self._limits.batch_bytes_max)
        self._backoff = Backoff(self._limits.backoff_first_ms, self._limits.backoff_ms_max)
        self._progress = Progress()
        self._acknowledged = Acknowledged(self._writer)
        self._blocked_until_ns: dict[str, int] = {}
        self._status_due_ns = 0
        self._work = asyncio.Event()
        self._stop = asyncio.Event()

    @property
    def holds_lease(self) -> bool:
        return self._lease.fence is not None

    def wake(self) -> None:
        """Something was put into the outbox."""
        self._work.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the window in hand is finished within a bound. Raises OlderDatabase."""
        self._stop = stop
        try:
            while not stop.is_set():
                self._work.clear()
                await self._turn()
        finally:
            await self.close()

    async def run_once(self) -> int:
        """One page: sent, acknowledged, deleted. The number of records acknowledged.

        0 without the lease, or with nothing to send. Raises LeaseLost, OlderDatabase, and RETRIED.
        """
        if not await self._hold_lease():
            return 0
        started_ns = time.monotonic_ns()
        rows = await self._known_page()
        if not rows:
            return 0
        await unless_set(self._sender.start(), self._stop)
        if not self._sender.is_started:
            return 0
        refusals = await self._send(rows)
        crash_point("page_acknowledged")
        self._judge(refusals, {row.id: row for row in rows})
        sent = await self._settle(rows)
        crash_point("page_deleted")
        observe_since(self._metrics.page_seconds, started_ns)
        await self._mend(refusals)
        return sent

    async def status(self) -> OutboxStatus:
        """What waits, also shown as metrics. Raises what the database raises."""
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(SQL["waiting"])
        assert row is not None
        self._metrics.outbox_rows.set(row["rows_waiting"])
        self._metrics.outbox_age.set(row["oldest_age_seconds"])
        return OutboxStatus(row["rows_waiting"], row["oldest_age_seconds"], row["set_aside"])

    async def close(self) -> None:
        """Ends the producer for certain and frees the lease, within a bound."""
        await self._sender.close()
        self._metrics.lease_held.set(0)
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._lease.release()
        except RETRIED as problem:  # it ends by itself
            log.warning(Event.RELAY_RETRIES, exc_info=problem)

    async def _turn(self) -> None:
        try:
            sent = await self.run_once()
            await self._report()
        except LeaseLost:
            log.warning(Event.LEASE_LOST)
            await self._forget()
            await wait_any((self._stop,), self._limits.lease_retry_ms)
        except RETRIED as problem:
            log.warning(Event.RELAY_RETRIES, exc_info=problem)
            await wait_any((self._stop,), self._backoff.next_ms())
        else:
            self._backoff.reset()
            if sent == 0 and self.holds_lease:
                await wait_any((self._stop, self._work), self._limits.idle_ms)
            elif sent == 0:
                await wait_any((self._stop,), self._limits.lease_retry_ms)

    async def _hold_lease(self) -> bool:
        lease = self._lease
        if lease.fence is not None:
            if lease.is_due:
                await lease.renew()
            return True
        if not await lease.take():
            return False
        try:
            answer = await self._guard.ask(self._renew_if_due)
            await self._acknowledged.begin(answer)
            await lease.renew()
        except BaseException:
            await self._give_back()
            raise
        fence = lease.fence
        self._metrics.lease_held.set(1)
        log.info(Event.LEASE_TAKEN, fence=fence)
        return True

    async def _renew_if_due(self) -> None:
        if self._lease.is_due:
            await self._lease.renew()

    async def _give_back(self) -> None:
        """Whatever kept us from sending, another instance need not wait for our lease to end."""
        try:
            await self._lease.release()
        except RETRIED as problem:  # it ends by itself
            log.warning(Event.RELAY_RETRIES, exc_info=problem)

    async def _known_page(self) -> list[Row]:
        """From the database that knows what was acknowledged; another server is asked first."""
        try:
            return await self._page()
        except AnotherServer:
            await self._guard.recheck()
            return await self._page()

    async def _page(self) -> list[Row]:
        now_ns, limits = time.monotonic_ns(), self._limits
        blocked = [topic for topic, until in self._blocked_until_ns.items() if until > now_ns]
        async with self._pool.acquire() as connection:
            found = await connection.fetch(
                SQL["page"], limits.page_rows_max, limits.page_bytes_max, blocked
            )
            if found:  # to be sent
                await self._guard.verify(connection)
                if missing := await self._acknowledged.missing(connection):
                    await self._guard.stop(connection, missing)
        return [Row(*row.values()) for row in found]

    async def _send(self, rows: Sequence[Row]) -> list[Refusal]:
        """Waits for the broker as long as it takes, and keeps the lease meanwhile.

        Gives up, with the producer, when the lease is lost (LeaseLost), or some time after a stop
        was asked for; what was acknowledged by then is noted.
        """
        sending = asyncio.create_task(self._sender.send(rows, self._progress))
        give_up_ns: int | None = None
        try:
            while not (await asyncio.wait([sending], timeout=TICK_SECONDS))[0]:
                await self._keep_lease()
                if self._stop.is_set():
                    give_up_ns = give_up_ns or self._in_ms(self._limits.shutdown_seconds_max * 1000)
                    if time.monotonic_ns() > give_up_ns:
                        return []
            return sending.result()
        finally:
            if not sending.done():
                sending.cancel()
                await asyncio.wait([sending])
                await self._sender.close()

    async def _keep_lease(self) -> None:
        """Raises LeaseLost also when it may have ended while the database could not be asked."""
        try:
            async with asyncio.timeout(max(1, self._limits.lease_seconds // 3)):
                if self._lease.is_due:
                    await self._lease.renew()
                await self._report()
        except RETRIED as problem:
            log.warning(Event.RELAY_RETRIES, exc_info=problem)
            if self._lease.has_ended:
                self._lease.fence = None
                raise LeaseLost from problem

    def _judge(self, refusals: Sequence[Refusal], rows: dict[int, Row]) -> None:
        """Whose fault each refusal is: a record's own, its topic's, or nobody's."""
        for refusal in refusals:
            error, topic = refusal.error, refusal.topic
            log.warning(Event.SEND_REFUSED, topic=topic, error=type(error).__name__)
            reason = OWN_FAULTS.get(type(error))
            if reason is not None and len(refusal.records) == 1:
                (record,) = refusal.records
                self._progress.set_aside(self._aside(rows[record.at.row], record, reason))
            elif reason is not None:
                self._progress.suspect(topic, refusal.records, self._limits.batch_bytes_max)
            elif isinstance(error, TOPIC_FAULTS):
                self._blocked_until_ns[topic] = self._in_ms(self._limits.topic_retry_ms)

    async def _settle(self, rows: Sequence[Row]) -> int:
        """What is known of the rows goes into the database, if the lease is still ours."""
        progress = self._progress
        if gaps := self._acknowledged.gaps(progress):
            log.warning(Event.OUTPUT_GAP, partitions=gaps)
            await self._guard.ask(self._renew_if_due)
        complete = progress.complete(rows)
        async with self._writer.transaction() as connection:
            await self._lease.renew_on(connection)
            await connection.executemany(
                SQL["put_in_quarantine"], [row.columns() for row in progress.aside]
            )
            await self._acknowledged.write(connection, progress)
            await connection.execute(SQL["delete"], complete)
        self._acknowledged.note(progress)
        for topic, count in progress.sent.items():
            self._metrics.sent.labels(topic).inc(count)
        sent = progress.sent.total()
        progress.settled(complete)
        return sent

    async def _mend(self, refusals: Sequence[Refusal]) -> None:
        """A producer that was refused something is of no use for that partition any more."""
        used = [refusal for refusal in refusals if refusal.records]
        if used:
            await self._sender.close()
            reason = type(used[0].error).__name__
            self._metrics.rebuilds.labels(reason).inc()
            log.warning(Event.PRODUCER_REBUILT, reason=reason)
        for refusal in refusals:
            if type(refusal.error) not in OWN_FAULTS and not isinstance(
                refusal.error, TOPIC_FAULTS
            ):
                raise SendFailed(refusal.topic) from refusal.error

    def _aside(self, row: Row, record: Outgoing, reason: str) -> SetAside:
        log.error(Event.RECORD_SET_ASIDE, topic=row.topic, outbox_id=row.id, reason=reason)
        self._metrics.set_aside.labels(row.topic, reason).inc()
        return SetAside(row.topic, record, reason, row.recorded_at)

    async def _forget(self) -> None:
        """Another relay goes on from what the database knows."""
        self._progress = Progress()
        self._acknowledged.forget()
        self._metrics.lease_held.set(0)
        await self._sender.close()

    async def _report(self) -> None:
        """Now and then: metrics, and the alarm on rows that wait for too long."""
        if time.monotonic_ns() < self._status_due_ns:
            return
        self._status_due_ns = self._in_ms(self._limits.status_seconds * 1_000)
        status = await self.status()
        if status.oldest_row_age_seconds > self._limits.outbox_age_alarm_seconds:
            log.error(
                Event.OUTBOX_OLD,
                age_seconds=status.oldest_row_age_seconds,
                rows=status.rows_waiting,
            )

    @staticmethod
    def _in_ms(milliseconds: int) -> int:
        return time.monotonic_ns() + milliseconds * 1_000_000
