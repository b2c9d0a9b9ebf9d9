"""A mixed load whose end does not depend on how partitions interleave, for any number of processes.

What belongs to one fine lies in one partition of each topic, in order; copies and conflicts come
after their original. Between topics nothing hangs on luck: a payment waits for its fine, a change
closes it or does not. Between the halves there is one export, when all of the first is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import FineId
from tests.support import inputs
from tests.support.load_events import BAD, Event
from tests.support.load_rules import CREDIT, CURRENCIES, TYPES, minor, money
from tests.support.respelled import respelled

PATRONS = 2_000
SOURCE = "ERP"
CHANGES = ("paid", "waived", "adjusted", "cancelled", "disputed", "restored")
WEIGHTS = (70, 10, 10, 7, 3)


@dataclass(frozen=True, slots=True)
class ExportedFine:
    """A fine with a live line: what it owed at the bursar after its export, in minor units."""

    name: FineId
    line: str
    outstanding: int
    facts: Data


@dataclass(slots=True)
class Load:
    """Makes both halves; the second knows from the model what was exported in between."""

    random: Random
    _made: list[tuple[float, Event]] = field(default_factory=list)
    _facts: dict[FineId, Data] = field(default_factory=dict)
    _number: int = 0

    def first_half(self, count: int) -> list[Event]:
        """Fines, what the library changes, and payments that come too early."""
        while len(self._made) < count:
            data = self._new_fine()
            if self.random.random() < 0.15:
                self._change(data)
            if self.random.random() < 0.15:
                self._early_payments(data)
            self._bad_now_and_then()
        return self._sorted()

    def second_half(self, count: int, model: Model, batches: Mapping[FineId, Data]) -> list[Event]:
        """Payments in every way there is, refused lines, and new fines. `batches`: manifests."""
        exported = [
            ExportedFine(name, line, abs(model.fines[name]["outstanding"]), self._facts[name])
            for name, line in sorted(model.live_lines().items())
        ]
        self.random.shuffle(exported)
        accepted = {
            (b["institution_id"], b["profile"], b["batch_number"]): b for b in batches.values()
        }
        for batch in accepted.values():
            self._respond(batch, ())
        for _ in range(max(1, count // 200)):
            fine = exported.pop()
            self._respond(batches[fine.name], (str(fine.line),))
        scenes: list[Callable[[ExportedFine], None]] = [
            self._pays_in_full,
            self._pays_twice,
            self._pays_too_much,
            self._writes_off,
            self._reverses,
            self._confuses,
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

    # Fines and changes

    def _new_fine(self) -> Data:
        random, number = self.random, self._next()
        institution = random.choice(list(CURRENCIES))
        kind = random.choices(TYPES, WEIGHTS)[0]
        amount = random.randint(100, 20_000)
        data = inputs.fine_created(
            institution_id=institution,
            fine_id=f"F-{number}",
            patron=_patron(f"P-{random.randrange(PATRONS)}"),
            type=kind,
            amount=money(-amount if kind == CREDIT else amount, institution),
            currency=CURRENCIES[institution],
            loan_id=f"L-{number}",
        )
        self._facts[(institution, f"F-{number}")] = data
        at = random.random()
        self._put(at, "fine-created.v1", f"F-{number}", data)
        self._again(at, "fine-created.v1", f"F-{number}", data)
        return data

    def _change(self, fine: Data) -> None:
        for _ in range(self.random.choice((1, 1, 2))):
            kind = self.random.choice(CHANGES)
            has_money = kind in ("paid", "waived", "adjusted")
            data = inputs.fine_changed(
                institution_id=fine["institution_id"],
                change_id=f"C-{self._next()}",
                fine_id=fine["fine_id"],
                kind=kind,
                amount=self._part(fine, 1.1) if has_money else inputs.ABSENT,
                currency=fine["currency"] if has_money else inputs.ABSENT,
                changed_at=f"2026-09-02T10:0{self.random.randrange(3)}:00Z",
            )
            at = self.random.random()
            self._put(at, "fine-changed.v1", str(fine["fine_id"]), data)
            self._again(at, "fine-changed.v1", str(fine["fine_id"]), data)

    def _early_payments(self, fine: Data) -> None:
        for _ in range(self.random.choice((1, 1, 2))):
            amount = self._part(fine, 1.2)
            paid = self._pay(fine, self.random.random(), {"fine_id": fine["fine_id"]}, amount)
            if self.random.random() < 0.2:
                self._reverse(paid, self.random.random(), str(fine["fine_id"]))

    # The bursar

    def _pays_in_full(self, fine: ExportedFine) -> None:
        self._pay(fine.facts, self.random.random(), self._reference(fine), _left(fine))

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
            self._pay(facts, self.random.random(), self._reference(fine), _left(fine))

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

    # Records

    def _again(self, at: float, contract: str, place: str, data: Data) -> None:
        """The same again, written otherwise, or other content under the same identity, some time
        later.
        """
        later = self.random.uniform(at, 1)
        chance = self.random.random()
        if chance < 0.05:
            self._put(later, contract, place, respelled(self.random, data))
        elif chance < 0.06:
            member = "responded_at" if contract == "export-response.v1" else "comment"
            other = {**data, member: "2026-09-09T09:09:09Z"}
            self._put(later, contract, place, other)

    def _bad_now_and_then(self) -> None:
        if self.random.random() < 0.015:
            contract, value, reason = self.random.choice(BAD)
            place = f"bad {self._next()}"
            self._made.append((self.random.random(), Event(contract, place, None, value, reason)))

    def _put(self, at: float, contract: str, place: str, data: Data) -> None:
        self._made.append((at, Event(contract, place, data, inputs.value_of(data))))

    def _sorted(self) -> list[Event]:
        """Equal times do not happen; the order of making is not the order of time."""
        made = [event for _, event in sorted(self._made, key=lambda pair: pair[0])]
        self._made = []
        return made

    def _part(self, fine: Data, most: float) -> str:
        amount = abs(minor(str(fine["amount"]), str(fine["institution_id"])))
        part = max(1, int(amount * self.random.uniform(0.1, most)))
        return money(part, str(fine["institution_id"]))

    def _next(self) -> int:
        self._number += 1
        return self._number


def _patron(patron_id: str) -> dict[str, object]:
    return {
        "patron_id": patron_id,
        "name": "Doe, Jane",
        "user_group": "STUDENT",
        "identifiers": [{"type": "02", "value": f"A{patron_id}"}],
    }


def _left(fine: ExportedFine) -> str:
    return money(fine.outstanding or 1, fine.name[0])
