"""What the balances must be: dictionaries and sums, none of the service's code."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from demo.scene import College, Fine, Patron

ZERO = Decimal(0)
Balance = tuple[Decimal, Decimal]  # active, transferred


class Expected:
    """Follows the same story; `events` counts the balance-changed events it must have caused."""

    def __init__(self) -> None:
        self.active: dict[Patron, Decimal] = {}
        self.transferred: dict[Patron, Decimal] = {}
        self.open: dict[str, Fine] = {}
        self.at_bursar: dict[str, Decimal] = {}
        self.patron_of: dict[str, Patron] = {}
        self.early: dict[str, Decimal] = {}
        self.loans: set[str] = set()
        self.events = 0

    def balances(self) -> dict[Patron, Balance]:
        """What each patron owes, as the active and the transferred amount."""
        return {patron: (self.active[patron], self.transferred[patron]) for patron in self.active}

    def created(self, fine: Fine) -> None:
        """Adds a new fine to what its patron owes."""
        self.open[fine.fine_id] = fine
        self.patron_of[fine.fine_id] = fine.patron
        self._move(fine.patron, fine.value, ZERO)

    def adjusted(self, fine_id: str, amount: Decimal) -> None:
        """The library gives an open fine of which nothing is paid another amount."""
        fine = self.open[fine_id]
        self.open[fine_id] = replace(fine, amount=str(amount))
        self._move(fine.patron, amount - fine.value, ZERO)

    def exported(self, college: College) -> None:
        """All of an institution's open fines; a lost one closes, another stays if money returns."""
        for fine in [f for f in self.open.values() if f.patron.college == college]:
            del self.open[fine.fine_id]
            stays = college.imports and not fine.is_lost
            self._move(fine.patron, -fine.value, fine.value if stays else ZERO)
            if stays:
                self.at_bursar[fine.fine_id] = fine.value
            if fine.loan_id is not None:
                self.loans.add(fine.loan_id)
            if fine.fine_id in self.early:
                self.paid(fine.fine_id, self.early.pop(fine.fine_id))

    def paid(self, fine_id: str, amount: Decimal) -> None:
        """A payment settles what is owed at the bursar; its excess becomes a credit."""
        patron = self.patron_of[fine_id]
        fits = min(amount, self.at_bursar[fine_id])
        self.at_bursar[fine_id] -= fits
        self._move(patron, ZERO, -fits)
        if excess := amount - fits:
            self.created(Fine(patron, f"excess of {fine_id}", "CREDIT", str(-excess)))

    def charged_back(self, fine_id: str, amount: Decimal) -> None:
        """A part of a payment is taken back, and is owed at the bursar again."""
        self.at_bursar[fine_id] += amount
        self._move(self.patron_of[fine_id], ZERO, amount)

    def paid_early(self, fine_id: str, amount: Decimal) -> None:
        """A payment comes before the export of its fine, and has to wait for it."""
        self.early[fine_id] = amount

    def _move(self, patron: Patron, active: Decimal, transferred: Decimal) -> None:
        self.active[patron] = self.active.get(patron, ZERO) + active
        self.transferred[patron] = self.transferred.get(patron, ZERO) + transferred
        self.events += 1
