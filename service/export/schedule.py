"""Decides when a profile runs: by its interval or cron expression, unless it is paused or has
failed.

All instants are aware datetimes in UTC. Schedules go by the clock of the database, and retries of
failed runs by the monotonic clock of the process.
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
    """No batch is exported until the recovery of a restored database has ended."""

    def __init__(self) -> None:
        super().__init__(
            "exports are off: the ledger is being recovered, and the service has not read again"
            " all that it had read before the restore; they go on by themselves when it has"
        )


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The id of an open run, and the number of batches that it has sealed."""

    run_id: str
    parts: int


@dataclass(frozen=True, slots=True)
class ProfileRuns:
    """What the database knows of the runs of one profile.

    `since` is when this database first saw the profile, `last_cutoff` is the cutoff of its newest
    run, and `open_run` is the run that has not ended; the last two are None if there is no such
    run. `is_paused` says whether a person has paused the profile. Neither `since` nor `last_cutoff`
    lies in the future, even if the database's clock was ahead for a while.
    """

    since: datetime
    last_cutoff: datetime | None
    open_run: RunProgress | None
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """A person has paused the runs of a profile, and gave `reason` for it."""

    institution_id: str
    profile: str
    reason: str
    operator: str
    paused_at: datetime


def is_due(profile: Profile, last: datetime | None, since: datetime, now: datetime) -> bool:
    """Whether a run of the profile is to be started at `now`.

    `last` is the cutoff of the profile's newest run, and `since` is when this database first saw
    the profile. However many runs were missed, a single run makes up for them.
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
    """Whether a run was due `late_seconds_max` seconds before `now`, and still no run that began
    after it was due has ended.

    `last` is the cutoff of the newest run that has ended; `since` and `now` mean the same as for
    `is_due`.
    """
    before = now - timedelta(seconds=late_seconds_max)
    return since <= before and is_due(profile, last, since, before)


async def runs_of_profiles(
    connection: Connection, keys: Collection[ProfileKey]
) -> tuple[Mapping[ProfileKey, ProfileRuns], datetime]:
    """Returns what is known of the runs of these profiles and of all others in the database, and
    the time of the database's clock.

    Profiles that the database has not seen before are noted with the present time, because their
    cron schedules count from then on.
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
    """Raises ExportsAreOff while the recovery of a restored database has not ended."""
    if await recovery_is_open(connection):
        raise ExportsAreOff


async def is_paused(connection: Connection, profile: Profile) -> bool:
    """Whether a person has paused the runs of the profile."""
    paused: bool = await connection.fetchval(
        PAUSE_SQL["is_paused"], profile.institution_id, profile.code
    )
    return paused


async def pauses(connection: Connection) -> dict[ProfileKey, Pause]:
    """Returns all pauses of profiles, by institution id and profile code."""
    rows = await connection.fetch(PAUSE_SQL["pauses"])
    return {(row["institution_id"], row["profile"]): Pause(*row.values()) for row in rows}


class Retries:
    """Remembers the profiles whose last attempt to run failed, and tries each again after ever
    longer times.

    The waiting times grow because most failures last until a person removes the cause, and because
    each attempt reads, locks and prints a whole batch. A failed profile is tried at once if another
    process has sealed a batch of its run or ended the run in the meantime, because the cause may
    then be gone.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._lasting = Postponed[ProfileKey](FIRST_MS, MAX_MS, clock_ns)
        self._temporary = Postponed[ProfileKey](FIRST_MS, TEMPORARY_MAX_MS, clock_ns)
        self._progress: dict[ProfileKey, RunProgress | None] = {}

    def is_waiting(self, profile: Profile, progress: RunProgress | None) -> bool:
        """Whether the profile's last attempt failed and the time of its next attempt has not come.

        `progress` is the profile's open run with its number of batches now; None if no run is open.
        """
        key = profile.key
        if key in self._progress and self._progress[key] != progress:
            self.succeeded(profile)
        return self._lasting.is_waiting(key) or self._temporary.is_waiting(key)

    def failed(
        self, profile: Profile, progress: RunProgress | None, *, is_temporary: bool = False
    ) -> int:
        """Postpones the profile's next attempt; returns after how many milliseconds it comes.

        `progress` is the open run with its number of batches at the time of the failure. A
        temporary failure may pass without anybody's correction, so its next attempt comes after at
        most five minutes.
        """
        self._progress[profile.key] = progress
        postponed = self._temporary if is_temporary else self._lasting
        return postponed.failed(profile.key)

    def succeeded(self, profile: Profile) -> None:
        """Forgets the failures of the profile, so that nothing delays its next run."""
        self._lasting.succeeded(profile.key)
        self._temporary.succeeded(profile.key)
        self._progress.pop(profile.key, None)
