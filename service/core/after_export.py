"""Payments and waivers in the library for a fine that was already exported to the bursar (rules.md,
2b).

The bursar collects a fine that was exported. If the terms of the export say so, what the library
receives or waives for the fine afterwards becomes a credit, which an export run sends to the
bursar. Amounts are in minor units.
"""

from collections.abc import Sequence

from .batches import ExportLine
from .credits import Credit, made_credit, made_credit_id
from .events import FineChanged
from .ledger import Fine, LibraryRef, SourceKey
from .outcomes import Applied, Effect, Rejected
from .words import ChangeKind, Kind, LibraryPayments, Reason, Status

# The kinds of changes that may make a credit.
CREDITED_KINDS = frozenset({ChangeKind.PAID, ChangeKind.WAIVED})


def change_credit_id(key: SourceKey) -> str:
    """Returns the fine id of the credit that a change in the library makes; it is computed from the
    change's identity.
    """
    return made_credit_id(*key, "change")


def takes_credits(fine: Fine) -> bool:
    """Whether a payment or waiver in the library makes a credit that refers to this fine.

    Only a fine that is no credit itself, and was exported under terms with `library_payments =
    "credit"`, gets such credits.
    """
    return (
        fine.bursar_transaction_id is not None
        and fine.terms is not None
        and fine.terms.library_payments is LibraryPayments.CREDIT
        and not fine.facts.is_credit
    )


def makes_credit(fine: Fine, event: FineChanged) -> bool:
    """Whether rows 2b.16 and 2b.17 apply to a change: they make a credit of it, or reject its
    amount as too high.
    """
    is_kind = event.kind in CREDITED_KINDS and event.currency == fine.facts.currency
    return is_kind and takes_credits(fine)


def make_credit(
    fine: Fine, event: FineChanged, line: ExportLine | None, earlier: Sequence[Credit]
) -> Applied | Rejected:
    """Makes a credit of what was paid or waived in the library after the fine's export, or rejects
    the change if its amount is too high (rows 2b.16 and 2b.17).

    `line` is the fine's export line that is in force, and `earlier` are the credits that already
    refer to the fine.
    """
    assert event.amount is not None
    if event.amount > _owed_at_bursar(fine, line) - sum(credit.counted for credit in earlier):
        detail = "amount: is more than what is outstanding at the bursar, less the fine's credits"
        return Rejected(Reason.EXCEEDS_REMAINING, detail)
    return Applied((_credit(fine, event, event.amount),), fine)


def _owed_at_bursar(fine: Fine, line: ExportLine | None) -> int:
    """What the bursar still collects; of a fine that closed on its export, all of its line."""
    if fine.status is Status.TRANSFERRED:
        return abs(fine.outstanding)
    assert line is not None
    return abs(line.amount)


def _credit(fine: Fine, event: FineChanged, amount: int) -> Effect:
    credit_id = change_credit_id(event.key)
    assert fine.terms is not None
    return Effect(
        made_credit(fine, credit_id, amount, event.changed_at, event.comment),
        Kind.CREDIT,
        fine.terms.label(Kind.CREDIT),
        -amount,
        -amount,
        0,
        LibraryRef(event.key.source, event.key.id, event.reason),
        event.changed_at,
        event.comment,
    )
