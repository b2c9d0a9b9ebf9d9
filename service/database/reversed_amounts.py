"""How much of payments has been reversed: a table beside that of the payments.

The ledger itself says how much: the transactions of the reversals add up to it. The table spares
the look for them, and its CHECK forbids that reversals take back more than all of a payment.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import asyncpg

from ..core.changes import Transaction
from ..core.ledger import Payment, PaymentRef, SourceKey
from ..core.workspace import Changes

Row = tuple[str, str, str, int, int]


def rows_of(changes: Changes) -> list[Row]:
    """Returns the rows to add: the identity of each payment of which a part, or all, was reversed,
    the amount of that part, and the amount of the payment, in minor units.
    """
    amounts = _reversed_by(changes.transactions)
    if not amounts:
        return []
    payments = {payment.key: payment for payment in changes.payments.written}
    return [(*key, amounts[key], payments[key].amount or 0) for key in sorted(amounts)]


def _reversed_by(transactions: Iterable[Transaction]) -> Counter[SourceKey]:
    """How much of each payment the transactions of reversals take back.

    A payment that left an excess has two of them: one on its fine, and one on the credit.
    """
    amounts: Counter[SourceKey] = Counter()
    for transaction in transactions:
        cause = transaction.cause
        if isinstance(cause, PaymentRef) and cause.reverses_payment_id is not None:
            institution_id = transaction.after.key.institution_id
            original = SourceKey(institution_id, cause.source, cause.reverses_payment_id)
            amounts[original] += transaction.amount
    return amounts


def with_amounts(
    payments: Mapping[SourceKey, Payment], rows: Iterable[asyncpg.Record]
) -> dict[SourceKey, Payment]:
    """Returns those of the payments that rows of the table name, with their amounts."""
    amounts = {SourceKey(*row[:3]): row["amount"] for row in rows}
    return {key: replace(payments[key], reversed_amount=amounts[key]) for key in amounts}
