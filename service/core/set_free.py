"""What the records that were parked before a fold, and that it set free, have caused. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from service.core.books import Changes, ParkedKey
from service.core.events import Refused
from service.core.ledger import LibraryRef, PaymentRef, SourceKey, Transaction


def set_free(changes: Changes) -> Mapping[ParkedKey, Changes]:
    """For each such record the same changes with its own transactions and rejection only.

    The tables' other rows are not divided: they are the state after all of the fold's events.
    """
    transactions: dict[ParkedKey, list[Transaction]] = defaultdict(list)
    for transaction in changes.transactions:
        key = _cause_of(transaction)
        if key is not None:
            transactions[key].append(transaction)
    refused: dict[ParkedKey, list[Refused]] = defaultdict(list)
    keys = {item.event.origin: key for key, item in changes.parked_removed.items()}
    for rejection in changes.refused:
        if rejection.origin in keys:
            refused[keys[rejection.origin]].append(rejection)
    return {
        key: replace(
            changes,
            transactions=tuple(transactions[key]),
            loans_closed=(),
            refused=tuple(refused[key]),
        )
        for key in changes.parked_removed
    }


def _cause_of(transaction: Transaction) -> ParkedKey | None:
    """The identity of the payment or the change behind it; other causes are never parked."""
    institution_id = transaction.after.key.institution_id
    match transaction.cause:
        case PaymentRef(source=source, payment_id=record_id):
            return ("payment", SourceKey(institution_id, source, record_id))
        case LibraryRef(source=source, change_id=record_id):
            return ("change", SourceKey(institution_id, source, record_id))
        case _:
            return None
