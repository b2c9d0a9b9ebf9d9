"""The state of one account in the auditor's model. Amounts are in minor units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from tests.auditor.evidence import Row
from tests.auditor.facts import AccountId, Broken, Facts

SourceId = tuple[str, str]  # source, id
State = tuple[str, str, int, int]  # status, considered, remaining, outstanding


class Step(NamedTuple):
    """What a transaction had to be: the fine, the amount, and what it adds to both balances."""

    fine_id: str
    amount: int
    active: int = 0
    transferred: int = 0


@dataclass(slots=True)
class ModelFine:
    """A fine; `paid_by` are the payments that count for it, `reduced` what was taken off it."""

    amount: int
    created: int
    type: str
    remaining: int
    credit_of: str | None = None
    loan: str | None = None
    made_by: str = "library"
    reduced: int = 0
    outstanding: int = 0
    status: str = "Active"
    considered: str = "active"
    line: str | None = None
    exported: int = 0
    followed: bool = False
    paid_by: set[SourceId] = field(default_factory=set)

    @property
    def sign(self) -> int:
        """1 of a debit, -1 of a credit."""
        return 1 if self.created > 0 else -1

    @property
    def state(self) -> State:
        """What a transaction keeps of its fine."""
        return (self.status, self.considered, self.remaining, self.outstanding)

    @property
    def is_open(self) -> bool:
        """Whether the library collects it."""
        return self.status in ("Active", "In dispute")

    def adopt(self, state: State) -> None:
        """Goes on from another state."""
        self.status, self.considered, self.remaining, self.outstanding = state


@dataclass(slots=True)
class Reversal:
    """How much a reversal takes back of its payment, and of which fines it has done so."""

    amount: int
    fines: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ModelPayment:
    """What a payment has done: its parts by fine, its credit, and what was taken back of it."""

    amount: int
    parts: dict[str, int] = field(default_factory=dict)
    noted_on: str | None = None
    credit_id: str | None = None
    excess: int = 0
    reversals: dict[SourceId, Reversal] = field(default_factory=dict)

    @property
    def applied(self) -> int:
        """How much of it was paid on fines."""
        return sum(self.parts.values())

    @property
    def left(self) -> int:
        """How much of it can still be taken back."""
        return self.amount - sum(each.amount for each in self.reversals.values())


class AccountModel:
    """One account, and what the transactions up to now have made of it."""

    def __init__(self, account: AccountId, facts: Facts) -> None:
        self.account = account
        self.home = account[0]
        self.facts = facts
        self.active = self.transferred = self.sequence = 0
        self.fines: dict[str, ModelFine] = {}
        self.payments: dict[SourceId, ModelPayment] = {}
        self.changes: set[SourceId] = set()
        self.statuses: set[SourceId] = set()
        self.loans: set[str] = set()

    def fine(self, fine_id: str) -> ModelFine:
        """A fine of the account; raises Broken."""
        if fine_id not in self.fines:
            raise Broken("its fine was not created before it in this account")
        return self.fines[fine_id]

    def fine_of_credit(self, credit: ModelFine) -> ModelFine | None:
        """The debit of the account that a credit names."""
        fine = self.fines.get(credit.credit_of or "")
        return fine if credit.sign < 0 and fine is not None and fine.sign > 0 else None

    def credits_of(self, fine_id: str) -> Iterator[ModelFine]:
        """The credits of a debit."""
        if self.fines[fine_id].sign > 0:
            yield from (
                each for each in self.fines.values() if each.sign < 0 and each.credit_of == fine_id
            )

    def open_fine(self, fine_id: str, fine: ModelFine) -> Step:
        """Adds a new fine or credit; raises Broken."""
        if fine_id in self.fines:
            raise Broken("its fine was created before")
        self.fines[fine_id] = fine
        return Step(fine_id, fine.amount, fine.amount)

    def open_made(self, made_by: str, amount: int, *identity: str) -> Step:
        """Adds the credit that the service makes for a record with this identity."""
        text = "\n".join((self.home, *identity))
        fine_id = "bb-" + sha256(text.encode()).hexdigest()[:32]
        row = self.facts.made.get((self.home, fine_id))
        credit = ModelFine(
            -amount,
            -amount,
            "CREDIT",
            -amount,
            credit_of=None if row is None else row["credit_of"],
            made_by=made_by,
        )
        return self.open_fine(fine_id, credit)

    def remember(self, changes: set[SourceId], key: SourceId) -> None:
        """Notes that a record had its effect; raises Broken if it had it before."""
        if key in changes:
            raise Broken("its record was applied before")
        changes.add(key)


def source_id(cause: Row, member: str) -> SourceId:
    """The source and the id of the record that caused a transaction."""
    return (cause["source"], cause[member])
