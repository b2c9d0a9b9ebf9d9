"""The ledger's values: frozen, no IO, amounts in minor units, times aware UTC (rules.md, 1-3)."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from .money import whole_units
from .words import (
    CREDIT_TYPE,
    DEFAULT_LABELS,
    Considered,
    ItemState,
    Kind,
    LostRule,
    Mode,
    Overpayment,
    PaymentKind,
    ProfileCode,
    Reason,
    RefusedRule,
    Status,
)

# The default of a profile's `overpayment_max`.
OUTSTANDING_TIMES = 10
WHOLE_UNITS = 100

DEFAULT_LOST_TYPES = frozenset({"LOSTITEMREPLACEMENTFEE", "LOSTITEMFINE"})


@dataclass(frozen=True, slots=True)
class Terms:
    """The part of a profile that an exported fine keeps: a later change reinterprets nothing."""

    profile: ProfileCode
    mode: Mode
    lost: LostRule = LostRule.CLOSE
    lost_types: frozenset[str] = DEFAULT_LOST_TYPES
    close_paid_lost_loan: bool = False
    overpayment: Overpayment = Overpayment.CREDIT
    refused: RefusedRule = RefusedRule.HOLD
    labels: tuple[tuple[Kind, str], ...] = ()
    overpayment_max: int | None = None  # of an excess, in minor units; None: the default

    def label(self, kind: Kind) -> str:
        return dict(self.labels).get(kind, DEFAULT_LABELS[kind])

    def excess_max(self, outstanding: int, currency: str) -> int:
        """The largest excess that becomes a credit without a person's decision, in minor units.

        `outstanding` is what was owed at the bursar before the payment. The default is the larger
        of ten times that and 100 whole units of the currency.
        """
        if self.overpayment_max is not None:
            return self.overpayment_max
        return max(OUTSTANDING_TIMES * abs(outstanding), whole_units(WHOLE_UNITS, currency))


class AccountKey(NamedTuple):
    institution_id: str
    patron_id: str
    currency: str


class FineKey(NamedTuple):
    institution_id: str
    fine_id: str


class SourceKey(NamedTuple):
    """Identity of a payment, a change or a response: institution, sending system, its id."""

    institution_id: str
    source: str
    id: str


class LineKey(NamedTuple):
    institution_id: str
    bursar_transaction_id: str


class BatchKey(NamedTuple):
    institution_id: str
    profile: str
    batch_number: int


class Origin(NamedTuple):
    """Where a record came from and its bytes, untouched: it may be rejected or shown later."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    library_id: str
    library_code: str
    library_name: str


@dataclass(frozen=True, slots=True)
class Item:
    title: str
    call_number: str | None = None
    library: str | None = None
    location: str | None = None
    internal_location: str | None = None
    due_date: datetime | None = None
    barcode: str | None = None


@dataclass(frozen=True, slots=True)
class Patron:
    """A snapshot of the patron; the newest `seen_at` wins.

    It is the event's ce_time, but once stored never later than the time at which it was recorded.
    """

    institution_id: str
    patron_id: str
    name: str
    user_group: str
    identifiers: tuple[tuple[str, str], ...]
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class FineFacts:
    """What a fine was created with; never changes."""

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
        return FineKey(self.institution_id, self.fine_id)

    @property
    def account(self) -> AccountKey:
        return AccountKey(self.institution_id, self.patron_id, self.currency)

    @property
    def is_credit(self) -> bool:
        return self.type == CREDIT_TYPE


@dataclass(frozen=True, slots=True)
class Fine:
    """A fine now. `remaining` is owed in the library, `outstanding` at the bursar; both signed."""

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

    @property
    def is_open_in_library(self) -> bool:
        return self.status is Status.ACTIVE or self.status is Status.IN_DISPUTE


@dataclass(frozen=True, slots=True)
class Account:
    key: AccountKey
    active: int = 0
    transferred: int = 0
    sequence: int = 0
    epoch: int = 1


# --- events: what a record says, as core values ------------------------------------------------


# --- what the ledger remembers -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Payment:
    """A bursar's payment by identity; `applied` moved the fine, `excess` became `credit_id`."""

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

    @property
    def line_key(self) -> LineKey | None:
        """The line it named, known or not."""
        named = self.bursar_transaction_id
        return None if named is None else LineKey(self.key.institution_id, named)


@dataclass(frozen=True, slots=True)
class Change:
    """A library's change under its identity."""

    key: SourceKey
    digest: bytes
    state: ItemState
    fine_id: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class PaymentRef:
    source: str
    payment_id: str
    reverses_payment_id: str | None = None
    status_code: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class LibraryRef:
    source: str
    change_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ExportRef:
    profile: str
    batch_number: int
    bursar_transaction_id: str


Cause = PaymentRef | LibraryRef | ExportRef | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """One line of the ledger: the account before and after, the fine after, what caused it."""

    before: Account
    after: Account
    fine: Fine
    kind: Kind
    label: str
    amount: int
    comment: str | None
    cause: Cause
    occurred_at: datetime
    traceparent: str | None = None

    @property
    def active_change(self) -> int:
        """How much the transaction adds to the account's active balance, in minor units."""
        return self.after.active - self.before.active

    @property
    def transferred_change(self) -> int:
        """How much the transaction adds to the account's transferred balance, in minor units."""
        return self.after.transferred - self.before.transferred

    @property
    def transaction_id(self) -> str:
        """32 hex digits made of account, epoch and sequence; the ce_id of its balance-changed."""
        after = self.after
        text = "\n".join((*after.key, str(after.epoch), str(after.sequence)))
        return sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class LoanClosed:
    institution_id: str
    patron_id: str
    loan_id: str
    fine_id: str
    batch_number: int
    closed_at: datetime
