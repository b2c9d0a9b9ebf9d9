"""Adopted lines: lines of batches that were published before an older database was restored
(rules.md, 5b).

The restored database did not know these batches, and its fines are as they were before their
export. An adopted line waits until its fine is again as it was when it was exported.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from .batches import ExportLine
from .changes import Changed, ChangeTracker
from .events import BursarPayment, ExportFine, ParkedEvent
from .ledger import AccountKey, BatchKey, Fine, FineKey, LineKey
from .terms import Terms
from .words import LineState, Status


class AdoptedState(StrEnum):
    """Whether an adopted line waits for its fine, was taken by it, or was dropped by a person."""

    WAITING = "waiting"
    TAKEN = "taken"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class AdoptedLine:
    """A line of an adopted batch. `amount` has the sign of the fine, in minor units.

    `status` is that of the fine after its export, as the manifest says it, and `terms` are those of
    the batch. `export_number` and `place`, the place in the manifest, order the lines of a fine.
    `patron_id` is None if it is not known whose fine it is. A line that the bursar has refused
    while it waits keeps the reason and the instant of that answer.
    """

    key: LineKey
    fine_id: str
    batch: BatchKey
    place: int
    amount: int
    currency: str
    status: Status
    terms: Terms
    cutoff: datetime
    export_number: int
    patron_id: str | None = None
    state: AdoptedState = AdoptedState.WAITING
    refused_reason: str | None = None
    refused_at: datetime | None = None

    @property
    def fine(self) -> FineKey:
        """The identity of the line's fine, whether that is known or not."""
        return FineKey(self.key.institution_id, self.fine_id)

    @property
    def closes(self) -> bool:
        """Whether the export has closed the fine, and has not transferred it."""
        return self.status is Status.CLOSED

    @property
    def export(self) -> ExportFine:
        """The export by which the line was made."""
        id_ = self.key.bursar_transaction_id
        return ExportFine(self.fine, self.batch, id_, self.terms, self.cutoff)

    def as_line(self, state: LineState) -> ExportLine:
        """The line among those of its batch; one that waits has the reason of a kept refusal."""
        reason = self.refused_reason if state is LineState.WAITING else None
        return ExportLine(
            self.key, self.fine_id, self.batch, self.amount, self.currency, state, reason
        )


class WaitingLines:
    """The adopted lines of one fold, and which of them the fold has changed."""

    def __init__(self, lines: Mapping[LineKey, AdoptedLine]) -> None:
        self._table = ChangeTracker(lines)
        self._keys: dict[FineKey, list[LineKey]] = {}
        for line in sorted(lines.values(), key=lambda line: (line.export_number, line.place)):
            self._keys.setdefault(line.fine, []).append(line.key)
        self._taken_by: dict[FineKey, None] = {}

    def __bool__(self) -> bool:
        """Whether there were any when the fold began."""
        return bool(self._keys)

    def get(self, key: LineKey) -> AdoptedLine | None:
        """The line with this id; None if it is no adopted line that this fold has read."""
        return self._table.get(key)

    def of(self, fine: FineKey) -> list[AdoptedLine]:
        """The lines that wait for a fine, the oldest first."""
        lines = (self._table[key] for key in self._keys.get(fine, ()))
        return [line for line in lines if line.state is AdoptedState.WAITING]

    def all(self) -> list[AdoptedLine]:
        """All lines that wait."""
        return [line for fine in self._keys for line in self.of(fine)]

    def export_numbers(self) -> dict[LineKey, int]:
        """The export numbers of the batches of the lines."""
        return {line.key: line.export_number for line in self._table.now.values()}

    def are_for(self, account: AccountKey, fines: Mapping[FineKey, Fine]) -> bool:
        """Whether a debit's line that waits is of this account, as far as that is known.

        `fines` are the fines that are known. Lines of credits do not count: a sum pays no credits,
        and it may be the very sum that makes the credit whose line waits.
        """
        return any(
            line.amount > 0 and _account_of(line, fines.get(line.fine)) == account
            for line in self.all()
        )

    def put(self, line: AdoptedLine) -> None:
        """Replaces a line. One that waits no more is noted for its fine's queue."""
        self._table.put(line.key, line)
        if line.state is not AdoptedState.WAITING:
            self._taken_by[line.fine] = None

    def pop_fines_with_lines(self) -> list[FineKey]:
        """The fines of which a line waits no more, since this was last called."""
        fines, self._taken_by = list(self._taken_by), {}
        return fines

    def without_waiting(self, lines: Changed[LineKey, ExportLine]) -> Changed[LineKey, ExportLine]:
        """Returns the changes of export lines; an adopted line that waits is no row of theirs."""
        if not self:
            return lines
        added = tuple(line for line in lines.added if line.state is not LineState.WAITING)
        return replace(lines, added=added)

    def changes(self) -> Changed[LineKey, AdoptedLine]:
        """Returns which lines have changed."""
        return self._table.changes()


def payments_for(fine: FineKey, parked: Iterable[ParkedEvent]) -> list[BursarPayment]:
    """Returns the payments and reversals among parked records that wait for the fine of a line."""
    return [
        item.event
        for item in parked
        if item.fine_id == fine.fine_id
        and item.event.key.institution_id == fine.institution_id
        and isinstance(item.event, BursarPayment)
    ]


def _account_of(line: AdoptedLine, fine: Fine | None) -> AccountKey | None:
    if fine is not None:
        return fine.facts.account
    if line.patron_id is None:
        return None
    return AccountKey(line.key.institution_id, line.patron_id, line.currency)
