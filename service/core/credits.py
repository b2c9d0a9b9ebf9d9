"""Credits, and the fines to which they refer (rules.md, 2b, 3 and 5).

A credit is called a credit *of* a fine if its `credit_of` names the fine, the fine is no credit
itself, and both belong to the same account. A `credit_of` that names anything else is ignored.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from .frozen import dataclass
from .ledger import Fine, FineFacts, FineKey, LibraryRef, PaymentRef
from .outcomes import Effect
from .words import CREDIT_TYPE, EXCESS_PREFIX, Kind, Status

# What takes something off a credit, so that this part of it counts no more.
REDUCTIONS = frozenset({Kind.WAIVER, Kind.CANCELLATION, Kind.CREDIT_CANCELLED})


@dataclass(frozen=True, slots=True)
class CreditHistory:
    """What the ledger's transactions tell about a credit beyond its row in the table of fines.

    `reduced` is how much of the credit was waived or cancelled, in positive minor units.
    `is_excess` says that the credit was made of the excess of a payment, and `is_of_change` that it
    was made of a payment or waiver in the library. `followed` says that the credit's latest export
    closed it because the export of its fine had closed the fine.
    """

    reduced: int = 0
    is_excess: bool = False
    is_of_change: bool = False
    followed: bool = False


@dataclass(frozen=True, slots=True)
class Credit:
    """A credit that refers to a fine, with its history."""

    fine: Fine
    history: CreditHistory

    @property
    def counted(self) -> int:
        """By how much the credit reduces what its fine owes, in positive minor units.

        A credit that was made of the excess of a payment reduces nothing, because the excess was
        never owed.
        """
        return 0 if self.history.is_excess else abs(self.fine.amount) - self.history.reduced

    def keeps_line(self, refused_lines: Collection[str]) -> bool:
        """Whether this credit forbids the bursar to refuse the export line of the credit's fine.

        A credit that was made of a payment or waiver in the library forbids the refusal until all
        of the credit was waived or cancelled. A credit that the library itself created forbids the
        refusal while the credit is Transferred: the bursar would be left with the credit alone.
        Such a Transferred credit does not forbid the refusal if the same answer of the bursar also
        refuses the credit's own line (`refused_lines`).
        """
        if self.history.is_of_change:
            return self.counted > 0
        return (
            self.fine.status is Status.TRANSFERRED
            and not self.history.is_excess
            and self.fine.bursar_transaction_id not in refused_lines
        )


def made_credit_id(*parts: str) -> str:
    """Returns the fine id of a credit that the service makes; `parts` identify the payment or
    change of which it is made.
    """
    return EXCESS_PREFIX + sha256("\n".join(parts).encode()).hexdigest()[:32]


def made_credit(
    fine: Fine, fine_id: str, amount: int, created_at: datetime, comment: str | None
) -> Fine:
    """Returns a new credit that refers to a fine and has the fine's patron, currency and owner.

    `amount` is in minor units and positive; the credit itself gets the negative amount.
    """
    facts = fine.facts
    credit = FineFacts(
        institution_id=facts.institution_id,
        fine_id=fine_id,
        patron_id=facts.patron_id,
        type=CREDIT_TYPE,
        amount=-amount,
        currency=facts.currency,
        owner=facts.owner,
        created_at=created_at,
        comment=comment,
        credit_of=facts.fine_id,
    )
    return Fine.created(credit)


class CreditsOfFines:
    """The credits of each fine while the events of one commit are decided: those that were read,
    and those that the events make.

    `histories` has, by the key of a credit, what the ledger's transactions tell about the credit.
    `histories` has only those credits that the events of this commit may need.
    """

    def __init__(
        self, fines: Mapping[FineKey, Fine], histories: Mapping[FineKey, CreditHistory]
    ) -> None:
        self._keys: dict[FineKey, dict[FineKey, None]] = {}
        self._histories = dict(histories)
        for fine in fines.values():
            self._enter(fine)

    def note(self, effect: Effect) -> None:
        """Updates the history of a credit from a transaction that makes or reduces it."""
        credit, kind = effect.fine.facts, effect.kind
        history = self._histories.get(credit.key, CreditHistory())
        if kind is Kind.CREDIT:
            self._enter(effect.fine)
            history = CreditHistory(
                is_excess=isinstance(effect.cause, PaymentRef),
                is_of_change=isinstance(effect.cause, LibraryRef),
            )
        elif kind in REDUCTIONS:
            history = replace(history, reduced=history.reduced + effect.amount)
        else:
            return
        self._histories[credit.key] = history

    def of(self, fine: Fine, fines: Mapping[FineKey, Fine]) -> list[Credit]:
        """Returns the credits of a fine, in their state in `fines`."""
        named = (fines[key] for key in self._keys.get(fine.facts.key, ()))
        return [
            Credit(credit, self._histories.get(credit.facts.key, CreditHistory()))
            for credit in named
            if _can_have(fine, credit)
        ]

    def _enter(self, credit: Fine) -> None:
        named = key_of_credited(credit)
        if named is not None:
            self._keys.setdefault(named, {})[credit.facts.key] = None


def _can_have(fine: Fine, credit: Fine) -> bool:
    """Whether a credit that names this fine is one of it."""
    return not fine.facts.is_credit and fine.facts.account == credit.facts.account


def key_of_credited(credit: Fine) -> FineKey | None:
    """Returns the key of the fine that a credit names in `credit_of`, whether the ledger has such a
    fine or not.

    Returns None if `credit` is no credit, or names no fine.
    """
    facts = credit.facts
    if facts.credit_of is None or not facts.is_credit:
        return None
    return FineKey(facts.institution_id, facts.credit_of)


def credited(credit: Fine, fines: Mapping[FineKey, Fine]) -> Fine | None:
    """Returns the fine to which a credit refers; None if it refers to none, or to a fine of another
    account.
    """
    key = key_of_credited(credit)
    fine = None if key is None else fines.get(key)
    return fine if fine is not None and _can_have(fine, credit) else None


def has_closed_on_export(fine: Fine) -> bool:
    """Whether the fine was closed by its export, and the bursar has not refused its export line."""
    return fine.status is Status.CLOSED and fine.bursar_transaction_id is not None


def closes_with_other(credited_fine: Fine | None, with_credits: Iterable[Credit]) -> bool:
    """Whether the export of a fine or credit closes it, whatever its profile says, because a credit
    and its fine are exported in the same way (rows 5.18 and 5.19).

    The export closes a credit if the export of its fine `credited_fine` closed that fine. The
    export closes a fine if one of its credits `with_credits` was closed together with it at an
    earlier export, and the bursar has not refused that credit's export line.
    """
    if credited_fine is not None and has_closed_on_export(credited_fine):
        return True
    return any(
        credit.history.followed and has_closed_on_export(credit.fine) for credit in with_credits
    )
