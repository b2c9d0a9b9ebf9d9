"""Records at a constant rate, and what became of each: no clock and no input or output."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Parts of the maximal rate. `p99_over_p50` divides the p99 at a half by the p50 at a tenth.
TENTH, HALF, FOUR_FIFTHS = 0.1, 0.5, 0.8


@dataclass(frozen=True)
class Schedule:
    """When each of `count` records is due: the first at once, `rate` of them per second."""

    rate: float
    count: int

    @classmethod
    def lasting(cls, seconds: float, rate: float) -> "Schedule":
        return cls(rate, max(1, round(seconds * rate)))

    def due_at(self, number: int) -> float:
        """Seconds after the first; `number` counts from 0."""
        return number / self.rate

    def due_by(self, seconds: float) -> int:
        """How many are due so many seconds after the first, those that were sent included.

        It does not depend on what was sent: who stood still sends all that he missed at once.
        """
        return min(self.count, math.floor(seconds * self.rate) + 1)

    def latencies_ms(self, arrived: Sequence[float]) -> list[float]:
        """`arrived`: seconds after the first was due, by the number of the record.

        They are counted from the moment when the record was due, so that a pause of the producer
        is part of them: it would otherwise be hidden by what was not sent in it.
        """
        return [(at - self.due_at(number)) * 1_000 for number, at in enumerate(arrived)]


@dataclass(frozen=True)
class Percentiles:
    """Of latencies, in ms: each is one that was measured (nearest rank)."""

    p50: float
    p99: float

    @classmethod
    def over(cls, values: Sequence[float]) -> "Percentiles":
        ordered = sorted(values)
        return cls(*(ordered[math.ceil(len(ordered) * part / 100) - 1] for part in (50, 99)))


@dataclass(frozen=True)
class Latency:
    """At a tenth, at a half and at four fifths of the maximal rate; and the most memory, in MB."""

    at_tenth: Percentiles
    at_half: Percentiles
    at_four_fifths: Percentiles
    peak_mb: float

    @property
    def figures(self) -> Mapping[str, float]:
        return {
            "p99_over_p50": self.at_half.p99 / self.at_tenth.p50,
            "tenth_p50_ms": self.at_tenth.p50,
            "tenth_p99_ms": self.at_tenth.p99,
            "half_p50_ms": self.at_half.p50,
            "half_p99_ms": self.at_half.p99,
            "four_fifths_p50_ms": self.at_four_fifths.p50,
            "four_fifths_p99_ms": self.at_four_fifths.p99,
        }
