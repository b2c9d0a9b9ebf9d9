"""Credits and the fines that they refer to (rules.md, 2b, 3 and 5).

A credit is a credit *of* a fine if its `credit_of` names the fine, the fine is a debit, and both
are of one account. Any other `credit_of` means nothing here.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from .ledger import Fine, FineFacts, FineKey, LibraryRef, PaymentRef
from .outcomes import Effect
from .words import CREDIT_TYPE, EXCESS_PREFIX, Kind, Status

# What takes something off a credit, so that this part of it counts no more.
REDUCTIONS = frozenset({Kind.WAIVER, Kind.CANCELLATION, Kind.CREDIT_CANCELLED})


@dataclass(frozen=True, slots=True)
class CreditHistory:
    """What the ledger knows of a credit beside its row.

    `reduced` is what was waived or cancelled of it, in positive minor units. `is_excess` says that
    a payment's excess has made it, and `is_of_change` that a change in the library has. `followed`
    says that it was exported last after its fine had closed on the fine's export.
    """

    reduced: int = 0
    is_excess: bool = False
    is_of_change: bool = False
    followed: bool = False


@dataclass(frozen=True, slots=True)
class Credit:
    """A credit of a fine, with its history."""

    fine: Fine
    history: CreditHistory

    @property
    def counted(self) -> int:
        """What the credit takes off what its fine owes, in positive minor units.

        The excess of a payment was never owed, so a credit made of it does not count.
        """
        return 0 if self.history.is_excess else abs(self.fine.amount) - self.history.reduced

    def keeps_line(self, refused_lines: Collection[str]) -> bool:
        """Whether the bursar cannot refuse the line of the credit's fine because of the credit.

        A credit that a change in the library has made forbids it as long as it counts. A credit of
        the library's own forbids it while it is Transferred, so that the bursar is not left with
        the credit alone, unless its line is among the `refused_lines` of the same answer.
        """
        if self.history.is_of_change:
            return self.counted > 0
        return (
            self.fine.status is Status.TRANSFERRED
            and not self.history.is_excess
            and self.fine.bursar_transaction_id not in refused_lines
        )


def made_credit_id(*parts: str) -> str:
    """The fine id of a credit that the service makes; the parts identify what it is made for."""
    return EXCESS_PREFIX + sha256("\n".join(parts).encode()).hexdigest()[:32]


def made_credit(
    fine: Fine, fine_id: str, amount: int, created_at: datetime, comment: str | None
) -> Fine:
    """Returns a new credit of a fine, with the fine's patron, currency and owner.

    `amount` is in positive minor units.
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
    """The credits of each fine during a fold: those that were read, and those that the fold makes.

    `histories` are those of the credits that were read, as far as the events need them.
    """

    def __init__(
        self, fines: Mapping[FineKey, Fine], histories: Mapping[FineKey, CreditHistory]
    ) -> None:
        self._keys: dict[FineKey, dict[FineKey, None]] = {}
        self._histories = dict(histories)
        for fine in fines.values():
            if fine.facts.credit_of is not None:
                self._enter(fine)

    def note(self, effect: Effect) -> None:
        """Takes in what a transaction says of a credit."""
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
        """The credits of a fine, as they stand in `fines`."""
        named = (fines[key] for key in self._keys.get(fine.facts.key, ()))
        return [
            Credit(credit, self._histories.get(credit.facts.key, CreditHistory()))
            for credit in named
            if is_credit_of(credit, fine)
        ]

    def _enter(self, credit: Fine) -> None:
        facts = credit.facts
        assert facts.credit_of is not None
        named = FineKey(facts.institution_id, facts.credit_of)
        self._keys.setdefault(named, {})[facts.key] = None


def is_credit_of(credit: Fine, fine: Fine) -> bool:
    """Whether a credit is one of this fine: a debit of the same account that it names."""
    return (
        credit.facts.is_credit
        and credit.facts.credit_of == fine.facts.fine_id
        and credit.facts.account == fine.facts.account
        and not fine.facts.is_credit
    )


def key_of_credited(credit: Fine) -> FineKey | None:
    """Returns the key of the fine that a credit names, whether there is such a fine or not.

    Returns None if the fine is no credit, or names none.
    """
    facts = credit.facts
    if facts.credit_of is None or not facts.is_credit:
        return None
    return FineKey(facts.institution_id, facts.credit_of)


def credited(credit: Fine, fines: Mapping[FineKey, Fine]) -> Fine | None:
    """Returns the fine that a credit is one of; None if there is none."""
    key = key_of_credited(credit)
    fine = None if key is None else fines.get(key)
    return fine if fine is not None and is_credit_of(credit, fine) else None


def has_closed_on_export(fine: Fine) -> bool:
    """Whether the fine is Closed because it was exported, and its line is live."""
    return fine.status is Status.CLOSED and fine.bursar_transaction_id is not None


def closes_with_other(credited_fine: Fine | None, with_credits: Iterable[Credit]) -> bool:
    """Whether the export of a fine closes it, whatever its profile says (rows 5.18 and 5.19).

    A credit follows the fine `credited_fine` that has closed on its export. A fine of which one of
    the `with_credits` has followed an earlier export closes again while that credit's line is live.
    """
    if credited_fine is not None and has_closed_on_export(credited_fine):
        return True
    return any(
        credit.history.followed and has_closed_on_export(credit.fine) for credit in with_credits
    )
