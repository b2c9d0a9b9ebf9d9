"""Describes parked records as operators select them and see them in lists."""

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
    `older_than_seconds` is how long, at least, a record has been parked.

    `record` is the kind of the record: `payment` or `change`; of records that could not be decided
    at all, because the program failed on them or their topic is stopped, also `fine` or `response`.
    """

    wait: Wait | None = None
    older_than_seconds: int | None = None
    record: str | None = None
    fine_id: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A parked record. `record` is the kind of the record, such as `payment`, as in ParkedFilter.

    `is_bound` is true if the record was parked under its identity, so that another record with this
    identity is a repeat or a conflict. `is_bound` is false if the program failed on the record or
    its topic is stopped, so that it was never decided; its identity is then what its bytes say.
    `original` is the id of the payment that this record reverses. `currency` and `amount`, in minor
    units, are those of a payment. Only a payment that names nothing but a patron (a sum without a
    line) has a `patron_id` and a `rule`.
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
        """The names and values by which a recorded operator decision refers to this record."""
        if not self.is_bound or self.source is None or self.id is None:
            return self.place.subject
        return {
            "institution_id": self.institution_id,
            "record": self.record,
            "source": self.source,
            "id": self.id,
        }
