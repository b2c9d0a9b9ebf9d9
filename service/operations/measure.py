"""What waits for someone, measured: outbox, parked, rejected, held back; an alarm on old ones."""

import asyncio
import time

from ..core.words import Reason, Wait
from ..database.session import Connection, Pool, statements
from ..export.profiles.profile import NO_PROFILES, Profiles
from ..export.schedule import pauses
from ..export.selection import Exclusion
from ..runtime.telemetry import Event, Metrics, get_log
from ..runtime.waiting import unless_set, wait_any
from .sweep import parked_by_wait

log = get_log(__name__)

INTERVAL_MS = 10_000
HELD = (Exclusion.IN_DISPUTE, Exclusion.NOT_EXPORTABLE, Exclusion.REFUSED)


class Measure:
    """Fills the gauges, on every instance. The relay itself alarms on the age of the outbox."""

    def __init__(
        self,
        pool: Pool,
        metrics: Metrics,
        parked_alarm_seconds: int = 259_200,
        alarm_interval_seconds: int = 30,
        parked_queue_alarm_records: int = 1_000,
        profiles: Profiles = NO_PROFILES,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._parked_alarm_seconds = parked_alarm_seconds
        self._alarm_interval_ns = alarm_interval_seconds * 1_000_000_000
        self._parked_queue_alarm_records = parked_queue_alarm_records
        self._profiles = profiles
        self._alarmed_ns: dict[Event, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            # Nothing is lost with a measurement, so a stop does not wait for one.
            await unless_set(self.run_once(), stop)
            await wait_any((stop,), INTERVAL_MS)

    async def run_once(self) -> int:
        """One measurement; the age of the oldest parked record in seconds."""
        async with self._pool.acquire() as connection:
            await self._outbox(connection)
            oldest = await self._parked(connection)
            await self._longest_queue(connection)
            await self._for_people(connection)
            await self._paused(connection)
        return oldest

    async def _paused(self, connection: Connection) -> None:
        paused = await pauses(connection)
        for profile in self._profiles.profiles:
            is_paused = (profile.institution_id, profile.code) in paused
            self._metrics.paused.labels(profile.code).set(int(is_paused))

    async def _outbox(self, connection: Connection) -> None:
        row = await connection.fetchrow(statements("outbox")["waiting"])
        assert row is not None
        self._metrics.outbox_rows.set(row["rows_waiting"])
        self._metrics.outbox_age.set(row["oldest_age_seconds"])
        self._metrics.quarantined_records.set(row["quarantined"])
        self._metrics.quarantined_records_former_name.set(row["quarantined"])

    async def _parked(self, connection: Connection) -> int:
        parked = await parked_by_wait(connection)
        sql = statements("operators")["parked_overdue"]
        overdue: int = await connection.fetchval(sql, self._parked_alarm_seconds)
        for wait in Wait:
            self._metrics.parked.labels(wait).set(parked[wait].records if wait in parked else 0)
        oldest = max((one.oldest_seconds for one in parked.values()), default=0)
        self._metrics.parked_age.set(oldest)
        self._metrics.parked_overdue.set(overdue)
        if overdue and self._is_due(Event.PARKED_OLD):
            log.error(Event.PARKED_OLD, records=overdue, age_seconds=oldest)
        return oldest

    async def _longest_queue(self, connection: Connection) -> None:
        row = await connection.fetchrow(statements("upkeep")["longest_parked_queue"])
        records: int = 0 if row is None else row["records"]
        self._metrics.parked_queue_longest.set(records)
        if row is None or records < self._parked_queue_alarm_records:
            return
        if self._is_due(Event.PARKED_QUEUE_LONG):
            institution_id = row["institution_id"]
            log.error(Event.PARKED_QUEUE_LONG, institution_id=institution_id, records=records)

    def _is_due(self, alarm: Event) -> bool:
        """Once per interval: the gauge says it all the time."""
        now_ns = time.monotonic_ns()
        last_ns = self._alarmed_ns.get(alarm)
        if last_ns is not None and now_ns - last_ns < self._alarm_interval_ns:
            return False
        self._alarmed_ns[alarm] = now_ns
        return True

    async def _for_people(self, connection: Connection) -> None:
        """What a person has to look after."""
        rows = await connection.fetch(statements("operators")["rejected_open"])
        records = {row["reason"]: row["records"] for row in rows}
        for reason in Reason:
            self._metrics.rejected_open.labels(reason).set(records.get(reason, 0))
        rows = await connection.fetch(statements("operators")["held_counted"])
        fines = {row["reason"]: row["fines"] for row in rows}
        for refusal in HELD:
            self._metrics.held_now.labels(refusal).set(fines.get(refusal, 0))
