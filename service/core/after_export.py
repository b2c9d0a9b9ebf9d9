"""What is paid or waived in the library after a fine's export (rules.md, 2b).

The bursar collects the fine by then, so that the library's money becomes a credit, which a run
sends to the bursar. Amounts are in minor units.
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
    """The fine id of the credit that a change makes, made of the change's identity."""
    return made_credit_id(*key, "change")


def takes_credits(fine: Fine) -> bool:
    """Whether payments and waivers in the library make credits of this fine.

    It is a debit that was exported, under terms that say `library_payments = "credit"`.
    """
    return (
        fine.bursar_transaction_id is not None
        and fine.terms is not None
        and fine.terms.library_payments is LibraryPayments.CREDIT
        and not fine.facts.is_credit
    )


def makes_credit(fine: Fine, event: FineChanged) -> bool:
    """Whether a change makes a credit (row 2b.16), or is rejected as too much (row 2b.17)."""
    is_kind = event.kind in CREDITED_KINDS and event.currency == fine.facts.currency
    return is_kind and takes_credits(fine)


def make_credit(
    fine: Fine, event: FineChanged, line: ExportLine | None, earlier: Sequence[Credit]
) -> Applied | Rejected:
    """Makes the credit of a change after the export (rows 2b.16 and 2b.17).

    `line` is the fine's live line, and `earlier` are the credits that the fine has already.
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
