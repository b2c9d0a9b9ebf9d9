"""Records of the mixed load that were made, each with its time."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.oracle.records import Data
from tests.support import inputs
from tests.support.load_events import BAD, Event
from tests.support.load_rules import minor, money
from tests.support.respelled import respelled


@dataclass(slots=True)
class Records:
    """The records so far, in the order of making, and the number of the last one."""

    random: Random
    _made: list[tuple[float, Event]] = field(default_factory=list)
    _number: int = 0

    def _again(self, at: float, contract: str, place: str, data: Data) -> None:
        """The same again, written otherwise, or other content under the same identity, some time
        later.
        """
        later = self.random.uniform(at, 1)
        chance = self.random.random()
        if chance < 0.05:
            self._put(later, contract, place, respelled(self.random, data))
        elif chance < 0.06:
            member = "responded_at" if contract == "export-response.v1" else "comment"
            other = {**data, member: "2026-09-09T09:09:09Z"}
            self._put(later, contract, place, other)

    def _bad_now_and_then(self) -> None:
        if self.random.random() < 0.015:
            contract, value, reason = self.random.choice(BAD)
            place = f"bad {self._next()}"
            self._made.append((self.random.random(), Event(contract, place, None, value, reason)))

    def _put(self, at: float, contract: str, place: str, data: Data) -> None:
        self._made.append((at, Event(contract, place, data, inputs.value_of(data))))

    def _sorted(self) -> list[Event]:
        """Equal times do not happen; the order of making is not the order of time."""
        made = [event for _, event in sorted(self._made, key=lambda pair: pair[0])]
        self._made = []
        return made

    def _part(self, fine: Data, most: float) -> str:
        amount = abs(minor(str(fine["amount"]), str(fine["institution_id"])))
        part = max(1, int(amount * self.random.uniform(0.1, most)))
        return money(part, str(fine["institution_id"]))

    def _next(self) -> int:
        self._number += 1
        return self._number
