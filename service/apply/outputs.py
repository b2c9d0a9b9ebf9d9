"""What the ledger's changes have to say, as records for their topics. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from ..core.workspace import Changes
from ..messages.encode import Message, encode_balance_changed, encode_loan_closed, encode_rejected

Place = tuple[str, int, int]  # topic, partition, offset


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the ledger's news goes: full topic names, and the CloudEvents source."""

    balance_changed: str
    loan_closed: str
    rejected: str
    ce_source: str

    def encoded(
        self, changes: Changes, at: datetime, others: Collection[Place] = ()
    ) -> list[tuple[str, list[Message]]]:
        """What the changes have to say, by topic, in the ledger's order.

        `others`: places of rejected records that had other records before.
        """
        source = self.ce_source
        moved = [encode_balance_changed(line, at, source) for line in changes.transactions]
        loans = [encode_loan_closed(closed, at, source) for closed in changes.loans_closed]
        rejections = [
            encode_rejected(value, at, source, is_another=value.origin[:3] in others)
            for value in changes.rejections
        ]
        return [
            (self.balance_changed, moved),
            (self.loan_closed, loans),
            (self.rejected, rejections),
        ]
