"""Terms: the settings of an export profile that decide what becomes of a fine after its export
(rules.md, 2 to 5).
"""

from .frozen import dataclass
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
    """The settings of an export profile that a fine keeps from its export on.

    If the profile is changed later, fines that were exported before keep the old settings.
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
        """Returns the text that people see for a ledger transaction of this kind."""
        return dict(self.labels).get(kind, DEFAULT_LABELS[kind])

    def excess_max(self, outstanding: int, currency: str) -> int:
        """Returns the largest excess of a payment, in minor units, that becomes a credit without an
        operator's decision.

        `outstanding` is what the patron owed at the bursar for the fine before the payment, in
        minor units. If the profile sets no maximum, the largest excess is ten times `outstanding`
        or 100 whole units of the currency, whichever is more.
        """
        if self.overpayment_max is not None:
            return self.overpayment_max
        return max(OUTSTANDING_TIMES * abs(outstanding), whole_units(WHOLE_UNITS, currency))
