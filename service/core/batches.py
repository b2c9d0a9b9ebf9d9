"""What was exported: lines, sealed batches, the bursar's answers to them, and closed loans."""

from dataclasses import dataclass
from datetime import datetime

from .ledger import BatchKey, LineKey, SourceKey
from .words import BatchState, ItemState, LineState, Reason, ResponseOutcome


@dataclass(frozen=True, slots=True)
class ExportLine:
    """One exported fine in one batch. `amount` has the sign of the fine, in minor units.

    `reason` is why the bursar refused the line.
    """

    key: LineKey
    fine_id: str
    batch: BatchKey
    amount: int
    currency: str
    state: LineState = LineState.LIVE
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A batch that was sealed: how many lines it has, and their sum in minor units."""

    key: BatchKey
    currency: str
    count: int
    total: int
    state: BatchState


@dataclass(frozen=True, slots=True)
class Response:
    """What became of a bursar's answer, under its identity.

    `lines` is the number of lines that it accepts or refuses, and None if it was rejected without
    naming any. `outcome`, `lines` and `responded_at` are None if an older release has taken the
    answer.
    """

    key: SourceKey
    digest: bytes
    batch: BatchKey
    state: ItemState
    reason: Reason | None = None
    outcome: ResponseOutcome | None = None
    lines: int | None = None
    responded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LoanClosed:
    """The loan of a lost item that is closed because its fine was exported."""

    institution_id: str
    patron_id: str
    loan_id: str
    fine_id: str
    batch_number: int
    closed_at: datetime
