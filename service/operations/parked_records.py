"""Parked records as operators name and see them."""

from dataclasses import dataclass
from datetime import datetime

from ..apply.operator_actions import Place, Subject
from ..core.ledger import AccountKey, Origin
from ..core.shares import LumpRule
from ..core.words import Wait
from .names import RecordFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedFilter(RecordFilter):
    """Which parked records a command is about; a field that is None allows any value.
    `older_than_seconds` counts from the parking.

    `record` is `payment` or `change`, of internal errors also `fine` or `response`.
    """

    wait: Wait | None = None
    older_than_seconds: int | None = None
    record: str | None = None
    fine_id: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A record that waits. `record` is as in ParkedFilter.

    `is_bound` says that the record was parked under its identity. Otherwise the program failed on
    it before it was decided for the first time; its identity is then what its bytes say. `original`
    is the id of the payment that it reverses. `currency` and `amount`, in minor units, are those of
    a payment. Only a sum without a line has a `patron_id` and a `rule`.
    """

    institution_id: str
    record: str
    source: str | None
    id: str | None
    wait: Wait
    fine_id: str | None
    original: str | None
    bursar_transaction_id: str | None
    error: str | None
    origin: Origin
    recorded_at: datetime
    age_seconds: int
    is_bound: bool = True
    patron_id: str | None = None
    currency: str | None = None
    amount: int | None = None
    rule: LumpRule | None = None

    @property
    def account(self) -> AccountKey | None:
        """The account of a sum without a line; None for other records."""
        if self.patron_id is None or self.currency is None:
            return None
        return AccountKey(self.institution_id, self.patron_id, self.currency)

    @property
    def place(self) -> Place:
        """The topic, partition and offset of the record in Kafka."""
        return Place(*self.origin[:3])

    @property
    def subject(self) -> Subject:
        """The text by which decisions name the record."""
        if not self.is_bound or self.source is None or self.id is None:
            return self.place.subject
        return {
            "institution_id": self.institution_id,
            "record": self.record,
            "source": self.source,
            "id": self.id,
        }
