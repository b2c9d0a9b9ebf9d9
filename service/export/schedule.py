"""When a profile runs: by its interval or its cron expression, unless it is paused or has failed.

All instants are aware UTC. Schedules go by the clock of the database, retries by the monotonic
clock of the process.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from ..database.adopted_lines import recovery_is_open
from ..database.session import Connection, statements
from ..database.tables import key_columns
from ..runtime.problems import OperatorError
from ..runtime.waiting import Postponed
from .profiles.profile import Profile

SQL = statements("export")
PAUSE_SQL = statements("pause")

FIRST_MS = 30_000
MAX_MS = 3_600_000
# Where another session is in the way nobody has to correct anything: it may be over at any time.
TEMPORARY_MAX_MS = 300_000

ProfileKey = tuple[str, str]  # institution id and profile code


class ExportsAreOff(OperatorError):
    """Nothing is exported before a recovery has ended."""

    def __init__(self) -> None:
        super().__init__(
            "exports are off: the ledger is being recovered, and the service has not read again"
            " all that it had read before the restore; they go on by themselves when it has"
        )


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The id of an open run, and how many batches the run has sealed."""

    run_id: str
    parts: int


@dataclass(frozen=True, slots=True)
class ProfileRuns:
    """What the database knows of the runs of one profile.

    `since` is when the profile was first read here, `last_cutoff` the cutoff of its newest run and
    `open_run` the run that has not ended; None if there is none. `is_paused` says whether a person
    has stopped the runs. No instant lies in the future, even if the clock of the database was ahead
    for a while.
    """

    since: datetime
    last_cutoff: datetime | None
    open_run: RunProgress | None
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """A person has stopped the runs of a profile, and gave this reason."""

    institution_id: str
    profile: str
    reason: str
    operator: str
    paused_at: datetime


def is_due(profile: Profile, last: datetime | None, since: datetime, now: datetime) -> bool:
    """Whether a run is to be started at `now`.

    `last` is the cutoff of the newest run, `since` when the profile was first read here. One run
    makes up for all runs that were missed.
    """
    if profile.interval_seconds is not None:
        return last is None or (now - last).total_seconds() >= profile.interval_seconds
    if profile.cron is None:
        return False
    after = since if last is None else max(last, since)
    local = after.astimezone(ZoneInfo(profile.cron_zone))
    upcoming = next(CronSim(profile.cron, local), None)
    return upcoming is not None and upcoming <= now


def is_overdue(
    profile: Profile, last: datetime | None, since: datetime, now: datetime, late_seconds_max: int
) -> bool:
    """Whether a run was due `late_seconds_max` ago, and no run that began since then has ended.

    `last` is the cutoff of the newest run that has ended; `since` and `now` are as for `is_due`.
    """
    before = now - timedelta(seconds=late_seconds_max)
    return since <= before and is_due(profile, last, since, before)


async def runs_of_profiles(
    connection: Connection, keys: Collection[ProfileKey]
) -> tuple[Mapping[ProfileKey, ProfileRuns], datetime]:
    """The runs of these profiles and of those known before, and the clock of the database.

    Profiles that are new are noted, because a schedule counts from then on.
    """
    await connection.execute(SQL["see_profiles"], *key_columns(keys, 2))
    await connection.execute(SQL["correct_profile_starts"])
    runs = {
        (row["institution_id"], row["profile"]): ProfileRuns(
            row["since"],
            row["last_cutoff"],
            None
            if row["open_run_id"] is None
            else RunProgress(row["open_run_id"], row["open_parts"]),
            row["is_paused"],
        )
        for row in await connection.fetch(SQL["profile_runs"])
    }
    return runs, await connection.fetchval(SQL["clock"])


async def require_no_recovery(connection: Connection) -> None:
    """Raises ExportsAreOff while a recovery has not ended."""
    if await recovery_is_open(connection):
        raise ExportsAreOff


async def is_paused(connection: Connection, profile: Profile) -> bool:
    """Whether a person has stopped the runs of the profile."""
    paused: bool = await connection.fetchval(
        PAUSE_SQL["is_paused"], profile.institution_id, profile.code
    )
    return paused


async def pauses(connection: Connection) -> dict[ProfileKey, Pause]:
    """All pauses, by institution id and profile code."""
    rows = await connection.fetch(PAUSE_SQL["pauses"])
    return {(row["institution_id"], row["profile"]): Pause(*row.values()) for row in rows}


class Retries:
    """The profiles whose last attempt failed, and when each is tried again: ever more seldom.

    Only a person can remove the cause of most failures, and each attempt reads, locks and renders
    a whole batch. A profile waits no longer once its run has moved without this process: then an
    operator's command or another instance has sealed a batch or ended the run, so the cause may be
    removed.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._lasting = Postponed[ProfileKey](FIRST_MS, MAX_MS, clock_ns)
        self._temporary = Postponed[ProfileKey](FIRST_MS, TEMPORARY_MAX_MS, clock_ns)
        self._progress: dict[ProfileKey, RunProgress | None] = {}

    def is_waiting(self, profile: Profile, progress: RunProgress | None) -> bool:
        """Whether the profile failed and its next attempt is still to come.

        `progress` is where its open run is now; None if no run is open.
        """
        key = profile.key
        if key in self._progress and self._progress[key] != progress:
            self.succeeded(profile)
        return self._lasting.is_waiting(key) or self._temporary.is_waiting(key)

    def failed(
        self, profile: Profile, progress: RunProgress | None, *, is_temporary: bool = False
    ) -> int:
        """Postpones the profile; returns the milliseconds until its next attempt.

        `progress` is where its run was when this process could not continue it. A failure that is
        temporary needs no correction by a person.
        """
        self._progress[profile.key] = progress
        postponed = self._temporary if is_temporary else self._lasting
        return postponed.failed(profile.key)

    def succeeded(self, profile: Profile) -> None:
        """Forgets the failures of the profile."""
        self._lasting.succeeded(profile.key)
        self._temporary.succeeded(profile.key)
        self._progress.pop(profile.key, None)
