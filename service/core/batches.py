"""What was exported: export lines, sealed batches, the bursar's answers to batches, and loans that
an export closed.
"""

from datetime import datetime

from .frozen import dataclass
from .ledger import BatchKey, LineKey, SourceKey
from .words import BatchState, ItemState, LineState, Reason, ResponseOutcome


@dataclass(frozen=True, slots=True)
class ExportLine:
    """One exported fine in one export batch. `amount` is in minor units and negative for a credit.

    `reason` says why the bursar refused the line; None if the bursar has not refused it.
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
    """A sealed export batch: `count` is the number of its lines, and `total` the sum of their
    amounts in minor units.
    """

    key: BatchKey
    currency: str
    count: int
    total: int
    state: BatchState


@dataclass(frozen=True, slots=True)
class Response:
    """The stored outcome of a bursar's answer to a batch, under the answer's identity.

    `lines` is the number of export lines that the answer accepts or refuses; None if the answer was
    rejected and named no line. `outcome`, `lines` and `responded_at` are None if an older release
    of the service processed the answer, which did not store them.
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
    """Says that the loan of a lost item is closed, because the fine for the item was exported."""

    institution_id: str
    patron_id: str
    loan_id: str
    fine_id: str
    batch_number: int
    closed_at: datetime
