"""When a profile is due: intervals, cron expressions, daylight saving, what was missed."""

from datetime import UTC, datetime

import pytest

from service.export.profiles.profile import Profile
from service.export.schedule import is_due
from tests.support.write_path import profiles_of

NIGHTLY = 'cron = "30 2 * * *"'
BERLIN = 'cron_zone = "Europe/Berlin"'


def profile(*options: str) -> Profile:
    (result,) = profiles_of(
        "\n".join(
            (
                '[[institution]]\nid = "1"\nzone = "UTC"\n[[profile]]\ncode = "P"\nname = "P"',
                'institution = "1"\nmode = "export_only"\ncurrency = "EUR"\nmatch = "02"',
                'fine_types = ["A"]',
                *options,
            )
        )
    ).profiles
    return result


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("case", "options", "last", "since", "now", "due"),
    [
        ("no schedule", (), None, "2026-01-01T00:00", "2030-01-01T00:00", False),
        (
            "interval, never ran",
            ("interval_seconds = 60",),
            None,
            "2026-01-01T00:00",
            "2026-01-01T00:00",
            True,
        ),
        (
            "interval, just over",
            ("interval_seconds = 60",),
            "2026-01-01T00:00",
            "2026-01-01T00:00",
            "2026-01-01T00:01",
            True,
        ),
        (
            "interval, not over",
            ("interval_seconds = 60",),
            "2026-01-01T00:00",
            "2026-01-01T00:00",
            "2026-01-01T00:00:59",
            False,
        ),
        (
            "cron, before its first time",
            (NIGHTLY,),
            None,
            "2026-01-01T00:00",
            "2026-01-01T02:29:59",
            False,
        ),
        ("cron, at its first time", (NIGHTLY,), None, "2026-01-01T00:00", "2026-01-01T02:30", True),
        (
            "cron, done tonight",
            (NIGHTLY,),
            "2026-01-01T02:30",
            "2025-01-01T00:00",
            "2026-01-01T23:59",
            False,
        ),
        (
            "cron, three nights missed",
            (NIGHTLY,),
            "2026-01-01T02:30",
            "2025-01-01T00:00",
            "2026-01-04T12:00",
            True,
        ),
        (
            "cron, caught up once",
            (NIGHTLY,),
            "2026-01-04T12:00",
            "2025-01-01T00:00",
            "2026-01-04T12:01",
            False,
        ),
        (
            "cron in its own zone",
            (NIGHTLY, BERLIN),
            "2026-01-01T12:00",
            "2025-01-01T00:00",
            "2026-01-02T01:30",
            True,
        ),
        (
            "cron in its own zone, not yet",
            (NIGHTLY, BERLIN),
            "2026-01-01T12:00",
            "2025-01-01T00:00",
            "2026-01-02T01:29",
            False,
        ),
        (
            "an hour that does not exist runs all the same",
            (NIGHTLY, BERLIN),
            "2026-03-28T12:00",
            "2025-01-01T00:00",
            "2026-03-29T01:30",
            True,
        ),
        (
            "an hour that comes twice runs once",
            (NIGHTLY, BERLIN),
            "2026-10-25T00:31",
            "2025-01-01T00:00",
            "2026-10-25T20:00",
            False,
        ),
    ],
)
def test_a_profile_is_due(
    case: str, options: tuple[str, ...], last: str | None, since: str, now: str, due: bool
) -> None:
    newest = None if last is None else at(last)
    assert is_due(profile(*options), newest, at(since), at(now)) is due, case
