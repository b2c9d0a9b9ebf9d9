"""The position of an export run among the open fines, and the numbers that its next batch takes.
Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..core.bursar_ids import NUMBER_MAX
from ..core.events import ParkedKey
from ..core.ledger import Fine, FineKey
from ..runtime.problems import OperatorError
from .batch import Position
from .selection import Exclusion


class IdsUsedUp(OperatorError):
    """The institution has no numbers left from which bursar transaction ids could be made."""

    def __init__(self) -> None:
        super().__init__(
            "the institution has used up its bursar transaction ids: the last one is made of "
            f"{NUMBER_MAX}"
        )


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has not ended; it has finished all fines up to the position `after`, which is
    called its mark.

    `taken` is the sum, in signed minor units, that the run has exported for the patron at the mark.
    `parts` is the number of batches that the run has sealed, and `held_back` counts the fines that
    it has held back, by reason.

    In a preview, which stores nothing, `left_out` has the parked records on which the program
    fails, and `exported` has the fines of the patron at the mark as the preview's batches would
    leave them.
    """

    institution_id: str
    profile: str
    run_id: str
    cutoff: datetime
    after: Position
    taken: int
    parts: int
    held_back: Mapping[Exclusion, int]
    left_out: frozenset[ParkedKey] = frozenset()
    exported: Mapping[FineKey, Fine] = field(default_factory=dict)

    def moved(
        self, reached: Position, held_back: Mapping[Exclusion, int], exported: Sequence[Fine] = ()
    ) -> "OpenRun":
        """Returns the run with its mark moved to `reached`, after these fines were exported or held
        back.
        """
        after = max(self.after, reached)
        taken = sum(fine.remaining for fine in exported if fine.facts.patron_id == after[0])
        if self.after[0] == after[0]:
            taken += self.taken
        counts = dict(Counter(self.held_back) + Counter(held_back))
        return replace(self, after=after, taken=taken, held_back=counts)

    def with_exported(self, fines: Iterable[Fine]) -> "OpenRun":
        """Returns the run of a preview with these fines, as the batch has changed them, in
        `exported`.

        Fines of other patrons are dropped, because a credit and its fine always belong to the same
        patron.
        """
        both = {**self.exported, **{fine.facts.key: fine for fine in fines}}
        at_mark = {key: fine for key, fine in both.items() if fine.facts.patron_id == self.after[0]}
        return replace(self, exported=at_mark)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one batch, and the SHA-256 of the batch before; None for the first batch of a
    profile.

    The bursar transaction ids of the batch's fines are made of the numbers from `first_line_number`
    on, in the order in which the fines are printed.
    """

    batch_number: int
    previous_sha256: bytes | None
    export_number: int
    first_line_number: int

    def require(self, count: int) -> None:
        """Raises IdsUsedUp if fewer than `count` numbers are left for bursar transaction ids."""
        if self.first_line_number + count - 1 > NUMBER_MAX:
            raise IdsUsedUp

    def following(self, sha256: bytes, count: int) -> "Numbers":
        """Returns the numbers of the next batch; this batch has `count` fines.

        `sha256` is the hash of this batch's bytes.
        """
        first_line_number = self.first_line_number + count
        return Numbers(self.batch_number + 1, sha256, self.export_number + 1, first_line_number)
