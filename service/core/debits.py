"""The fines that a bursar's payment without a fine or line may pay, in the order in which they were
exported.
"""

from collections.abc import Mapping

from .changes import ChangeTracker
from .ledger import AccountKey, Fine, FineKey, LineKey
from .outcomes import Effect
from .words import Status


class Debits:
    """The transferred fines of accounts, without credits, while the events of one commit are
    decided.

    `export_numbers` has the export number of the batch of each export line in force that was read.
    An export line that is not in `export_numbers` belongs to the batch that this commit exports,
    which has the latest number.
    """

    def __init__(
        self, fines: ChangeTracker[FineKey, Fine], export_numbers: Mapping[LineKey, int]
    ) -> None:
        self._fines = fines
        self._export_numbers = export_numbers
        self._fines_of: dict[AccountKey, dict[FineKey, None]] = {}
        self._owing_again: dict[AccountKey, None] = {}

    def note(self, effect: Effect) -> None:
        """Notes a transaction that changes the transferred balance of an account."""
        facts = effect.fine.facts
        if effect.transferred > 0 and not facts.is_credit:
            self._owing_again[facts.account] = None
        if self._fines_of:
            self._fines_of.setdefault(facts.account, {})[facts.key] = None

    def try_sums_of(self, account: AccountKey) -> None:
        """Marks an account, so that its parked payments without a fine or line are tried again even
        if no fine has become outstanding: they may have waited for an adopted line.
        """
        self._owing_again[account] = None

    def take_owing_again(self) -> list[AccountKey]:
        """Returns the accounts in which a fine has become outstanding since the last call, and
        those that `try_sums_of` has marked.
        """
        if not self._owing_again:
            return []
        accounts, self._owing_again = list(self._owing_again), {}
        return accounts

    def outstanding(self, account: AccountKey) -> list[Fine]:
        """Returns the fines of an account of which something is owed at the bursar, in the order of
        their export.
        """
        return [fine for fine in self._transferred(account) if fine.outstanding]

    def latest(self, account: AccountKey) -> Fine | None:
        """Returns the transferred fine of an account that was exported last, whether it is paid or
        not; None if there is none.
        """
        return next(reversed(self._transferred(account)), None)

    def _transferred(self, account: AccountKey) -> list[Fine]:
        if not self._fines_of:
            for fine in self._fines.now.values():
                self._fines_of.setdefault(fine.facts.account, {})[fine.facts.key] = None
        fines = (self._fines[key] for key in self._fines_of.get(account, ()))
        debits = [f for f in fines if f.status is Status.TRANSFERRED and not f.facts.is_credit]
        return sorted(debits, key=self._place_of_export)

    def _place_of_export(self, fine: Fine) -> tuple[bool, int, int]:
        assert fine.bursar_transaction_id is not None
        key = LineKey(fine.facts.institution_id, fine.bursar_transaction_id)
        number = self._export_numbers.get(key)
        return number is None, number or 0, int(fine.bursar_transaction_id)
