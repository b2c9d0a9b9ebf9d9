"""A ledger in memory that takes records from their bytes on, and members of such records."""

from __future__ import annotations

from service.core.events import ExportFine, Rejection
from service.core.ledger import AccountKey, BatchKey, Fine, FineKey
from service.core.shares import LumpRule
from service.core.terms import Terms
from service.messages.decode import parse
from tests.support.given import BOTH, at
from tests.support.in_memory import outcome_of_event
from tests.support.inputs import (
    ABSENT,
    Data,
    Headers,
    binary,
    bursar_payment,
    fine_changed,
    fine_created,
    record,
)
from tests.support.view_store import Store, sound

UNI = "6050"
LINE = "10000000018"
CREATED, CHANGED = "fine-created.v1", "fine-changed.v1"
PAID, ANSWERED = "bursar-payment.v1", "export-response.v1"


class RecordLedger:
    """A ledger in memory that takes records as they come from Kafka."""

    def __init__(self) -> None:
        self.store = Store(lump_rules={UNI: LumpRule.OLDEST_FIRST})

    def read(
        self,
        contract: str,
        value: bytes,
        headers: Headers,
        timestamp_ms: int | None = None,
    ) -> str:
        event = parse(contract, record(contract, value, headers, timestamp_ms=timestamp_ms))
        if isinstance(event, Rejection):
            return f"rejected:{event.reason}"
        outcome = outcome_of_event(self.store.fold(event))
        sound(self.store)
        return outcome

    def take(self, contract: str, data: object) -> str:
        return self.read(contract, *binary(contract, data))

    def fine(self, **members: object) -> str:
        return self.take(CREATED, fine_created(**members))

    def change(self, **members: object) -> str:
        return self.take(CHANGED, fine_changed(**members))

    def pay(self, **members: object) -> str:
        return self.take(PAID, bursar_payment(**members))

    def export(self, fine_id: str = "F-1", line: str = LINE, terms: Terms = BOTH) -> None:
        batch = BatchKey(UNI, terms.profile, len(self.store.batches) + 1)
        self.store.fold(ExportFine(FineKey(UNI, fine_id), batch, line, terms, at(0)))
        self.store.seal(batch, self[fine_id].facts.currency)

    def __getitem__(self, fine_id: str) -> Fine:
        return self.store.fines[FineKey(UNI, fine_id)]

    def balances(self, currency: str = "USD") -> tuple[int, int]:
        account = self.store.accounts[AccountKey(UNI, "P-1", currency)]
        return account.active, account.transferred


def of_patron(**members: object) -> Data:
    named = {"patron_id": "P-1", "name": "Doe, Jane", "user_group": "STUDENT", "identifiers": []}
    return {**named, **members}


def by(line: object, **members: object) -> Data:
    return {"bursar_transaction_id": line, "fine_id": ABSENT, **members}


def back(number: int, amount: object = ABSENT, **members: object) -> Data:
    currency = ABSENT if amount is ABSENT else "USD"
    named = {"fine_id": ABSENT, "reverses_payment_id": "PAY-1", "kind": "reversal"}
    return {**named, "payment_id": f"R-{number}", "amount": amount, "currency": currency, **members}


def a_sum(amount: str, **members: object) -> Data:
    named = {"fine_id": ABSENT, "patron_id": "P-1", "payment_id": "S-1"}
    return {**named, "amount": amount, **members}
