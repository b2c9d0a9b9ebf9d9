"""The part of a profile that decides what becomes of an exported fine (rules.md, 2 to 5)."""

from dataclasses import dataclass

from .money import whole_units
from .words import (
    DEFAULT_LABELS,
    ImportCredits,
    Kind,
    LibraryPayments,
    LostRule,
    Mode,
    Overpayment,
    ProfileCode,
    RefusedRule,
)

# The default of a profile's `overpayment_max`.
OUTSTANDING_TIMES = 10
WHOLE_UNITS = 100

DEFAULT_LOST_TYPES = frozenset({"LOSTITEMREPLACEMENTFEE", "LOSTITEMFINE"})


@dataclass(frozen=True, slots=True)
class Terms:
    """The part of a profile that a fine keeps from its export on.

    A later change of the profile does not reinterpret fines that were exported before.
    """

    profile: ProfileCode
    mode: Mode
    lost: LostRule = LostRule.CLOSE
    lost_types: frozenset[str] = DEFAULT_LOST_TYPES
    close_paid_lost_loan: bool = False
    overpayment: Overpayment = Overpayment.CREDIT
    refused: RefusedRule = RefusedRule.HOLD
    labels: tuple[tuple[Kind, str], ...] = ()
    overpayment_max: int | None = None  # of an excess, in minor units; None: the default
    library_payments: LibraryPayments = LibraryPayments.REJECT
    import_credits: ImportCredits = ImportCredits.CONFIRM

    def label(self, kind: Kind) -> str:
        """The text of a transaction of this kind for people."""
        return dict(self.labels).get(kind, DEFAULT_LABELS[kind])

    def excess_max(self, outstanding: int, currency: str) -> int:
        """The largest excess that becomes a credit without a person's decision, in minor units.

        `outstanding` is what was owed at the bursar before the payment. The default is the larger
        of ten times that and 100 whole units of the currency.
        """
        if self.overpayment_max is not None:
            return self.overpayment_max
        return max(OUTSTANDING_TIMES * abs(outstanding), whole_units(WHOLE_UNITS, currency))
