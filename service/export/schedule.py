"""When a profile is due: by its interval or its cron expression. Pure; times aware UTC."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from .profiles.profile import Profile


def is_cron(expression: str) -> bool:
    """Five fields, as cron has them."""
    try:
        CronSim(expression, datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")))
    except CronSimError:
        return False
    return len(expression.split()) == 5


def is_due(profile: Profile, last: datetime | None, since: datetime, now: datetime) -> bool:
    """Whether a run is to be started. `last` is the newest run's cutoff, `since` when the profile
    was first seen here. However many were missed, one run catches them up.
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
    """Whether a run was due that long ago already, and none that was begun since has ended.

    `last` is the cutoff of the newest run that has ended; the others as for `is_due`.
    """
    before = now - timedelta(seconds=late_seconds_max)
    return since <= before and is_due(profile, last, since, before)
