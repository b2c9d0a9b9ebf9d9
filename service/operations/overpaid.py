"""Shows a payment that is more than its fine owes and waits for a person: its amounts, and what
each decision would do.
"""

from dataclasses import dataclass
from typing import assert_never

from ..core import payments
from ..core.events import BursarPayment
from ..core.ledger import Fine, FineKey
from ..core.money import format_minor
from ..core.outcomes import Applied, Outcome, Park, Rejected, Repeat
from ..core.words import Overpayment, Wait
from ..database.ledger_read import LedgerReader
from ..database.session import Connection
from ..messages.decode import parse
from .held_fine import find_fine
from .names import contract_of
from .parked_records import ParkedRecord

DISCARD = "reject the payment as discarded: no balance changes, and its sender has the money"


@dataclass(frozen=True, slots=True)
class Overpaid:
    """All amounts are in minor units; `outstanding` is what the fine owes at the bursar now,
    signed.
    """

    amount: int
    outstanding: int
    currency: str
    because: str
    release: str
    discard: str

    @property
    def excess(self) -> int:
        """How much of the payment is more than the fine owes, in minor units."""
        return max(0, self.amount - abs(self.outstanding))


async def overpaid(
    connection: Connection, store: LedgerReader, item: ParkedRecord
) -> Overpaid | None:
    """Returns the amounts of a parked payment that waits for a decision about its excess, and what
    each decision would do; None for any other parked record, and if the fine is not known.
    """
    if item.wait is not Wait.OVERPAID_HELD or item.fine_id is None:
        return None
    event = parse(contract_of(item.origin.topic), item.origin)
    fine = await find_fine(connection, store, FineKey(item.institution_id, item.fine_id))
    if not isinstance(event, BursarPayment) or event.amount is None or fine is None:
        return None
    released = payments.pay(fine, event, Overpayment.CREDIT)
    return Overpaid(
        event.amount,
        fine.outstanding,
        fine.facts.currency,
        _because(fine, event.amount),
        _release(released, fine),
        DISCARD,
    )


def _because(fine: Fine, amount: int) -> str:
    """The rule it was held for, with the values of today."""
    terms, currency = fine.terms, fine.facts.currency
    if terms is None or terms.overpayment is not Overpayment.CREDIT:
        return 'the profile holds every over-payment (overpayment = "hold")'
    maximum = terms.excess_max(fine.outstanding, currency)
    excess = max(0, amount - abs(fine.outstanding))
    most = format_minor(maximum, currency)
    return (
        f"an excess of {format_minor(excess, currency)}; at most {most} becomes a credit without "
        "a decision (overpayment_max)"
    )


def _release(outcome: Outcome, fine: Fine) -> str:
    currency, fine_id = fine.facts.currency, fine.facts.fine_id
    match outcome:
        case Applied():
            parts = []
            if outcome.applied:
                parts.append(f"settle {format_minor(outcome.applied, currency)} of {fine_id}")
            if outcome.excess:
                excess = format_minor(outcome.excess, currency)
                parts.append(f"make a credit of {excess} for the patron")
            return " and ".join(parts) or f"note it on {fine_id}: no balance changes"
        case Park():
            return f"let it wait: {outcome.wait}"
        case Rejected():
            return f"reject it: {outcome.reason}, {outcome.detail}"
        case Repeat():
            raise AssertionError("a parked payment is no repeat")
        case _:
            assert_never(outcome)
