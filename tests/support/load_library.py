"""What the library sends in the mixed load: fines, credits of fines, and changes of both."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.core.after_export import change_credit_id
from service.core.ledger import SourceKey
from tests.oracle.records import Data
from tests.oracle.tables import FineId
from tests.support import inputs
from tests.support.load_fines import ExportedFine, patron_of
from tests.support.load_records import Records
from tests.support.load_rules import CREDIT, CURRENCIES, TYPES, money

PATRONS = 2_000
CHANGES = ("paid", "waived", "adjusted", "cancelled", "disputed", "restored")
WEIGHTS = (70, 10, 10, 7, 3)


@dataclass(slots=True)
class LibraryRecords(Records):
    """Makes the records of the library; `_facts` has all fines that it has made."""

    _facts: dict[FineId, Data] = field(default_factory=dict)

    def _new_fine(
        self, institution: str | None = None, kind: str | None = None, patron: str | None = None
    ) -> Data:
        random = self.random
        institution = institution or random.choice(list(CURRENCIES))
        kind = kind or random.choices(TYPES, WEIGHTS)[0]
        patron = patron or f"P-{random.randrange(PATRONS)}"
        return self._create(institution, kind, patron, random.randint(100, 20_000), {})

    def _credit_of(self, fine: Data, amount: int, patron: str | None = None) -> Data:
        """A credit that names the fine; it means nothing to the fine if its patron is another."""
        patron = patron or str(fine["patron"]["patron_id"])
        named = {"credit_of": fine["fine_id"]}
        return self._create(str(fine["institution_id"]), CREDIT, patron, amount, named)

    def _create(
        self, institution: str, kind: str, patron: str, amount: int, more: dict[str, object]
    ) -> Data:
        number = self._next()
        data = inputs.fine_created(
            institution_id=institution,
            fine_id=f"F-{number}",
            patron=patron_of(patron),
            type=kind,
            amount=money(-amount if kind == CREDIT else amount, institution),
            currency=CURRENCIES[institution],
            loan_id=f"L-{number}",
            **more,
        )
        self._facts[(institution, f"F-{number}")] = data
        at = self.random.random()
        self._put(at, "fine-created.v1", f"F-{number}", data)
        self._again(at, "fine-created.v1", f"F-{number}", data)
        return data

    def _change(self, fine: Data) -> None:
        """One or two changes, of instants that may be equal, or late."""
        for _ in range(self.random.choice((1, 1, 2))):
            kind = self.random.choice(CHANGES)
            has_money = kind in ("paid", "waived", "adjusted")
            self._change_by(fine, kind, self._part(fine, 1.1) if has_money else inputs.ABSENT)

    def _change_by(self, fine: Data, kind: str, amount: object) -> Data:
        data = inputs.fine_changed(
            institution_id=fine["institution_id"],
            change_id=f"C-{self._next()}",
            fine_id=fine["fine_id"],
            kind=kind,
            amount=amount,
            currency=inputs.ABSENT if amount is inputs.ABSENT else fine["currency"],
            changed_at=f"2026-09-02T10:0{self.random.randrange(3)}:00Z",
        )
        at, place = self.random.random(), str(fine["fine_id"])
        self._put(at, "fine-changed.v1", place, data)
        self._again(at, "fine-changed.v1", place, data)
        return data

    def _pays_in_library(self, fine: ExportedFine) -> None:
        """Paid, waived and credited in the library after the export.

        All of it fits in whatever order it comes, or is too much in any order.
        """
        facts, left, institution = fine.facts, fine.creditable, fine.name[0]
        self._change_by(facts, "waived", money(max(left, 0) + 1, institution))
        if left < 12:
            return
        if self.random.random() < 0.5:
            self._credit_of(facts, left // 4)
        self._change_by(facts, "waived", money(left // 4, institution))
        paid = self._change_by(facts, "paid", money(left // 3, institution))
        if self.random.random() < 0.5:
            self._change_credit(paid, left // 3)

    def _change_credit(self, paid: Data, amount: int) -> None:
        """A change of the credit that a payment in the library makes; it may come before it."""
        institution = str(paid["institution_id"])
        key = SourceKey(institution, str(paid["source"]), str(paid["change_id"]))
        credit = {**paid, "fine_id": change_credit_id(key)}
        kind = self.random.choice(("paid", "waived", "cancelled", "disputed"))
        has_money = kind in ("paid", "waived")
        part = self.random.randint(1, amount)
        self._change_by(credit, kind, money(part, institution) if has_money else inputs.ABSENT)
