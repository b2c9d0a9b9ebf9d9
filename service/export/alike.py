"""Finds fines that look as if one fine was billed twice: they have the same loan, type and amount
(pure).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .build import BuiltBatch


class LoanSum(NamedTuple):
    """The patron, loan, type and amount that fines have in common if they look alike; the amount is
    in signed minor units.
    """

    patron_id: str
    loan_id: str
    type: str
    amount: int


@dataclass(frozen=True, slots=True)
class AlikeFines:
    """At least two fines with the same loan, type and amount, in the order in which a run exports
    them.
    """

    common: LoanSum
    fine_ids: tuple[str, ...]


@dataclass(slots=True)
class AlikeFinder:
    """Compares the exported fines of one run, also those of different batches.

    A run exports all fines of one patron before those of the next, and a loan belongs to a single
    patron. Between two batches, only the fines of the patron with whom the earlier batch ended have
    to be remembered.
    """

    _last_patron: dict[LoanSum, list[str]] = field(default_factory=dict)

    def alike(self, built: BuiltBatch) -> list[AlikeFines]:
        """Returns each group of fines that look alike and to which this batch has added one, in the
        order of their first fines.
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
