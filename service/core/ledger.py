"""The objects of the ledger, such as accounts, fines and payments (rules.md, 1 to 3).

All are frozen. Amounts are in minor units of their currency; times have a time zone, which is UTC.
"""

from dataclasses import field
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from .amendment import NOT_AMENDED, Amendment
from .frozen import dataclass
from .terms import Terms
from .words import CREDIT_TYPE, Considered, ItemState, PaymentKind, Reason, Status


class AccountKey(NamedTuple):
    """Identity of an account."""

    institution_id: str
    patron_id: str
    currency: str


class FineKey(NamedTuple):
    """Identity of a fine."""

    institution_id: str
    fine_id: str


class SourceKey(NamedTuple):
    """Identity of a payment, change or bursar's answer: institution, sending system, and id."""

    institution_id: str
    source: str
    id: str


class LineKey(NamedTuple):
    """Identity of an export line: its bursar transaction id, which is unique in its institution."""

    institution_id: str
    bursar_transaction_id: str


class BatchKey(NamedTuple):
    """Identity of an export batch: each profile of an institution numbers its batches."""

    institution_id: str
    profile: str
    batch_number: int


class Origin(NamedTuple):
    """Where a record stands in Kafka, and its bytes, which are stored and published if it is
    rejected. `timestamp_ms` is the record's timestamp in Kafka, in milliseconds since 1970; it is
    the time of the event if the record itself names none. `timestamp_ms` is None if the record was
    stored without its timestamp.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    traceparent: str | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """The library that a fine belongs to."""

    library_id: str
    library_code: str
    library_name: str


@dataclass(frozen=True, slots=True)
class Item:
    """The library item, such as a book, for which a fine is owed."""

    title: str
    call_number: str | None = None
    library: str | None = None
    location: str | None = None
    internal_location: str | None = None
    due_date: datetime | None = None
    barcode: str | None = None


@dataclass(frozen=True, slots=True)
class Patron:
    """A snapshot of a patron's data from a record; of two snapshots the newer one, by `seen_at`, is
    kept. `seen_at` is the time of the event that had the data. If `seen_at` lies in the future when
    the snapshot is stored, the time of storing replaces it.
    """

    institution_id: str
    patron_id: str
    name: str
    user_group: str
    identifiers: tuple[tuple[str, str], ...]
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class FineFacts:
    """The data with which a fine was created. No event changes it."""

    institution_id: str
    fine_id: str
    patron_id: str
    type: str
    amount: int
    currency: str
    owner: Owner | None
    created_at: datetime
    comment: str | None = None
    loan_id: str | None = None
    item: Item | None = None
    credit_of: str | None = None
    exportable: bool = True
    digest: bytes = b""
    # Made once, because the write path asks for them a dozen times: the identity of the fine, and
    # the account of its patron in its currency.
    key: FineKey = field(init=False, compare=False)
    account: AccountKey = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Makes the keys."""
        keep, home = object.__setattr__, self.institution_id
        keep(self, "key", FineKey(home, self.fine_id))
        keep(self, "account", AccountKey(home, self.patron_id, self.currency))

    @property
    def is_credit(self) -> bool:
        """Whether the fine is a credit, whose amounts are negative."""
        return self.type == CREDIT_TYPE

    def toward_zero(self, amount: int) -> int:
        """Returns the signed amount to add so that a fine, or a credit, owes `amount` less."""
        return amount if self.is_credit else -amount


