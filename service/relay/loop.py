"""The relay's loop: sends the rows of the outbox table to Kafka in order, and deletes a row when
the broker has acknowledged its records.

Each record is sent at least once; if it is sent again, it has the same `ce_id`, by which readers
recognise the copy. A lease in the database makes sure that only one relay sends at a time. No
record is lost: records that cannot be sent yet stay in the outbox, and a record that the broker
refuses because of the record itself, such as its size, goes into the quarantine table.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..restore.guard import AnotherServer, Guard
from ..runtime.failures import RELAY_RETRIES, SendFailed
from ..runtime.process import crash_point
from ..runtime.telemetry import Event, Metrics, get_log, observe_since
from ..runtime.waiting import Backoff, unless_set, wait_any
from ..settings.access import KafkaAccess
from ..settings.parts import RelayLimits
from .lease import Lease, LeaseLost
from .outbox import Outbox, OutboxStatus, Progress, Row
from .sender import Sender, SendFailure, with_documents

CLOSE_SECONDS_MAX = 5

R = TypeVar("R")

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class RelayPauses:
    """How long the relay waits at various points; operators cannot set these times."""

    lease_retry_ms: int = 500  # while another relay has the lease
    backoff_first_ms: int = 100
    backoff_ms_max: int = 5_000
    topic_retry_ms: int = 5_000  # of a topic that the broker does not let us use
    status_seconds: int = 5


class Relay:
    """The loop that sends the outbox to Kafka. `holder` is a name that only this relay has."""

    def __init__(
        self,
        guard: Guard,
        access: KafkaAccess,
        holder: str,
        limits: RelayLimits | None = None,
        metrics: Metrics | None = None,
        pauses: RelayPauses | None = None,
    ) -> None:
        self._guard = guard
        self._limits = limits or RelayLimits()
        self._pauses = pauses or RelayPauses()
        self._metrics = metrics or Metrics()
        self._lease = Lease(guard.pool, holder, self._limits.relay_lease_seconds)
        self._outbox = Outbox(guard, self._lease)
        self._sender = Sender(access, self._limits.relay_request_bytes_max)
        self._backoff = Backoff(self._pauses.backoff_first_ms, self._pauses.backoff_ms_max)
        self._progress = Progress()
        self._blocked_until_ns: dict[str, int] = {}
        self._unusable: dict[str, str] = {}  # topics, each with what is wrong with it
        self._report_at_ns = 0
        # A stop first sends what is left, for a quarter of the time; this is for the page in hand.
        self._window_ms = max(1, self._limits.shutdown_seconds_max // 12) * 1_000
        self._work = asyncio.Event()
        self._stop = asyncio.Event()

    @property
    def holds_lease(self) -> bool:
        """Whether this relay holds the lease and is therefore the one that sends."""
        return self._lease.fence is not None

    def topics_problem(self) -> str | None:
        """Returns a sentence with the topics to which nothing can be sent because of the topic
        itself; None if there are none, or if another relay sends.
        """
        if not self._unusable or not self.holds_lease:
            return None
        topics = ", ".join(f"{topic} ({why})" for topic, why in sorted(self._unusable.items()))
        return f"records cannot be sent, and wait: {topics}"

    def wake(self) -> None:
        """Wakes the loop, because records were written to the outbox."""
        self._work.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Sends records until `stop` is set; then finishes the rows that it is sending, within a
        limited time. Raises OlderDatabase.
        """
        self._stop = stop
        try:
            while not stop.is_set():
                self._work.clear()
                await self._turn()
        finally:
            await self.close()

    async def run_once(self) -> int:
        """Sends the next rows of the outbox and deletes those that were acknowledged; returns the
        number of acknowledged records. Returns 0 if another relay has the lease, the outbox is
        empty, the broker accepted nothing, or `run` has to stop. Raises LeaseLost, OlderDatabase,
        or an error of RELAY_RETRIES, after which it may be called again.
        """
        if not await self._hold_lease():
            return 0
        started_ns = time.monotonic_ns()
        rows = await self._under_lease(self._page())
        if not rows:
            return 0
        if not await unless_set(self._sender.start(), self._stop):
            return 0
        failures = await self._under_lease(self._sender.send(rows, self._progress)) or []
        crash_point("page_acknowledged")
        self._judge(failures, {row.id: row for row in rows})
        self._note_topics(failures, rows)
        sent = await self._store(rows)
        crash_point("page_deleted")
        observe_since(self._metrics.page_seconds, started_ns)
        await self._replace_producer(failures)
        return sent

    async def status(self) -> OutboxStatus:
        """Reads the number of rows in the outbox and the age of the oldest, and sets the metrics.
        Raises the errors of the database.
        """
        status = await self._outbox.status()
        self._metrics.outbox_rows.set(status.rows_waiting)
        self._metrics.outbox_age.set(status.oldest_row_age_seconds)
        return status

    async def close(self) -> None:
        """Ends the producer for certain and gives the lease up, within a limited time."""
        await self._sender.close()
        self._metrics.lease_held.set(0)
        await self._release_lease()

    async def _turn(self) -> None:
        try:
            await self._report()  # first, so that it is not left out when no page can be sent
            sent = await self.run_once()
        except LeaseLost:
            log.warning(Event.LEASE_LOST)
            # Another relay goes on from what the database knows.
            self._progress = Progress()
            self._metrics.lease_held.set(0)
            await self._sender.close()
            await wait_any((self._stop,), self._pauses.lease_retry_ms)
        except RELAY_RETRIES as problem:
            log.warning(Event.RELAY_RETRIES, exc_info=problem)
            await wait_any((self._stop,), self._backoff.next_ms())
        else:
            self._backoff.reset()
            if sent == 0 and self.holds_lease:
                await wait_any((self._stop, self._work), self._limits.relay_idle_ms)
            elif sent == 0:
                await wait_any((self._stop,), self._pauses.lease_retry_ms)

    async def _hold_lease(self) -> bool:
        """Renews the lease, or takes it and asks the restore check; False: another one has it."""
        if self.holds_lease:
            await self._lease.renew_if_due()
            return True
        if not await self._lease.take():
            return False
        try:
            await self._outbox.begin(await self._guard.ask(self._lease.renew_if_due))
            await self._lease.renew()
        except BaseException:
            # Whatever keeps this relay from sending, another instance need not wait.
            await self._release_lease()
            raise
        self._metrics.lease_held.set(1)
        log.info(Event.LEASE_TAKEN, fence=self._lease.fence)
        return True

    async def _release_lease(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._lease.release()
        except RELAY_RETRIES as problem:  # it ends by itself
            log.warning(Event.RELAY_RETRIES, exc_info=problem)

    async def _page(self) -> list[Row]:
        now_ns, limits = time.monotonic_ns(), self._limits
        blocked = with_documents(
            topic for topic, until in self._blocked_until_ns.items() if until > now_ns
        )
        bounds = (limits.relay_page_rows_max, limits.relay_page_bytes_max, blocked)
        try:
            return await self._outbox.page(*bounds)
        except AnotherServer:
            await self._guard.recheck()
            return await self._outbox.page(*bounds)

    async def _under_lease(self, work: Awaitable[R]) -> R | None:
        """What `work` returns, waited for as long as it takes; the lease is renewed meanwhile.
        Gives up, with the producer, when the lease is lost (LeaseLost), or some time after a stop
        was asked for (None); what was acknowledged by then is noted.
        """
        task = asyncio.ensure_future(work)
        give_up_ns: int | None = None
        try:
            while not (await asyncio.wait([task], timeout=self._limits.relay_lease_seconds / 10))[
                0
            ]:
                await self._keep_lease()
                if self._stop.is_set():
                    give_up_ns = give_up_ns or _in_ms(self._window_ms)
                    if time.monotonic_ns() > give_up_ns:
                        return None
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
                await self._sender.close()

    async def _keep_lease(self) -> None:
        """Raises LeaseLost also when it may have ended while the database could not be asked."""
        try:
            async with asyncio.timeout(self._limits.relay_lease_seconds / 3):
                await self._lease.renew_if_due()
                await self._report()
        except RELAY_RETRIES as problem:
            log.warning(Event.RELAY_RETRIES, exc_info=problem)
            if self._lease.has_ended:
                self._lease.fence = None
                raise LeaseLost from problem

    def _judge(self, failures: Sequence[SendFailure], rows: dict[int, Row]) -> None:
        """Acts on the cause of each failure: a record, its topic, or neither."""
        for failure in failures:
            topic, reason = failure.topic, failure.record_fault
            log.warning(Event.SEND_FAILED, topic=topic, error=type(failure.error).__name__)
            if reason is not None and len(failure.records) == 1:
                (record,) = failure.records
                log.error(
                    Event.RECORD_QUARANTINED, topic=topic, outbox_id=record.id.row, reason=reason
                )
                self._metrics.quarantined.labels(topic, reason).inc()
                self._progress.quarantine(rows[record.id.row], record, reason)
            elif reason is not None:
                self._progress.suspect(topic, failure.records, self._sender.batch_bytes_max)
            elif failure.topic_fault is not None:
                self._blocked_until_ns[topic] = _in_ms(self._pauses.topic_retry_ms)

    def _note_topics(self, failures: Sequence[SendFailure], rows: Sequence[Row]) -> None:
        """A topic is in order again when its records were sent."""
        for topic in {row.topic for row in rows}:
            self._unusable.pop(topic, None)
        for failure in failures:
            if failure.topic_fault is not None:
                self._unusable[failure.topic] = failure.topic_fault

    async def _store(self, rows: Sequence[Row]) -> int:
        """Stores what is known of the rows, if the lease is still held; how many were sent."""
        if gaps := self._outbox.gaps(self._progress):
            log.warning(Event.OUTPUT_GAP, partitions=gaps)
            await self._guard.ask(self._lease.renew_if_due)
        sent = self._progress.sent.copy()
        await self._outbox.store(rows, self._progress)
        for topic, count in sent.items():
            self._metrics.sent.labels(topic).inc(count)
        return sent.total()

    async def _replace_producer(self, failures: Sequence[SendFailure]) -> None:
        """A producer whose send failed is of no use for that partition any more."""
        used = [failure for failure in failures if failure.records]
        if used:
            await self._sender.close()
            reason = type(used[0].error).__name__
            self._metrics.rebuilds.labels(reason).inc()
            log.warning(Event.PRODUCER_REBUILT, reason=reason)
        for failure in failures:
            if failure.record_fault is None and failure.topic_fault is None:
                raise SendFailed(failure.topic) from failure.error

    async def _report(self) -> None:
        """Now and then: metrics, and the alarm on rows that wait for too long."""
        if time.monotonic_ns() < self._report_at_ns:
            return
        self._report_at_ns = _in_ms(self._pauses.status_seconds * 1_000)
        status = await self.status()
        if status.oldest_row_age_seconds > self._limits.outbox_age_alarm_seconds:
            log.error(
                Event.OUTBOX_OLD,
                age_seconds=status.oldest_row_age_seconds,
                rows=status.rows_waiting,
            )


def _in_ms(milliseconds: int) -> int:
    return time.monotonic_ns() + milliseconds * 1_000_000
