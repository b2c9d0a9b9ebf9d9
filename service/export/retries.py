"""When a profile whose batch cannot be sealed is tried again: ever more seldom.

Only somebody's hand mends such a batch, and each attempt reads, locks and renders all of it.
"""

import time
from collections.abc import Callable

from service.export.profile import Profile
from service.waiting import Backoff

FIRST_MS = 30_000
MAX_MS = 3_600_000


class Retries:
    """Profiles that wait for their next attempt; of one process, by its monotonic clock."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._backoffs: dict[tuple[str, str], Backoff] = {}
        self._until_ns: dict[tuple[str, str], int] = {}

    def is_waiting(self, profile: Profile) -> bool:
        """Whether the profile failed and its next attempt is still to come."""
        until_ns = self._until_ns.get(_key(profile))
        return until_ns is not None and self._clock_ns() < until_ns

    def failed(self, profile: Profile) -> int:
        """Puts the profile off; how many milliseconds until its next attempt."""
        backoff = self._backoffs.setdefault(_key(profile), Backoff(FIRST_MS, MAX_MS))
        wait_ms = backoff.next_ms()
        self._until_ns[_key(profile)] = self._clock_ns() + wait_ms * 1_000_000
        return wait_ms

    def succeeded(self, profile: Profile) -> None:
        self._backoffs.pop(_key(profile), None)
        self._until_ns.pop(_key(profile), None)


def _key(profile: Profile) -> tuple[str, str]:
    return profile.institution_id, profile.code
