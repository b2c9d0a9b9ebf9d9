"""Sums that name a patron alone, in histories: settings of institutions, and records."""

from service.core.events import BursarPayment
from service.core.words import PaymentKind
from tests.oracle.sums import outstanding
from tests.oracle.tables import Tables
from tests.support.bursar import says
from tests.support.given import UNI

# In the institution "2" a person decides about each sum.
SETTINGS = {UNI: "oldest_first", "1": "oldest_first"}


def sum_for(
    model: Tables,
    institution: str,
    prefix: str,
    payment_id: str,
    pick: int,
    choice: int,
    variant: int,
) -> BursarPayment:
    """Mostly about what a patron owes at the bursar; at times of a patron without an account."""
    patron = prefix + ("P1", "P1", "P1", "P2", "P2", "P9")[pick % 6]
    currency = "EUR" if variant == 0 else "USD"
    owed = outstanding(model, (institution, patron, currency))
    due = sum(each["outstanding"] for _, each in owed) or 3
    return says(
        PaymentKind.PAYMENT,
        max(1, (due, 1, due + 2, due - 1, due // 2, due + 1)[choice]),
        None,
        payment_id=payment_id,
        currency=currency,
        institution=institution,
        patron=patron,
    )
