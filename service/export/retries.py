"""When a profile whose run failed is tried again: ever more seldom.

Most failures are mended by a person only, and each attempt reads, locks and renders a whole batch.
"""

import time
from collections.abc import Callable

from ..runtime.waiting import Postponed
from .profiles.profile import Profile
from .schedules import RunProgress

FIRST_MS = 30_000
MAX_MS = 3_600_000
# Where another session is in the way nobody has to mend anything: it is over at any time.
TEMPORARY_MAX_MS = 300_000

_Key = tuple[str, str]


class Retries:
    """Profiles that wait for their next attempt; of one process, by its monotonic clock.

    A profile waits no longer once its run has moved without this process: an operator's command or
    another instance has sealed a batch of it or has ended it, so that the cause may be mended.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._postponed = Postponed[_Key](FIRST_MS, MAX_MS, clock_ns)
        self._in_the_way = Postponed[_Key](FIRST_MS, TEMPORARY_MAX_MS, clock_ns)
        self._places: dict[_Key, RunProgress | None] = {}

    def is_waiting(self, profile: Profile, place: RunProgress | None) -> bool:
        """Whether the profile failed and its next attempt is still to come.

        `place`: where its open run is now; None where no run is open.
        """
        key = _key(profile)
        if key in self._places and self._places[key] != place:
            self.succeeded(profile)
        return self._postponed.is_waiting(key) or self._in_the_way.is_waiting(key)

    def failed(
        self, profile: Profile, place: RunProgress | None, *, is_temporary: bool = False
    ) -> int:
        """Puts the profile off; how many milliseconds until its next attempt.

        `place`: where its run was when this process could not go on.
        """
        self._places[_key(profile)] = place
        postponed = self._in_the_way if is_temporary else self._postponed
        return postponed.failed(_key(profile))

    def succeeded(self, profile: Profile) -> None:
        self._postponed.succeeded(_key(profile))
        self._in_the_way.succeeded(_key(profile))
        self._places.pop(_key(profile), None)


def _key(profile: Profile) -> _Key:
    return profile.institution_id, profile.code
