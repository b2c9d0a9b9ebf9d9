"""Finds fines that look like one fine billed twice: one loan, one type and one sum (pure)."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .build import BuiltBatch


class LoanSum(NamedTuple):
    """What fines that look alike have in common; `amount` is in signed minor units."""

    patron_id: str
    loan_id: str
    type: str
    amount: int


@dataclass(frozen=True, slots=True)
class AlikeFines:
    """Fines with the same loan, type and sum, in the order of a run; at least two."""

    common: LoanSum
    fine_ids: tuple[str, ...]


@dataclass(slots=True)
class AlikeFinder:
    """Compares the lines of batches that follow each other in one run.

    A run passes one patron after the other, and a loan belongs to one patron. Therefore only the
    lines of the patron with whom the last batch ended have to be remembered.
    """

    _last_patron: dict[LoanSum, list[str]] = field(default_factory=dict)

    def alike(self, built: BuiltBatch) -> list[AlikeFines]:
        """Returns the groups of which the last fine so far is in this batch, in the order of the
        first fines.
        """
        groups: dict[LoanSum, list[str]] = defaultdict(list, self._last_patron)
        lines = list(_lines(built))
        for common, fine_id in lines:
            groups[common].append(fine_id)
        ours = {common for common, _ in lines}
        if lines:
            last_patron_id = max(common.patron_id for common in ours)
            self._last_patron = {
                common: fine_ids
                for common, fine_ids in groups.items()
                if common.patron_id == last_patron_id
            }
        return [
            AlikeFines(common, tuple(fine_ids))
            for common, fine_ids in groups.items()
            if common in ours and len(fine_ids) > 1
        ]


def _lines(built: BuiltBatch) -> Iterator[tuple[LoanSum, str]]:
    """The lines of fines that belong to a loan."""
    facts = {fine.facts.fine_id: fine.facts for fine in built.changes.fines.written}
    for line in built.manifest.lines:
        of_fine = facts[line.fine_id]
        if of_fine.loan_id is not None:
            common = LoanSum(of_fine.patron_id, of_fine.loan_id, of_fine.type, line.amount)
            yield common, line.fine_id
