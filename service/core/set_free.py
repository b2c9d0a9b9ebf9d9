"""What the records that were parked before a fold, and that it set free, have caused. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from .events import Rejection
from .ledger import LibraryRef, PaymentRef, SourceKey, Transaction
from .workspace import Changes, ParkedKey


def divided(changes: Changes) -> tuple[Changes, Mapping[ParkedKey, Changes]]:
    """The same changes with the events' own transactions and rejections, and with each record's.

    The tables' other rows are not divided: they are the state after all of the fold's events.
    """
    freed = changes.parked.removed
    keys = {item.event.origin: key for key, item in freed.items()}
    transactions: dict[ParkedKey | None, list[Transaction]] = defaultdict(list)
    for transaction in changes.transactions:
        key = _cause_of(transaction)
        transactions[key if key in freed else None].append(transaction)
    rejections: dict[ParkedKey | None, list[Rejection]] = defaultdict(list)
    for rejection in changes.rejections:
        rejections[keys.get(rejection.origin)].append(rejection)

    def part(key: ParkedKey | None) -> Changes:
        return replace(
            changes,
            transactions=tuple(transactions[key]),
            loans_closed=changes.loans_closed if key is None else (),  # exports close loans
            rejections=tuple(rejections[key]),
        )

    return part(None), {key: part(key) for key in freed}


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
