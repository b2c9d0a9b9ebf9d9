"""The values of the ledger (rules.md, 1 to 3).

All are frozen. Amounts are in minor units of their currency, times are aware and in UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from .amendment import NOT_AMENDED, Amendment
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
    """Identity of a payment, a change or a response: institution, sending system, its id."""

    institution_id: str
    source: str
    id: str


class LineKey(NamedTuple):
    """Identity of an export line: the bursar transaction id is unique in an institution."""

    institution_id: str
    bursar_transaction_id: str


class BatchKey(NamedTuple):
    """Identity of a batch: batches are numbered per institution and profile."""

    institution_id: str
    profile: str
    batch_number: int


class Origin(NamedTuple):
    """The place of a record in its topic, and its bytes, which a rejection has to repeat.

    `timestamp_ms` is the record's timestamp in Kafka, in milliseconds since 1970: the time of an
    event that names none. It is None for a record of which it was not kept.
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
    """The item that a fine is about."""

    title: str
    call_number: str | None = None
    library: str | None = None
    location: str | None = None
    internal_location: str | None = None
    due_date: datetime | None = None
    barcode: str | None = None


@dataclass(frozen=True, slots=True)
class Patron:
    """What is known of a patron; of two snapshots, the one with the newer `seen_at` is kept.

    `seen_at` is the time of the event. The time of recording replaces it when it is stored, if
    that is earlier.
    """

    institution_id: str
    patron_id: str
    name: str
    user_group: str
    identifiers: tuple[tuple[str, str], ...]
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class FineFacts:
    """What a fine was created with. No event changes it."""

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

    @property
    def key(self) -> FineKey:
        """The identity of the fine."""
        return FineKey(self.institution_id, self.fine_id)

    @property
    def account(self) -> AccountKey:
        """The account of the fine: that of its patron in its currency."""
        return AccountKey(self.institution_id, self.patron_id, self.currency)

    @property
    def is_credit(self) -> bool:
        """Whether it is a credit: its amounts are negative."""
        return self.type == CREDIT_TYPE

    def toward_zero(self, amount: int) -> int:
        """Returns the signed change that takes the positive `amount` off what is owed."""
        return amount if self.is_credit else -amount


@dataclass(frozen=True, slots=True)
class Fine:
    """A fine as it is now. `remaining` is owed in the library, `outstanding` at the bursar."""

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
        """A new fine: the library collects all of it."""
        remaining, at = facts.amount, facts.created_at
        return cls(facts, Status.ACTIVE, Considered.ACTIVE, remaining, changed_at=at)

    @property
    def amount(self) -> int:
        """The amount as adjusted: that of the creation if the fine was never adjusted."""
        adjusted = self.amendment.amount
        return self.facts.amount if adjusted is None else adjusted

    @property
    def amount_created(self) -> int | None:
        """The amount of the creation if the fine was adjusted since; else None."""
        return None if self.amendment.amount is None else self.facts.amount

    @property
    def line_key(self) -> LineKey | None:
        """The key of the live line; None if there is none."""
        named = self.bursar_transaction_id
        return None if named is None else LineKey(self.facts.institution_id, named)

    @property
    def is_open_in_library(self) -> bool:
        """Whether the library collects the fine: its status is Active or In dispute."""
        return self.status is Status.ACTIVE or self.status is Status.IN_DISPUTE

    @property
    def is_closed_in_library(self) -> bool:
        """Whether the fine was closed without an export that stands: paid, waived or cancelled."""
        return self.bursar_transaction_id is None and not self.is_open_in_library


@dataclass(frozen=True, slots=True)
class Account:
    """The balances of an account. `sequence` is the number of its latest transaction."""

    key: AccountKey
    active: int = 0
    transferred: int = 0
    sequence: int = 0
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Payment:
    """What became of a bursar's payment, under its identity.

    `applied` has changed what is outstanding, and `excess` became the credit `credit_id`.
    `reversed_amount` of it has been reversed, and `reversed_by` left nothing of it.
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
    applied: int = 0
    excess: int = 0
    credit_id: str | None = None
    reversed_by: str | None = None
    reverses: str | None = None
    reason: Reason | None = None
    reversed_amount: int = 0

    @property
    def line_key(self) -> LineKey | None:
        """The key of the line that the payment names, whether the line is known or not."""
        named = self.bursar_transaction_id
        return None if named is None else LineKey(self.key.institution_id, named)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a change in the library, under its identity."""

    key: SourceKey
    digest: bytes
    state: ItemState
    fine_id: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """A payment, write-off, reversal or status as the cause of a transaction."""

    source: str
    payment_id: str
    reverses_payment_id: str | None = None
    status_code: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class LibraryRef:
    """A change in the library as the cause of a transaction."""

    source: str
    change_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ExportRef:
    """An export, or the refusal of its line, as the cause of a transaction."""

    profile: str
    batch_number: int
    bursar_transaction_id: str


Cause = PaymentRef | LibraryRef | ExportRef | None


def record_digest(key: bytes | None, value: bytes | None) -> bytes:
    """Returns a digest of a record's key and value.

    It shows whether the record at an offset is still the same one after a topic was made anew.
    """
    length = b"-" if key is None else str(len(key)).encode()
    tombstone = b"-" if value is None else b"+"
    return sha256(b"%s%s%s%s" % (length, tombstone, key or b"", value or b"")).digest()
