"""Decides which member processes are started, killed and started again, and which end of a member
ends the whole service.

This module starts no process, reads no clock, and does no input or output: its caller says what
happened, calls `tick` once a second, and carries out the orders that `tick` yields.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ..runtime.lifecycle import OVERDUE_STATUS
from ..runtime.telemetry import MemberEnd

# The exit status of a member that met an error which only a person can correct. The service itself
# ends with 1 then, as a service of one process does.
FOR_A_PERSON = 6
# A new start would end in the same way: options or settings are faulty, the database is older than
# Kafka, or a person is needed. Each with the status of the service.
FINAL_STATUSES = {2: 2, 3: 3, FOR_A_PERSON: 1}
WAIT_TICKS_MAX = 60
NOTED_SILENCE_TICKS = 5  # from then on the service is not ready
# Until its first report: where many processes begin at once, a start takes long, and killing them
# would only let them begin again.
START_TICKS_MAX = 120
STEADY_TICKS = 60  # a member that has worked for so long begins anew with the shortest wait


class Order(StrEnum):
    """What the caller of `tick` has to do with a member process."""

    START = "start"
    KILL = "kill"


@dataclass(slots=True)
class Member:
    """The state of a member process. `ran_ticks` counts seconds since the member's start,
    `silent_ticks` since its last report; `wait_ticks` are the seconds until its next start.
    """

    number: int
    is_running: bool = False
    has_reported: bool = False
    is_hung: bool = False
    ran_ticks: int = 0
    silent_ticks: int = 0
    wait_ticks: int = 0
    failures: int = 0
    ended: str = ""

    @property
    def problem(self) -> str | None:
        """Why the member does not work, in words; None if it does."""
        if self.is_hung:
            return "hangs and is started again"
        if self.is_running and self.silent_ticks > NOTED_SILENCE_TICKS and self.has_reported:
            return f"has not reported for {self.silent_ticks} s"
        if self.is_running:
            return None if self.has_reported else "is starting"
        return f"{self.ended}, starts in {self.wait_ticks} s" if self.ended else "is starting"


class Roster:
    """The state of the member processes with the numbers 1 to `count`.

    A member that has not reported for `silent_ticks_max` ticks hangs; until its first report it is
    given START_TICKS_MAX, if that is longer. Silence is counted in ticks, not by a clock, so that
    no member is killed after the whole machine was halted for a while.

    After a member was killed, Kafka keeps it in the consumer group for `session_ticks`. If a new
    member joined the consumer group before this time has passed, all members would have to wait for
    the dead one; so a killed member is started again only after `session_ticks`.
    """

    def __init__(self, count: int, silent_ticks_max: int, session_ticks: int) -> None:
        self.members = {number: Member(number) for number in range(1, count + 1)}
        self.is_stopping = False
        self._silent_ticks_max = silent_ticks_max
        self._session_ticks = session_ticks if count > 1 else 0
        self._status = 0

    @property
    def status(self) -> int:
        """The exit status of the service, as the members that have ended so far determine it."""
        return self._status

    @property
    def running(self) -> list[int]:
        """The numbers of the members that run."""
        return [number for number, member in self.members.items() if member.is_running]

    def tick(self) -> Iterator[tuple[Order, int]]:
        """Counts a tick, and yields what is to be done with which members."""
        for number, member in self.members.items():
            if member.is_running:
                member.ran_ticks += 1
                member.silent_ticks += 1
                if member.silent_ticks > self._ticks_max(member) and not member.is_hung:
                    member.is_hung = True
                    yield Order.KILL, number
            elif member.wait_ticks > 0:
                member.wait_ticks -= 1
            elif not self.is_stopping:
                yield Order.START, number

    def _ticks_max(self, member: Member) -> int:
        ticks_max = self._silent_ticks_max
        return ticks_max if member.has_reported else max(ticks_max, START_TICKS_MAX)

    def started(self, number: int) -> None:
        """Notes that the member was started."""
        before = self.members[number]
        self.members[number] = Member(number, is_running=True, failures=before.failures)

    def reported(self, number: int) -> None:
        """Notes a report of the member, which is its sign of life."""
        self.members[number].has_reported = True
        self.members[number].silent_ticks = 0

    def ended(self, number: int, status: int) -> None:
        """Notes that the member has ended with this exit status, which is negative if a signal
        ended it.

        If the status is one of FINAL_STATUSES, after which a new start would fail in the same way,
        the service stops; otherwise the member is started again.
        """
        member = self.members[number]
        is_steady = member.ran_ticks >= STEADY_TICKS
        failures = 0 if is_steady else member.failures
        # One that hung was silent for longer, and is no member of the group any more.
        was_killed = status < 0 and not member.is_hung
        self.members[number] = Member(
            number,
            failures=failures + 1,
            wait_ticks=max(
                min(WAIT_TICKS_MAX, 1 << min(failures, WAIT_TICKS_MAX)),
                self._session_ticks if was_killed else 0,
            ),
            ended=MemberEnd.HUNG if member.is_hung else in_words(status),
        )
        if status in FINAL_STATUSES:
            self.is_stopping = True
            self._status = max(self._status, FINAL_STATUSES[status])
        elif self.is_stopping and status not in (0, -signal.SIGTERM):
            self._status = max(self._status, OVERDUE_STATUS)

    def stop(self) -> None:
        """Makes `tick` start no more members, because the service was asked to stop."""
        self.is_stopping = True


def in_words(status: int) -> str:
    """Returns in words how a process ended: with which status, or by which signal."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal, which has no name
        return f"ended by signal {-status}"
