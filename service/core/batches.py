"""What left for the bursar: lines, sealed batches, the answers to them."""

from dataclasses import dataclass
from datetime import datetime

from .ledger import BatchKey, LineKey, SourceKey
from .words import BatchState, ItemState, LineState, Reason, ResponseOutcome


@dataclass(frozen=True, slots=True)
class ExportLine:
    """One exported fine in one batch; amounts signed as the fine."""

    key: LineKey
    fine_id: str
    batch: BatchKey
    amount: int
    currency: str
    state: LineState = LineState.LIVE
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SealedBatch:
    key: BatchKey
    currency: str
    count: int
    total: int
    state: BatchState


@dataclass(frozen=True, slots=True)
class Response:
    """A bursar's answer under its identity; None: of an answer that older versions took.

    `lines`: how many it accepts or refuses; None where it was rejected without naming any.
    """

    key: SourceKey
    digest: bytes
    batch: BatchKey
    state: ItemState
    reason: Reason | None = None
    outcome: ResponseOutcome | None = None
    lines: int | None = None
    responded_at: datetime | None = None
