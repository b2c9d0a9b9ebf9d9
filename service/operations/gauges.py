"""Sets the metrics that show what waits: records in the outbox, and records and fines about which a
person has to decide.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection

from ..core.words import Reason, Wait
from ..database.adopted_lines import count_waiting_lines, recovery_is_open
from ..database.intake_stops import stops
from ..database.session import Connection, Pool, statements
from ..export.profiles.profile import NO_PROFILES, Profiles
from ..export.schedule import pauses
from ..export.selection import Exclusion
from ..runtime.telemetry import Event, Metrics, get_log
from ..runtime.waiting import repeat
from .sweep import parked_by_wait

log = get_log(__name__)

INTERVAL_MS = 10_000
HELD = (
    *(Exclusion.IN_DISPUTE, Exclusion.NOT_EXPORTABLE, Exclusion.REFUSED),
    *(Exclusion.CREDIT_UNCONFIRMED, Exclusion.ADOPTED_LINE),
)


class Gauges:
    """Every instance of the service sets the gauges of what waits, and logs an alarm if records
    have been parked for too long.

    `topics` are the full names of the input topics.

    No alarm is logged here for old records in the outbox: the relay does that itself.
    """

    def __init__(
        self,
        pool: Pool,
        metrics: Metrics,
        parked_alarm_seconds: int = 259_200,
        alarm_interval_seconds: int = 30,
        parked_queue_alarm_records: int = 1_000,
        profiles: Profiles = NO_PROFILES,
        topics: Collection[str] = (),
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._parked_alarm_seconds = parked_alarm_seconds
        self._alarm_interval_ns = alarm_interval_seconds * 1_000_000_000
        self._parked_queue_alarm_records = parked_queue_alarm_records
        self._profiles = profiles
        self._topics = topics
        self._alarmed_ns: dict[Event, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Sets the gauges every ten seconds until `stop`. Raises what the database raises."""
        await repeat(self.run_once, stop, INTERVAL_MS)

    async def run_once(self) -> int:
        """Sets all gauges; returns the age of the oldest parked record in seconds."""
        async with self._pool.acquire() as connection:
            await self._set_outbox(connection)
            oldest = await self._set_parked(connection)
            await self._set_longest_queue(connection)
            await self._set_rejected_and_held(connection)
            await self._set_paused(connection)
            await self._set_recovery(connection)
            await self._set_stops(connection)
        return oldest

    async def _set_stops(self, connection: Connection) -> None:
        stopped = Counter(state.key.topic for state in await stops(connection))
        for topic in {*self._topics, *stopped}:
            self._metrics.intake_stops.labels(topic).set(stopped[topic])

    async def _set_recovery(self, connection: Connection) -> None:
        self._metrics.recovery_open.set(int(await recovery_is_open(connection)))
        self._metrics.adopted_lines.set((await count_waiting_lines(connection)).lines)

    async def _set_paused(self, connection: Connection) -> None:
        paused = await pauses(connection)
        for profile in self._profiles.profiles:
            is_paused = (profile.institution_id, profile.code) in paused
            self._metrics.paused.labels(profile.code).set(int(is_paused))

    async def _set_outbox(self, connection: Connection) -> None:
        row = await connection.fetchrow(statements("outbox")["waiting"])
        assert row is not None
        self._metrics.outbox_rows.set(row["rows_waiting"])
        self._metrics.outbox_age.set(row["oldest_age_seconds"])
        self._metrics.quarantined_records.set(row["quarantined"])
        self._metrics.quarantined_records_former_name.set(row["quarantined"])

    async def _set_parked(self, connection: Connection) -> int:
        parked = await parked_by_wait(connection)
        sql = statements("operators")["parked_overdue"]
        overdue: int = await connection.fetchval(sql, self._parked_alarm_seconds)
        for wait in Wait:
            self._metrics.parked.labels(wait).set(parked[wait].records if wait in parked else 0)
        oldest = max((waiting.oldest_seconds for waiting in parked.values()), default=0)
        self._metrics.parked_age.set(oldest)
        self._metrics.parked_overdue.set(overdue)
        if overdue and self._is_due(Event.PARKED_OLD):
            log.error(Event.PARKED_OLD, records=overdue, age_seconds=oldest)
        return oldest

    async def _set_longest_queue(self, connection: Connection) -> None:
        row = await connection.fetchrow(statements("upkeep")["longest_parked_queue"])
        records: int = 0 if row is None else row["records"]
        self._metrics.parked_queue_longest.set(records)
        if row is None or records < self._parked_queue_alarm_records:
            return
        if self._is_due(Event.PARKED_QUEUE_LONG):
            log.error(
                Event.PARKED_QUEUE_LONG, institution_id=row["institution_id"], records=records
            )

    def _is_due(self, alarm: Event) -> bool:
        """Whether the alarm was not logged during the last interval; the gauge shows it always."""
        now_ns = time.monotonic_ns()
        last_ns = self._alarmed_ns.get(alarm)
        if last_ns is not None and now_ns - last_ns < self._alarm_interval_ns:
            return False
        self._alarmed_ns[alarm] = now_ns
        return True

    async def _set_rejected_and_held(self, connection: Connection) -> None:
        rows = await connection.fetch(statements("operators")["rejected_open"])
        records = {row["reason"]: row["records"] for row in rows}
        for reason in Reason:
            self._metrics.rejected_open.labels(reason).set(records.get(reason, 0))
        rows = await connection.fetch(statements("operators")["held_counted"])
        fines = {row["reason"]: row["fines"] for row in rows}
        for exclusion in HELD:
            self._metrics.held_now.labels(exclusion).set(fines.get(exclusion, 0))
