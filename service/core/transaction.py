"""The transactions of the ledger: what an effect of a rule becomes (rules.md, 1)."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from .ledger import Account, Cause, Fine, PaymentRef
from .words import Kind


@dataclass(frozen=True, slots=True)
class Transaction:
    """One entry of the ledger: the account before and after it, the fine after it, its cause."""

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
    def is_excess(self) -> bool:
        """Whether it is the credit made of the excess of a payment; others name no payment."""
        return self.kind is Kind.CREDIT and isinstance(self.cause, PaymentRef)

    @property
    def transaction_id(self) -> str:
        """The `ce_id` of its event: 32 hexadecimal digits made of account, epoch and sequence."""
        after = self.after
        text = "\n".join((*after.key, str(after.epoch), str(after.sequence)))
        return sha256(text.encode()).hexdigest()[:32]
