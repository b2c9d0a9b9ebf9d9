"""The harm that is done in a simulation: what can happen, how often, and what happens next."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from tests.simulator.sessions import COMMIT, Ending

FAULTS_MAX = 16  # in each half of a history
PAUSE_SECONDS_MAX = 14
SHORT_PAUSES = 0.3  # how many pauses the group does not notice
DOWN_SECONDS_MAX = 12
UNREACHABLE_SECONDS_MAX = 8
LATE = 0.1
REPLACED = 0.5  # of the faults that happen while a poll is in hand
MORE_OFTEN = 4  # where an instance is about to begin or to end a transaction
RESTORES = 0.3  # how many seeds have backups that come back, unless all are to have them


class Victims(Protocol):
    """What harm can be done to; each names the instance that is hit, if there is one to hit."""

    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def pause(self) -> None: ...
    def rebalance(self) -> None: ...
    def replace(self) -> None: ...
    def cut_sessions(self) -> None: ...
    def end_wait_for_lock(self) -> None: ...
    def lose_brokers(self) -> None: ...
    def restore(self) -> None: ...
    def has_poll_in_hand(self) -> bool: ...
    def is_delicate(self) -> bool: ...


class Faults:
    """Decides when harm is done. Each seed has some kinds of faults, and rates of its own.

    `has_restores` says whether backups come back in it.
    """

    def __init__(self, random: Random, victims: Victims, *, restores: bool = False) -> None:
        self._random = random
        self._victims = victims
        kinds: list[Callable[[], None]] = [
            victims.rebalance,
            victims.kill,
            victims.stop,
            victims.pause,
            victims.cut_sessions,
            victims.end_wait_for_lock,
            victims.lose_brokers,
        ]
        self._kinds = [kind for kind in kinds if random.random() < 0.6] or kinds[:1]
        self.has_restores = random.random() < RESTORES or restores
        if self.has_restores:
            self._kinds.append(victims.restore)
        self._replaced = REPLACED if random.random() < 0.6 else 0
        self._rate = random.choice((0.002, 0.005, 0.01, 0.02))
        self._cut_rate = random.choice((0, 0.001, 0.003))
        self._commit_cut_rate = random.choice((0, 0.03, 0.1))
        self._left = 0
        self.is_over = True

    def begin(self) -> None:
        """From now on harm is done, a limited number of times."""
        self._left, self.is_over = FAULTS_MAX, False

    def end(self) -> None:
        """No harm is done any more."""
        self._left, self.is_over = 0, True

    def interfere(self) -> bool:
        """Does harm now and then; whether it did."""
        if self._left == 0:
            return False
        rate = self._rate * (MORE_OFTEN if self._victims.is_delicate() else 1)
        if self._random.random() >= rate:
            return False
        self._left -= 1
        is_replaced = self._victims.has_poll_in_hand() and self._random.random() < self._replaced
        kind = self._victims.replace if is_replaced else self._random.choice(self._kinds)
        kind()
        return True

    def ending_of(self, query: str) -> Ending:
        """What becomes of a statement that was granted."""
        rate = self._commit_cut_rate if query == COMMIT else self._cut_rate
        chance = self._random.random()
        if self._left > 0 and chance < rate:
            self._left -= 1
            return self._random.choice((Ending.CUT_BEFORE, Ending.CUT_AFTER))
        return Ending.ANSWERED_LATE if chance > 1 - LATE else Ending.ANSWERED
