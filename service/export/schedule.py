"""When a profile is due: by its interval or its cron expression. Pure; times aware UTC."""

from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from service.export.profile import Profile


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
