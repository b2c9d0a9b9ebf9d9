"""Where an export run stands, and the numbers that its next batch takes. Pure."""

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
    """The counter of an institution has no numbers left for the lines of a batch."""

    def __init__(self) -> None:
        super().__init__(
            "the institution has used up its bursar transaction ids: the last one is made of "
            f"{NUMBER_MAX}"
        )


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has not ended: it is done with all fines up to the position `after`, its mark.

    `taken` is the sum, in signed minor units, of what the run has exported of the patron at the
    mark. `parts` is the number of batches that it has sealed, and `held_back` says how many fines
    it has held back for which reason.

    A preview writes nothing. It keeps here what a run would find in the database: `left_out` has
    the parked records on which it has seen the program fail, and `exported` has the fines of the
    patron at the mark that its batches export, as they are after that.
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
        """The run with its mark at `reached`, after these fines were exported or held back."""
        after = max(self.after, reached)
        taken = sum(fine.remaining for fine in exported if fine.facts.patron_id == after[0])
        if self.after[0] == after[0]:
            taken += self.taken
        counts = dict(Counter(self.held_back) + Counter(held_back))
        return replace(self, after=after, taken=taken, held_back=counts)

    def with_exported(self, fines: Iterable[Fine]) -> "OpenRun":
        """The run of a preview after a batch has changed these fines.

        A credit and its fine are of one patron, so that the fines of other patrons are not kept.
        """
        both = {**self.exported, **{fine.facts.key: fine for fine in fines}}
        at_mark = {key: fine for key, fine in both.items() if fine.facts.patron_id == self.after[0]}
        return replace(self, exported=at_mark)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one batch, and the hash of the batch before it; None if there is none.

    The lines have the numbers from `first_line_number` on, in the order in which they are printed.
    """

    batch_number: int
    previous_sha256: bytes | None
    export_number: int
    first_line_number: int

    def require(self, count: int) -> None:
        """Raises IdsUsedUp if fewer than `count` numbers are left for lines."""
        if self.first_line_number + count - 1 > NUMBER_MAX:
            raise IdsUsedUp

    def following(self, sha256: bytes, count: int) -> "Numbers":
        """The numbers of the batch after this one, which has `count` lines.

        `sha256` is the hash of its bytes.
        """
        first_line_number = self.first_line_number + count
        return Numbers(self.batch_number + 1, sha256, self.export_number + 1, first_line_number)
