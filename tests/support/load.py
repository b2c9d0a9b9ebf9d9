"""A mixed load whose end does not depend on how partitions interleave, for any number of processes.

What belongs to one fine lies in one partition of each topic, in order; copies and conflicts come
after their original. Between topics nothing hangs on luck: a payment waits for its fine, a change
closes it or does not. There is an export behind each half, when all of it is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import FineId
from tests.support import inputs
from tests.support.load_events import Event
from tests.support.load_fines import ExportedFine, exported_fine, left_of
from tests.support.load_library import PATRONS, LibraryRecords
from tests.support.load_rules import CURRENCIES, OVERDUE, minor, money

SOURCE = "ERP"


@dataclass(slots=True)
class Load(LibraryRecords):
    """Makes both halves; the second knows from the model what was exported in between."""

    _sums: list[tuple[Data, ...]] = field(default_factory=list)

    def first_half(self, count: int) -> list[Event]:
        """Fines, what the library changes, and payments that come too early."""
        while len(self._made) < count:
            if self.random.random() < 0.03:
                self._fines_for_a_sum()
            data = self._new_fine()
            if self.random.random() < 0.15:
                self._change(data)
            if self.random.random() < 0.15:
                self._early_payments(data)
            if self.random.random() < 0.1:
                self._credit_that_names(data)
            self._bad_now_and_then()
        return self._sorted()

    def _credit_that_names(self, fine: Data) -> None:
        """Of the fine, or of a patron who does not owe it; at times it is changed or paid early."""
        amount = abs(minor(str(fine["amount"]), str(fine["institution_id"])))
        other = None if self.random.random() < 0.8 else f"P-{self.random.randrange(PATRONS)}"
        credit = self._credit_of(fine, self.random.randint(1, amount), other)
        if self.random.random() < 0.2:
            self._change(credit)
        if self.random.random() < 0.2:
            self._early_payments(credit)

    def second_half(self, count: int, model: Model, batches: Mapping[FineId, Data]) -> list[Event]:
        """Payments in every way there is, refused lines, and new fines. `batches`: manifests."""
        exported = [
            exported_fine(model, name, line, self._facts[name])
            for name, line in sorted(model.live_lines().items())
            if name in self._facts  # credits that the service has made are left alone
        ]
        of_sums = {str(fine["fine_id"]) for fines in self._sums for fine in fines}
        exported = [fine for fine in exported if fine.name[1] not in of_sums]
        self.random.shuffle(exported)
        for fines in self._sums:
            self._pay_sum(fines)
        accepted = {
            (b["institution_id"], b["profile"], b["batch_number"]): b for b in batches.values()
        }
        for batch in accepted.values():
            self._respond(batch, ())
        families: set[FineId] = set()  # a fine and its credit are not refused by two answers
        for _ in range(max(1, count // 200)):
            fine = exported.pop()
            if fine.family not in families:
                self._respond(batches[fine.name], (str(fine.line),))
            families.add(fine.family)
        scenes: list[Callable[[ExportedFine], None]] = [
            self._pays_in_full,
            self._pays_twice,
            self._pays_too_much,
            self._writes_off,
            self._reverses,
            self._confuses,
            self._pays_in_library,
        ]
        while len(self._made) < count:
            if exported:
                self.random.choice(scenes)(exported.pop())
            else:
                self._change(self._new_fine())
            if self.random.random() < 0.1:
                self._early_payments(self._new_fine())
            self._bad_now_and_then()
        return self._sorted()

    # Sums that name a patron alone. Which fines they pay depends on the order in which all records
    # of the patron come, so such a patron has one sum in each half and nothing else.

    def _fines_for_a_sum(self) -> None:
        institution = self.random.choice(list(CURRENCIES))
        patron_id = f"P-SUM-{self._next()}"
        fines = tuple(
            self._new_fine(institution, OVERDUE, patron_id)
            for _ in range(self.random.choice((1, 2, 3)))
        )
        self._sums.append(fines)
        if self.random.random() < 0.4:
            self._pay_sum(fines)

    def _pay_sum(self, fines: Sequence[Data]) -> None:
        """Less than all fines, all of them or more; at times of a patron who is not known."""
        institution, patron = str(fines[0]["institution_id"]), fines[0]["patron"]
        total = sum(minor(str(fine["amount"]), institution) for fine in fines)
        amount = max(1, int(total * self.random.choice((0.3, 0.8, 1, 1.2))))
        patron_id = patron["patron_id"] if self.random.random() < 0.9 else f"N-{self._next()}"
        paid = self._pay(
            {**fines[0], "fine_id": patron_id},
            self.random.random(),
            {"patron_id": patron_id},
            money(amount, institution),
        )
        if self.random.random() < 0.3:
            self._reverse(paid, self.random.random(), str(patron_id))

    def _early_payments(self, fine: Data) -> None:
        for _ in range(self.random.choice((1, 1, 2))):
            amount = self._part(fine, 1.2)
            paid = self._pay(fine, self.random.random(), {"fine_id": fine["fine_id"]}, amount)
            if self.random.random() < 0.2:
                self._reverse(paid, self.random.random(), str(fine["fine_id"]))

    # The bursar

    def _pays_in_full(self, fine: ExportedFine) -> None:
        self._pay(fine.facts, self.random.random(), self._reference(fine), left_of(fine))

    def _pays_twice(self, fine: ExportedFine) -> None:
        facts, at = fine.facts, sorted(self.random.random() for _ in range(2))
        self._pay(facts, at[0], self._reference(fine), self._part(facts, 0.6))
        self._pay(facts, at[1], self._reference(fine), self._part(facts, 0.6))

    def _pays_too_much(self, fine: ExportedFine) -> None:
        facts, at = fine.facts, self.random.random() / 2
        more = money(fine.outstanding + self.random.randint(1, 500), fine.name[0])
        paid = self._pay(facts, at, self._reference(fine), more)
        if self.random.random() < 0.5:
            self._reverse(paid, self.random.random(), fine.name[1])

    def _writes_off(self, fine: ExportedFine) -> None:
        facts = fine.facts
        amount = self._part(facts, 1.2)
        kind = {"kind": "write_off"}
        self._pay(facts, self.random.random(), {**self._reference(fine), **kind}, amount)
        status = {"kind": "status", "status_code": "invoiced", "currency": inputs.ABSENT}
        self._pay(facts, self.random.random(), {**self._reference(fine), **status}, inputs.ABSENT)

    def _reverses(self, fine: ExportedFine) -> None:
        """Sometimes before the payment, sometimes twice, sometimes a reversal."""
        facts, at = fine.facts, self.random.random() / 2
        paid = self._pay(facts, at, self._reference(fine), self._part(facts, 1))
        back = self._reverse(paid, self.random.random(), fine.name[1])
        if self.random.random() < 0.2:
            self._reverse(self.random.choice((paid, back)), self.random.random(), fine.name[1])
        if self.random.random() < 0.5:
            self._pay(facts, self.random.random(), self._reference(fine), left_of(fine))

    def _confuses(self, fine: ExportedFine) -> None:
        """Unknown lines, fines that never come, another currency, a change that comes too late."""
        facts, at = fine.facts, self.random.random()
        amount = self._part(facts, 1)
        match self.random.randrange(5):
            case 0:
                self._pay(
                    facts, at, {"bursar_transaction_id": "7", "fine_id": inputs.ABSENT}, amount
                )
            case 1:
                self._pay(facts, at, {"fine_id": f"NEVER-{self._next()}"}, amount)
            case 2:
                other = {"bursar_transaction_id": fine.line, "fine_id": "ANOTHER"}
                self._pay(facts, at, other, amount)
            case 3:
                self._pay(facts, at, {**self._reference(fine), "currency": "KWD"}, "1")
            case _:
                self._change(facts)

    def _respond(self, batch: Data, refused: Sequence[str]) -> None:
        lines = [{"bursar_transaction_id": line, "reason": "no such student"} for line in refused]
        data = inputs.export_response(
            institution_id=batch["institution_id"],
            profile=batch["profile"],
            batch_number=batch["batch_number"],
            response_id=f"R-{self._next()}",
            outcome="partial" if lines else "accepted",
            refused_lines=lines or inputs.ABSENT,
            control={"count": batch["count"], "total": batch["total"]},
        )
        at, place = self.random.random(), str(data["response_id"])
        self._put(at, "export-response.v1", place, data)
        self._again(at, "export-response.v1", place, data)

    def _pay(self, fine: Data, at: float, members: Data, amount: object) -> Data:
        named = {"fine_id": inputs.ABSENT, "currency": fine["currency"], **members}
        data = inputs.bursar_payment(
            institution_id=fine["institution_id"],
            source=SOURCE,
            payment_id=f"PAY-{self._next()}",
            amount=amount,
            **named,
        )
        self._put(at, "bursar-payment.v1", str(fine["fine_id"]), data)
        self._again(at, "bursar-payment.v1", str(fine["fine_id"]), data)
        return data

    def _reverse(self, paid: Data, at: float, place: str) -> Data:
        """What is left of a payment, or a part of it, which may be more than what is left."""
        part: Data = {"amount": inputs.ABSENT, "currency": inputs.ABSENT}
        if "amount" in paid and self.random.random() < 0.4:
            part = {"amount": self._part(paid, 1.1), "currency": paid["currency"]}
        data = inputs.bursar_payment(
            institution_id=paid["institution_id"],
            source=SOURCE,
            payment_id=f"PAY-{self._next()}",
            kind="reversal",
            reverses_payment_id=paid["payment_id"],
            fine_id=inputs.ABSENT,
            **part,
        )
        self._put(at, "bursar-payment.v1", place, data)
        self._again(at, "bursar-payment.v1", place, data)
        return data

    def _reference(self, fine: ExportedFine) -> dict[str, object]:
        """By the bursar's id, by the library's, or both."""
        both = {"fine_id": fine.name[1], "bursar_transaction_id": fine.line}
        dropped = self.random.choice(("fine_id", "bursar_transaction_id", None))
        return {name: value for name, value in both.items() if name != dropped}
