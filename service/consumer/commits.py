"""Finds out whether the database accepts commits of the records that were read, for the readiness
check `commits`.

A database may answer queries and yet refuse every commit, for example because its disk is full or
because it is a read-only standby.
"""

import time
from collections.abc import Callable

from ..database.reach import reason_of

FAILING_MS_MIN = 3_000  # a session that was ended, or a restart, is over before
QUIET_MS = 15_000  # longer than the pauses between two attempts


class Commits:
    """Remembers since when, and why, the database has failed to commit polls; `now_ms` returns the
    milliseconds of a clock that only goes forward.
    """

    def __init__(
        self, now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000
    ) -> None:
        self._now_ms = now_ms
        self._first_ms: int | None = None
        self._last_ms = 0
        self._reason = ""

    def failed(self, problem: Exception) -> None:
        """Notes that the database has failed to commit a poll, and why."""
        self._last_ms = self._now_ms()
        if self._first_ms is None:
            self._first_ms = self._last_ms
        self._reason = reason_of(problem)

    def succeeded(self, records: int) -> None:
        """Notes that a poll with this number of records was committed.

        A poll without records does not prove that the database accepts commits; it counts as a
        success only if the last failure is more than QUIET_MS milliseconds ago.
        """
        if records or self._now_ms() - self._last_ms > QUIET_MS:
            self._first_ms = None

    def problem(self) -> str | None:
        """Returns a sentence that says why no record can be committed; None if commits succeed, or
        have failed for less than FAILING_MS_MIN milliseconds.
        """
        if self._first_ms is None or self._now_ms() - self._first_ms < FAILING_MS_MIN:
            return None
        return f"no record can be committed: {self._reason}"
