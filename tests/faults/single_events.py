"""Events of which a row knows what becomes of each, beside those of the mixed load."""

from __future__ import annotations

from tests.oracle.records import Data
from tests.support import inputs
from tests.support.load_events import Event


def fine(institution: str, number: int) -> Event:
    """A fine of 95.50 in a place of its own, so that many of them lie in all partitions."""
    name = f"F-{number}"
    data = inputs.fine_created(institution_id=institution, fine_id=name, loan_id=f"L-{number}")
    return _event("fine-created.v1", name, data)


def payment(institution: str, number: int) -> Event:
    """A payment of 5.00 for the fine with this number, which may come before it."""
    return _event("bursar-payment.v1", f"F-{number}", _payment(institution, number, "5.00"))


def bad_payment(institution: str, number: int) -> Event:
    """A payment whose amount is a number, and not a text as the contract says."""
    value = inputs.value_of(_payment(institution, number, 5))
    return Event("bursar-payment.v1", f"F-{number}", None, value, "invalid_amount")


def _payment(institution: str, number: int, amount: object) -> Data:
    return inputs.bursar_payment(
        institution_id=institution,
        payment_id=f"P-{number}",
        fine_id=f"F-{number}",
        bursar_transaction_id=inputs.ABSENT,
        amount=amount,
    )


def _event(contract: str, place: str, data: Data) -> Event:
    return Event(contract, place, data, inputs.value_of(data))
