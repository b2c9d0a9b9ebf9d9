"""Adopted lines: export lines of batches that were published before an older database was restored,
and that the restored database did not have (rules.md, 5b).

In the restored database the fines of such a batch are as they were before the batch was exported.
An adopted line waits until its fine, which is brought up to date from the Kafka topics, is again as
it was at the export.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from .batches import ExportLine
from .changes import Changed, ChangeTracker
from .events import BursarPayment, ExportFine, ParkedEvent
from .frozen import dataclass
from .ledger import AccountKey, BatchKey, Fine, FineKey, LineKey
from .terms import Terms
from .words import LineState, Status


class AdoptedState(StrEnum):
    """Whether an adopted line still waits for its fine, was applied to the fine (taken), or was
    dropped by an operator.
    """

    WAITING = "waiting"
    TAKEN = "taken"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class AdoptedLine:
    """An export line of a batch that a restored database did not have (an adopted line). `amount`
    is in minor units and negative for a credit.

    `status` is the status that the fine had after the export, which the batch's manifest says, and
    `terms` are the terms of the batch's profile. The lines of a fine are ordered by `export_number`
    and then by `place`, their position in the manifest. `patron_id` is None if it is not known
    which patron owes the fine. If the bursar refuses the line while it waits for its fine, the line
    keeps the reason and the time of the bursar's answer.
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
        """The identity of the line's fine, whether the database has that fine or not."""
        return FineKey(self.key.institution_id, self.fine_id)

    @property
    def closes(self) -> bool:
        """Whether the export closed the fine instead of transferring it to the bursar's balance."""
        return self.status is Status.CLOSED

    @property
    def export(self) -> ExportFine:
        """The export of the fine that made the line, as an event."""
        id_ = self.key.bursar_transaction_id
        return ExportFine(self.fine, self.batch, id_, self.terms, self.cutoff)

    def as_line(self, state: LineState) -> ExportLine:
        """Returns the adopted line as an ordinary export line in the given state; a waiting line
        that the bursar has refused has the reason of the refusal.
        """
        reason = self.refused_reason if state is LineState.WAITING else None
        return ExportLine(
            self.key, self.fine_id, self.batch, self.amount, self.currency, state, reason
        )


class WaitingLines:
    """The adopted export lines that may matter to the events of one commit, and which of them these
    events have changed.
    """

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
        """Returns the adopted line with this key; None if the key is that of no adopted line that
        was read for this commit.
        """
        return self._table.get(key)

    def of(self, fine: FineKey) -> list[AdoptedLine]:
        """Returns the adopted lines that wait for a fine, the oldest first."""
        lines = (self._table[key] for key in self._keys.get(fine, ()))
        return [line for line in lines if line.state is AdoptedState.WAITING]

    def all(self) -> list[AdoptedLine]:
        """All lines that wait."""
        return [line for fine in self._keys for line in self.of(fine)]

    def export_numbers(self) -> dict[LineKey, int]:
        """Returns for each adopted line the export number of its batch."""
        return {line.key: line.export_number for line in self._table.now.values()}

    def are_for(self, account: AccountKey, fines: Mapping[FineKey, Fine]) -> bool:
        """Whether an adopted line of a debit that is known to belong to this account still waits
        for its fine.

        `fines` are the fines that the database has, from which the accounts of the lines are known.
        Adopted lines of credits are ignored, because this is asked for a payment that names only a
        patron: such a payment pays no credits, and may itself make the credit for which the line
        waits.
        """
        return any(
            line.amount > 0 and _account_of(line, fines.get(line.fine)) == account
            for line in self.all()
        )

    def put(self, line: AdoptedLine) -> None:
        """Replaces a line. If the adopted line no longer waits, its fine is noted, so that records
        that are parked for the fine are tried again.
        """
        self._table.put(line.key, line)
        if line.state is not AdoptedState.WAITING:
            self._taken_by[line.fine] = None

    def pop_fines_with_lines(self) -> list[FineKey]:
        """Returns the fines for which an adopted line has stopped waiting since the last call."""
        if not self._taken_by:
            return []
        fines, self._taken_by = list(self._taken_by), {}
        return fines

    def without_waiting(self, lines: Changed[LineKey, ExportLine]) -> Changed[LineKey, ExportLine]:
        """Returns the changes of the table of export lines without adopted lines that still wait,
        because that table does not have them.
        """
        if not self:
            return lines
        added = tuple(line for line in lines.added if line.state is not LineState.WAITING)
        return replace(lines, added=added)

    def changes(self) -> Changed[LineKey, AdoptedLine]:
        """Returns which of the adopted lines have changed since they were read."""
        return self._table.changes()


def payments_for(fine: FineKey, parked: Iterable[ParkedEvent]) -> list[BursarPayment]:
    """Returns those parked records that are payments or reversals and wait for this fine."""
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
