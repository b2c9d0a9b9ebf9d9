"""How many records the next poll takes: fewer after a long poll, more again after short ones."""

from dataclasses import dataclass

RECORDS_MIN = 10
# A commit that takes longer than this share of the group's session is too long: what runs into a
# time limit, or is repeated for a rival, must still end within the session.
SESSION_SHARE = 5


@dataclass(slots=True)
class PollSize:
    """`records` is what to ask for next, at most `records_max`."""

    records_max: int
    target_ms: int
    records: int = 0

    def __post_init__(self) -> None:
        self.records = self.records_max

    def took(self, records: int, milliseconds: int) -> None:
        """A poll of so many records was applied in that time."""
        if milliseconds > self.target_ms:
            fitting = records * self.target_ms // milliseconds
            self.records = min(self.records, max(self._least, fitting))
        elif milliseconds * 2 < self.target_ms and records >= self.records:
            # Only a full poll tells that a larger one would fit.
            self.records = min(self.records_max, self.records * 2)

    def failed(self) -> None:
        """A poll ran into a time limit, or the group's session ended meanwhile."""
        self.records = max(self._least, self.records // 2)

    @property
    def _least(self) -> int:
        return min(RECORDS_MIN, self.records_max)
