"""Stores how much of each payment has been reversed, in a table beside that of the payments.

The reversed amount of a payment could also be added up from the reversals' transactions in the
ledger. The table spares a search for these transactions, and its CHECK constraint makes PostgreSQL
refuse reversals of more than the whole payment.
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
    """Returns a row for each payment that the changes reverse, in whole or in part: the identity of
    the payment, the amount reversed now, and the amount of the payment, both in minor units
    (cents).
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
    """Returns those of the payments for which rows of the table are given, each with the amount
    that was reversed so far.
    """
    amounts = {SourceKey(*row[:3]): row["amount"] for row in rows}
    return {key: replace(payments[key], reversed_amount=amounts[key]) for key in amounts}
