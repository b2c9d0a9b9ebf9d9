"""Finds what should have happened and did not: runs that are overdue, batches without an answer,
and sources that send nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson

from ..apply.poll import Sender
from ..core.words import Mode
from ..database.session import Connection, Pool, statements
from ..export.profiles.profile import Profile, Profiles
from ..export.schedule import is_overdue, pauses
from ..export.selection import Exclusion
from ..runtime.telemetry import Metrics
from ..runtime.waiting import repeat
from ..settings.parts import StandingLimits

SQL = statements("upkeep")
INTERVAL_MS = 10_000
SLOW_EVERY = 30  # of these intervals: what is counted in days
LISTED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class ProfileStanding:
    """When the last run of a profile ended; `ended_at` is None if no run of it has ended so far.

    `age_seconds` counts from the end of the last run or, if there was none, from when the service
    first knew the profile. `held_back` says how many fines the last run held back, by reason.
    """

    profile: str
    ended_at: datetime | None
    age_seconds: int
    is_overdue: bool
    held_back: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UnansweredBatch:
    """A batch for which neither a response nor a payment has come."""

    profile: str
    batch_number: int
    age_days: int


@dataclass(frozen=True, slots=True)
class SilentSource:
    """A source that has sent records before, but none for `age_days` days."""

    sender: Sender
    age_days: int


def expects_runs(profile: Profile, *, is_paused: bool) -> bool:
    """Whether runs of the profile are expected, so that a late run is an alarm.

    No run is expected of a profile without a schedule, or while a person has paused the profile.
    """
    return not is_paused and (profile.interval_seconds is not None or profile.cron is not None)


async def profile_standings(
    connection: Connection, profiles: Sequence[Profile], late_seconds_max: int
) -> list[ProfileStanding]:
    """Returns for each profile, in the order of `profiles`, when its last run ended and whether a
    run is overdue, by the database's clock.
    """
    keys = ([p.institution_id for p in profiles], [p.code for p in profiles])
    rows = await connection.fetch(SQL["last_runs"], *keys)
    by_key = {(row["institution_id"], row["profile"]): row for row in rows}
    paused = await pauses(connection)
    return [
        _standing(profile, by_key[key], late_seconds_max, is_paused=key in paused)
        for profile in profiles
        for key in [(profile.institution_id, profile.code)]
    ]


def _standing(
    profile: Profile, row: asyncpg.Record, late_seconds_max: int, *, is_paused: bool
) -> ProfileStanding:
    clock, since, cutoff = row["clock"], row["since"], row["cutoff"]
    ended_at = max((at for at in (cutoff, row["ended_at"]) if at is not None), default=None)
    is_late = (
        since is not None
        and expects_runs(profile, is_paused=is_paused)
        and is_overdue(profile, cutoff, since, clock, late_seconds_max)
    )
    age_seconds = max(0, int((clock - (ended_at or since or clock)).total_seconds()))
    held_back = orjson.loads(row["held_back"] or "{}")
    return ProfileStanding(profile.code, ended_at, age_seconds, is_late, held_back)


async def unanswered_batches(
    connection: Connection, profiles: Sequence[Profile], days: int
) -> list[UnansweredBatch]:
    """Returns the batches, oldest first, that have had no answer for more than `days` days; only
    profiles that import payments count.

    An answer is a response of the bursar to the batch, or a payment for one of its fines.
    """
    with_import = [profile for profile in profiles if profile.mode is Mode.EXPORT_IMPORT]
    keys = ([p.institution_id for p in with_import], [p.code for p in with_import])
    rows = await connection.fetch(SQL["unanswered_batches"], *keys, days, LISTED_MAX)
    return [UnansweredBatch(row["profile"], row["batch_number"], row["age_days"]) for row in rows]


async def silent_sources(connection: Connection, days: int) -> list[SilentSource]:
    """Returns the sources that have sent nothing for more than `days` days, the longest silence
    first.
    """
    return [
        SilentSource(Sender(row["institution_id"], row["topic"], row["source"]), row["age_days"])
        for row in await connection.fetch(SQL["silent_sources"], days, LISTED_MAX)
    ]


class Standing:
    """Sets the metrics of overdue runs, unanswered batches and silent sources, on every instance of
    the service. `topics` has the full topic name of each contract.
    """

    def __init__(
        self,
        pool: Pool,
        metrics: Metrics,
        profiles: Profiles | None,
        topics: Mapping[str, str],
        limits: StandingLimits | None = None,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._profiles = () if profiles is None else profiles.profiles
        self._topics = topics
        self._limits = limits or StandingLimits()

    async def run(self, stop: asyncio.Event) -> None:
        """Sets the metrics of overdue runs, unanswered batches and silent sources at intervals
        until `stop` is set. Raises what the database raises.
        """
        await repeat(self.run_once, stop, INTERVAL_MS, self.count_days, SLOW_EVERY)

    async def run_once(self) -> None:
        """Sets the metrics that say when each profile has last run, whichever instance made the
        run.
        """
        late_seconds_max = self._limits.run_late_seconds_max
        async with self._pool.acquire() as connection:
            standings = await profile_standings(connection, self._profiles, late_seconds_max)
        for standing in standings:
            ended_at = 0 if standing.ended_at is None else int(standing.ended_at.timestamp())
            self._metrics.run_ended.labels(standing.profile).set(ended_at)
            self._metrics.run_age.labels(standing.profile).set(standing.age_seconds)
            self._metrics.run_overdue.labels(standing.profile).set(int(standing.is_overdue))
            for reason in filter(lambda reason: reason.is_held_back, Exclusion):
                fines = standing.held_back.get(reason.value, 0)
                self._metrics.held_back.labels(standing.profile, reason.value).set(fines)

    async def count_days(self) -> None:
        """Sets the metrics of unanswered batches and silent sources; this is done less often,
        because they change by the day and need longer SQL statements.
        """
        async with self._pool.acquire() as connection:
            batches = await unanswered_batches(
                connection, self._profiles, self._limits.unanswered_batch_days
            )
            silent = await silent_sources(connection, self._limits.silent_source_days)
        unanswered = Counter(batch.profile for batch in batches)
        for profile in self._profiles:
            self._metrics.batches_unanswered.labels(profile.code).set(unanswered[profile.code])
        topics = Counter(source.sender.topic for source in silent)
        for contract, topic in self._topics.items():
            self._metrics.sources_silent.labels(topic).set(topics[contract])
