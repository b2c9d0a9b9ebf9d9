"""Writes histories of one institution: what a library and an ERP may send, and then some.

A move is a few small numbers, so that hypothesis shrinks well. The writer turns moves into records
and asks the oracle what there is: lines that exist, amounts that just fit or just do not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from service.core.events import ExportFine
from service.core.ledger import BatchKey, FineKey, SourceKey
from service.core.payments import excess_credit_id
from service.core.terms import Terms
from service.core.words import (
    CREDIT_TYPE,
    ChangeKind,
    PaymentKind,
    ProfileCode,
    ResponseOutcome,
)
from tests.laws.credits import fine_of_credit, without_waiting
from tests.laws.pools import FINES
from tests.laws.profiles import PROFILES
from tests.laws.sums import SETTINGS, sum_for
from tests.oracle.model import Model
from tests.support.bursar import responds, says
from tests.support.given import (
    ERP,
    LOST,
    LOST_FINE,
    UNI,
    Export,
    at,
    changes,
    creates,
)
from tests.support.in_memory import Step

Move = tuple[str, int, int, int, int]  # verb, fine, identity, amount, variant


@dataclass
class Writer:
    """Writes one institution's history; `prefix` keeps two writers' identities apart."""

    institution: str = UNI
    prefix: str = ""
    first_line: int = 1001
    steps: list[Step] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    model: Model = field(default_factory=lambda: Model(settings=dict(SETTINGS)))
    batches: list[BatchKey] = field(default_factory=list)

    def write(self, move: Move) -> None:
        verb, fine, identity, amount, variant = move
        step = self._verbs()[verb](fine, identity, amount, variant)
        if step is not None:
            self.steps.append(step)
            self.outcomes.append(self.model.take(step))

    def _verbs(self) -> dict[str, Callable[[int, int, int, int], Step | None]]:
        return {
            "create": self._create,
            "change": self._change,
            "pay": self._pay(PaymentKind.PAYMENT),
            "write_off": self._pay(PaymentKind.WRITE_OFF),
            "status": self._pay(PaymentKind.STATUS),
            "sum": self._sum,
            "reverse": self._reverse,
            "export": self._export,
            "respond": self._respond,
            "repeat": self._repeat,
        }

    def _name(self, letter: str, number: int) -> str:
        return f"{self.prefix}{letter}{number}"

    def _fine_id(self, fine: int, identity: int, variant: int) -> str:
        """Mostly a fine at the bursar, or one that is known; at times one that is not."""
        known = [name for _, name in self.model.fines if self._is_mine(name)]
        exported = [name for name in known if self.model.fines[self.institution, name]["line"]]
        if variant >= 5 and exported:
            return exported[fine % len(exported)]
        if variant >= 3 and known:
            return known[fine % len(known)]
        if fine < len(FINES):
            return self._name("F", fine)
        # The credit that a payment's excess would be.
        number = len(self.model.payments) if identity > 3 else identity
        return excess_credit_id(SourceKey(self.institution, ERP, self._name("p", number)))

    def _payment(self, letter: str, identity: int) -> str:
        """At times an identity used before: a repeat, or a conflict."""
        return self._name(letter, len(self.model.payments) if identity else 0)

    def _create(self, fine: int, identity: int, amount: int, variant: int) -> Step:
        """Mostly one that is not there yet; at times the same again, or with another amount."""
        numbers = [n for n in range(len(FINES)) if not self._is_known(self._name("F", n))]
        some = numbers if numbers and variant > 1 else range(len(FINES))
        number = some[(fine + amount) % len(some)]
        patron, worth, currency, type_ = FINES[number]
        return creates(
            worth * 2 if variant == 0 else worth,
            self._name("F", number),
            patron=self.prefix + patron,
            type_=type_,
            currency=currency,
            credit_of=fine_of_credit(self.prefix, identity) if type_ == CREDIT_TYPE else None,
            loan_id=f"{self.prefix}L1" if type_ in (LOST, LOST_FINE) else None,
            institution=self.institution,
            snapshot_minute=identity,
            name=f"Doe, {identity}",
        )

    def _is_known(self, fine_id: str) -> bool:
        return (self.institution, fine_id) in self.model.fines

    def _amount(self, fine_id: str, choice: int) -> int:
        fine = self.model.fines.get((self.institution, fine_id))
        due = abs(fine["outstanding"] or fine["remaining"]) if fine else 3
        return max(1, (due, 1, due + 2, due - 1, due, due + 1)[choice])

    def _change(self, fine: int, identity: int, amount: int, variant: int) -> Step:
        kind = tuple(ChangeKind)[variant % 6]
        fine_id = self._fine_id(fine, identity, (variant * 5) % 6)
        some = self._new_amount if kind is ChangeKind.ADJUSTED else self._amount
        return changes(
            kind,
            some(fine_id, amount) if kind.has_amount else None,
            fine_id,
            change_id=self._name("c", len(self.model.changes) if identity else 0),
            currency="EUR" if variant > 5 and amount == 5 else self._currency(fine_id),
            institution=self.institution,
            minute=10 + (identity + amount) % 3,
        )

    def _new_amount(self, fine_id: str, choice: int) -> int:
        """More, less, the same, just what was paid and waived already, and just less than that."""
        fine = self.model.fines.get((self.institution, fine_id))
        if fine is None:
            return 3 + choice
        now, gone = abs(fine["amount"]), abs(fine["amount"] - fine["remaining"])
        return max(1, (now + 2, now - 1, now, gone, gone - 1, abs(fine["made"]))[choice])

    def _currency(self, fine_id: str) -> str:
        return "EUR" if fine_id == self._name("F", 4) else "USD"

    def _pay(self, kind: PaymentKind) -> Callable[[int, int, int, int], Step]:
        def write(fine: int, identity: int, amount: int, variant: int) -> Step:
            meant = self._fine_id(fine, identity, variant)
            money = kind is not PaymentKind.STATUS
            paid = self._amount(meant, amount) if money else None
            currency = "EUR" if variant == 0 else self._currency(meant)
            fine_id, line = self._references(meant, fine, 12 - variant)
            return says(
                kind,
                paid,
                fine_id,
                line=line,
                payment_id=self._payment("p", identity),
                currency=currency if money else None,
                status_code=None if money else f"status {variant}",
                institution=self.institution,
            )

        return write

    def _sum(self, fine: int, identity: int, amount: int, variant: int) -> Step:
        payment_id = self._payment("p", identity)
        return sum_for(self.model, self.institution, self.prefix, payment_id, fine, amount, variant)

    def _references(self, fine_id: str, pick: int, variant: int) -> tuple[str | None, str | None]:
        """Mostly the fine id; at times its line, another's, one that will never be or not yet."""
        lines = [name for _, name in self.model.lines]
        some = lines[pick % len(lines)] if lines else "7"
        lines_of_fine = [
            name for (_, name), row in self.model.lines.items() if row["fine"] == fine_id
        ]
        match variant:
            case 1:
                return None, lines_of_fine[-1] if lines_of_fine else "7"
            case 2:
                return None, self._next_line()
            case 3:
                return fine_id, some
            case 4:
                return fine_id, lines_of_fine[0] if lines_of_fine else "7"
            case 5:
                return None, some
            case _:
                return fine_id, None

    def _next_line(self) -> str:
        return str(self.first_line + len(self.model.lines))

    def _reverse(self, fine: int, identity: int, amount: int, variant: int) -> Step:
        original = self._original(fine, variant)
        kept = self.model.payments.get((self.institution, ERP, original))
        exact = kept["amount"] if kept else 3
        amounts = {0: exact, 1: (exact or 3) + 1, 2: 1, 3: ((exact or 3) + 1) // 2}
        named: str | None = None
        line: str | None = None
        if variant in (2, 3):
            named, line = (kept["fine"], kept["line"]) if kept else ("F0", None)
        if variant == 4:
            named, line = self._references(self._name("F", identity % 6), identity, amount)
        return says(
            PaymentKind.REVERSAL,
            amounts.get(amount),
            named,
            line=line,
            payment_id=self._payment("r", identity),
            currency="EUR" if variant == 0 else (kept and kept["currency"]) or "USD",
            reverses=original,
            status_code="storno" if variant == 1 else None,
            institution=self.institution,
        )

    def _original(self, fine: int, variant: int) -> str:
        """Mostly one that is known, a reversal too; at times the next payment."""
        payments = self.model.payments
        known = [key[2] for key in payments if key[2].startswith(self.prefix)]
        applied = [key[2] for key, row in payments.items() if row["applied"] or row["credit"]]
        if variant > 6 and applied:
            return applied[-1 - fine % len(applied)]
        if variant > 3 and known:
            return known[-1 - fine % len(known)]
        return self._name("p", len(self.model.payments) + fine % 3)

    def _export(self, fine: int, identity: int, amount: int, variant: int) -> Step | None:
        """All fines that are Active, or one of them, without the credits that wait for a fine.

        Credits come last, as in a batch of the export job.
        """
        currency = "EUR" if fine == 4 else "USD"
        exportable = self.model.exportable(self.institution, currency)
        mine = [name for name in exportable if self._is_mine(name)]
        chosen = mine if amount > 1 else mine[identity % len(mine) :][:1] if mine else []
        terms = self._terms(variant)
        chosen = without_waiting(self.model, self.institution, chosen, terms)
        if not chosen:
            return None
        batch = BatchKey(self.institution, terms.profile, len(self.batches) + 1)
        self.batches.append(batch)
        first = int(self._next_line())
        fines = (
            ExportFine(FineKey(self.institution, name), batch, str(first + n), terms, at(20))
            for n, name in enumerate(chosen)
        )
        return Export(batch, currency, tuple(fines))

    def _terms(self, variant: int) -> Terms:
        # A quarter more each by the default profile and the one that holds: money moves under them.
        terms = PROFILES[variant] if variant < len(PROFILES) else PROFILES[variant % 2 * 3]
        return replace(terms, profile=ProfileCode(self.prefix + terms.profile))

    def _is_mine(self, fine_id: str) -> bool:
        account = self.model.fines[self.institution, fine_id]["account"]
        return account[1].startswith(self.prefix)

    def _respond(self, fine: int, identity: int, amount: int, variant: int) -> Step | None:
        if not self.batches and variant:
            return None
        unknown = BatchKey(self.institution, f"{self.prefix}BOTH", 99)
        batch = self.batches[-1 - fine % len(self.batches)] if self.batches else unknown
        batch = unknown if variant == 0 else batch
        lines = [name for (_, name), row in self.model.lines.items() if row["batch"] == batch]
        partial = amount in (1, 2, 3) and bool(lines)
        refused = [lines[variant % len(lines)]] if partial else []
        if partial and amount == 3:
            refused = list(dict.fromkeys((*refused, lines[0])))
        if partial and variant == 1:
            refused = [*refused, "7"]
        whole = ResponseOutcome.ACCEPTED if amount == 0 else ResponseOutcome.REFUSED
        return responds(
            ResponseOutcome.PARTIAL if partial else whole,
            *refused,
            batch=batch.batch_number,
            profile=batch.profile,
            response_id=self._name("a", len(self.model.responses) if identity else 0),
            reason=None if partial else "file unreadable",
            institution=self.institution,
        )

    def _repeat(self, fine: int, identity: int, amount: int, variant: int) -> Step | None:
        del fine, amount
        records = [step for step in self.steps if not isinstance(step, Export)]
        return records[-1 - (identity * 12 + variant) % len(records)] if records else None