@dataclass(frozen=True, slots=True)
class Fine:
    """A fine or credit in its present state. The patron owes `remaining` in the library and
    `outstanding` at the bursar.
    """

    facts: FineFacts
    status: Status
    considered: Considered
    remaining: int
    outstanding: int = 0
    bursar_transaction_id: str | None = None  # of the live line
    terms: Terms | None = None  # of the latest export; kept after a refusal for older payments
    payments_live: int = 0  # payments, write-offs and noted payments that are not reversed
    status_code: str | None = None
    refused_reason: str | None = None  # held back until a person releases it
    released: bool = False  # a person lets it go although it came as not exportable
    changed_at: datetime | None = None  # occurred_at of the latest transaction
    amendment: Amendment = NOT_AMENDED

    @classmethod
    def created(cls, facts: FineFacts) -> "Fine":
        """Returns a new fine of which the patron owes the whole amount in the library."""
        remaining, at = facts.amount, facts.created_at
        return cls(facts, Status.ACTIVE, Considered.ACTIVE, remaining, changed_at=at)

    @property
    def amount(self) -> int:
        """The adjusted amount of the fine; the amount at its creation if it was never adjusted."""
        adjusted = self.amendment.amount
        return self.facts.amount if adjusted is None else adjusted

    @property
    def amount_created(self) -> int | None:
        """The amount at the fine's creation if the fine was adjusted later; else None."""
        return None if self.amendment.amount is None else self.facts.amount

    @property
    def line_key(self) -> LineKey | None:
        """The key of the fine's export line that is in force; None if the fine is not exported."""
        named = self.bursar_transaction_id
        return None if named is None else LineKey(self.facts.institution_id, named)

    @property
    def is_open_in_library(self) -> bool:
        """Whether the library collects the fine: its status is Active or In dispute."""
        return self.status is Status.ACTIVE or self.status is Status.IN_DISPUTE

    @property
    def is_closed_in_library(self) -> bool:
        """Whether the fine was paid, waived or cancelled in the library and is not exported."""
        return self.bursar_transaction_id is None and not self.is_open_in_library


@dataclass(frozen=True, slots=True)
class Account:
    """The balances of a patron's account in minor units. `sequence` is the number of the account's
    latest transaction.
    """

    key: AccountKey
    active: int = 0
    transferred: int = 0
    sequence: int = 0
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Payment:
    """The stored outcome of a bursar's record, such as a payment, under the record's identity.
    `applied` is the part that changed what the fine owes, and `excess` the part that became the
    credit `credit_id`. `reversed_amount` is how much of the payment was reversed, and `reversed_by`
    the reversal after which nothing of it was left.
    """

    key: SourceKey
    kind: PaymentKind
    digest: bytes
    state: ItemState
    fine_id: str | None
    bursar_transaction_id: str | None
    currency: str | None
    amount: int | None
    paid_at: datetime
    applied: int
    excess: int
    credit_id: str | None
    reversed_by: str | None = None
    reverses: str | None = None
    reason: Reason | None = None
    reversed_amount: int = 0

    @property
    def line_key(self) -> LineKey | None:
        """The key of the export line that the payment names; None if it names none."""
        named = self.bursar_transaction_id
        return None if named is None else LineKey(self.key.institution_id, named)


@dataclass(frozen=True, slots=True)
class Change:
    """The stored outcome of a change in the library, under the change's identity."""

    key: SourceKey
    digest: bytes
    state: ItemState
    fine_id: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """Names the bursar's payment or other record that caused a ledger transaction."""

    source: str
    payment_id: str
    reverses_payment_id: str | None = None
    status_code: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class LibraryRef:
    """Names the change in the library that caused a ledger transaction."""

    source: str
    change_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ExportRef:
    """Names the export line whose export or refusal caused a ledger transaction."""

    profile: str
    batch_number: int
    bursar_transaction_id: str


Cause = PaymentRef | LibraryRef | ExportRef | None


def record_digest(key: bytes | None, value: bytes | None) -> bytes:
    """Returns a hash of a record's key and value. By comparing this hash the service notices that
    an offset now has another record, because the topic was deleted and created again.
    """
    length = b"-" if key is None else str(len(key)).encode()
    tombstone = b"-" if value is None else b"+"
    return sha256(b"%s%s%s%s" % (length, tombstone, key or b"", value or b"")).digest()
