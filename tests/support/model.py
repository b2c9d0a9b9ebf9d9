"""A second reading of rules.md, sharing no code with the service: what must come out of a load.

It takes events one after the other, in plain JSON values, and knows balances, counts of
transactions, rejected records by reason and parked ones by what they wait for. Selection is by type
alone: whoever loads it uses profiles without other conditions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Data = Mapping[str, Any]
AccountName = tuple[str, str, str]  # institution, patron, currency
FineName = tuple[str, str]
Name = tuple[str, str, str]  # institution, source, id

DECIMALS = {"USD": 2, "EUR": 2, "JPY": 0}
SNAPSHOT = ("name", "user_group", "identifiers")


@dataclass(frozen=True)
class Rules:
    """A profile, as far as it decides what becomes of an exported fine."""

    profile: str
    types: frozenset[str]
    imports: bool = True
    lost: frozenset[str] = frozenset()
    overpayment: str = "credit"
    overpayment_max: int | None = None  # minor units


@dataclass
class ModelFine:
    name: FineName
    account: AccountName
    content: Data
    amount: int
    remaining: int
    outstanding: int = 0
    status: str = "Active"
    line: str | None = None
    rules: Rules | None = None
    live_payments: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in ("Active", "In dispute")

    def owed(self) -> int:
        return abs(self.outstanding)

    def toward(self, amount: int) -> int:
        """Signed, towards zero: the other way for a credit."""
        return -amount if self.amount > 0 else amount


@dataclass
class ModelPayment:
    content: Data
    state: str
    fine: FineName | None = None
    applied: int = 0
    credit: FineName | None = None
    reversed: bool = False


@dataclass
class ModelAccount:
    active: int = 0
    transferred: int = 0
    transactions: int = 0


@dataclass
class Waiting:
    wait: str
    contract: str
    content: Data
    arrival: int
    fine: FineName | None
    behind: Name | None


class _Rejected(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Parked(Exception):
    def __init__(self, wait: str, fine: FineName | None, behind: Name | None = None) -> None:
        super().__init__(wait)
        self.wait, self.fine, self.behind = wait, fine, behind


@dataclass
class Model:
    accounts: dict[AccountName, ModelAccount] = field(default_factory=dict)
    fines: dict[FineName, ModelFine] = field(default_factory=dict)
    payments: dict[Name, ModelPayment] = field(default_factory=dict)
    changes: dict[Name, tuple[Data, str]] = field(default_factory=dict)
    answers: dict[Name, Data] = field(default_factory=dict)
    waiting: dict[Name, Waiting] = field(default_factory=dict)
    lines: dict[tuple[str, str], FineName] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    _arrivals: int = 0
    _of_fine: dict[FineName, dict[Name, None]] = field(default_factory=dict)
    _of_payment: dict[Name, dict[Name, None]] = field(default_factory=dict)
    _reduced: dict[FineName, int] = field(default_factory=dict)

    def parked(self) -> Counter[str]:
        return Counter(item.wait for item in self.waiting.values())

    def live_lines(self) -> dict[FineName, str]:
        return {name: fine.line for name, fine in self.fines.items() if fine.line is not None}

    def take(self, contract: str, data: Data) -> None:
        if contract == "fine-created.v1":
            self._create(data)
        elif contract == "export-response.v1":
            self._answer(data)
        else:
            self._take_waitable(contract, data)

    # Fines

    def _create(self, data: Data) -> None:
        name = (data["institution_id"], data["fine_id"])
        content = _content_of_fine(data)
        known = self.fines.get(name)
        if known is not None:
            if known.content == content:
                self.repeats += 1
            else:
                self.rejected["fine_conflict"] += 1
            return
        amount = minor(data["amount"], data["currency"])
        account = (name[0], data["patron"]["patron_id"], data["currency"])
        self.fines[name] = ModelFine(name, account, content, amount, amount)
        self._post(account, amount, 0)
        self._settle({name})

    def export(self, rules: Mapping[str, tuple[Rules, ...]]) -> list[FineName]:
        """Every active fine that a profile of its institution claims; lines come afterwards."""
        due = [
            (fine, own)
            for name, fine in sorted(self.fines.items())
            if fine.status == "Active"
            for own in rules[name[0]]
            if fine.content["type"] in own.types
        ]
        for fine, own in due:
            closes = not own.imports or fine.content["type"] in own.lost
            left = fine.remaining
            fine.rules, fine.remaining = own, 0
            fine.line = "not known yet"
            fine.status = "Closed" if closes else "Transferred"
            fine.outstanding = 0 if closes else left
            self._post(fine.account, -left, fine.outstanding)
            self._settle({fine.name})
        return [fine.name for fine, _ in due]

    def learn_line(self, institution: str, line: str, fine_id: str) -> None:
        """What the manifest says: the bursar's id of an exported fine."""
        fine = self.fines[(institution, fine_id)]
        assert fine.line == "not known yet", "no second live line"
        fine.line = line
        self.lines[(institution, line)] = fine.name

    def _answer(self, data: Data) -> None:
        """Only partial refusals; those of a whole batch are the sum of theirs."""
        name = (data["institution_id"], data["source"], data["response_id"])
        if name in self.answers:
            if self.answers[name] == data:
                self.repeats += 1
            else:
                self.rejected["response_conflict"] += 1
            return
        self.answers[name] = data
        named = [each["bursar_transaction_id"] for each in data.get("refused_lines", ())]
        fines = [self.fines[self.lines[(name[0], line)]] for line in named]
        if any(fine.line != line for fine, line in zip(fines, named, strict=True)):
            self.rejected["not_live"] += 1
        elif any(fine.live_payments for fine in fines):
            self.rejected["already_paid"] += 1
        else:
            for fine in fines:
                self._take_back(fine)

    def _take_back(self, fine: ModelFine) -> None:
        """Whole: nothing was paid on it, so what was exported is what a closed one had, too."""
        exported = fine.amount - self._reduced.get(fine.name, 0)
        self._post(fine.account, exported, -fine.outstanding)
        fine.remaining, fine.outstanding = exported, 0
        fine.status, fine.line = "Active", None

    # What may wait

    def _take_waitable(self, contract: str, data: Data) -> None:
        name = _name(contract, data)
        known = self._known(contract, name)
        if known is not None:
            if known == data:
                self.repeats += 1
            else:
                is_change = contract == "fine-changed.v1"
                self.rejected["change_conflict" if is_change else "payment_conflict"] += 1
            return
        fine = self._meant(data)
        if fine is not None:
            self._settle({fine})
        touched = self._decide(contract, data)
        self._settle({*touched, *({fine} if fine else ())}, name)

    def _known(self, contract: str, name: Name) -> Data | None:
        if contract == "fine-changed.v1":
            return self.changes[name][0] if name in self.changes else None
        return self.payments[name].content if name in self.payments else None

    def _meant(self, data: Data) -> FineName | None:
        institution = data["institution_id"]
        if data.get("fine_id") is not None:
            return (institution, data["fine_id"])
        if data.get("bursar_transaction_id") is not None:
            return self.lines.get((institution, data["bursar_transaction_id"]))
        original = data.get("reverses_payment_id")
        known = self.payments.get((institution, data["source"], original)) if original else None
        return known.fine if known else None

    def _decide(self, contract: str, data: Data) -> set[FineName]:
        """Applied, rejected or parked under its identity; the fines it touched."""
        name = _name(contract, data)
        self.waiting.pop(name, None)
        try:
            if contract == "fine-changed.v1":
                touched = self._change(data)
                self.changes[name] = (data, "applied")
            elif data["kind"] == "reversal":
                touched = self._reverse(name, data)
            else:
                touched = self._pay(name, data)
        except _Rejected as refusal:
            self.rejected[refusal.reason] += 1
            self._remember(contract, name, data, "rejected")
            return set()
        except _Parked as parked:
            self._park(contract, name, data, parked)
            return set()
        return touched

    def _remember(self, contract: str, name: Name, data: Data, state: str) -> None:
        if contract == "fine-changed.v1":
            self.changes[name] = (data, state)
        else:
            self.payments[name] = ModelPayment(data, state, self._meant(data))

    def _park(self, contract: str, name: Name, data: Data, parked: _Parked) -> None:
        self._remember(contract, name, data, "parked")
        self._arrivals += 1
        item = Waiting(parked.wait, contract, data, self._arrivals, parked.fine, parked.behind)
        self.waiting[name] = item
        if parked.fine is not None:
            self._of_fine.setdefault(parked.fine, {})[name] = None
        if parked.behind is not None:
            self._of_payment.setdefault(parked.behind, {})[name] = None

    def _settle(self, fines: set[FineName], behind: Name | None = None) -> None:
        """Oldest first, whole passes, until one moves none."""
        reached, moved = set(fines), True
        while moved:
            moved = False
            for name in sorted(self._reached(reached, behind), key=self._arrival):
                item = self.waiting.get(name)
                if item is None or item.wait == "overpaid_held":
                    continue
                arrival = item.arrival
                reached |= self._decide(item.contract, item.content)
                again = self.waiting.get(name)
                if again is not None:
                    again.arrival = arrival
                moved = moved or again is None or again.fine != item.fine

    def _reached(self, fines: set[FineName], behind: Name | None) -> set[Name]:
        todo = [name for fine in fines for name in self._of_fine.get(fine, ())]
        todo += self._of_payment.get(behind, ()) if behind else ()
        found: set[Name] = set()
        while todo:
            name = todo.pop()
            if name in self.waiting and name not in found:
                found.add(name)
            todo += [each for each in self._of_payment.get(name, ()) if each not in found]
        return {name for name in found if name in self.waiting}

    def _arrival(self, name: Name) -> int:
        return self.waiting[name].arrival

    # Changes in the library

    def _change(self, data: Data) -> set[FineName]:
        name = (data["institution_id"], data["fine_id"])
        fine = self.fines.get(name)
        if fine is None:
            raise _Parked("unknown_fine", name)
        if data.get("currency") not in (None, fine.account[2]):
            raise _Rejected("currency_mismatch")
        if fine.line is not None:
            raise _Rejected("already_exported")
        if not fine.is_open:
            raise _Rejected("already_closed")
        kind = data["kind"]
        if kind in ("disputed", "restored"):
            status = "In dispute" if kind == "disputed" else "Active"
            if fine.status == status:
                raise _Rejected("no_change")
            fine.status = status
            self._post(fine.account, 0, 0)
            return {name}
        left = abs(fine.remaining)
        amount = left if kind == "cancelled" else minor(data["amount"], data["currency"])
        if amount > left:
            raise _Rejected("exceeds_remaining")
        step = fine.toward(amount)
        fine.remaining += step
        self._reduced[name] = self._reduced.get(name, 0) - step
        self._post(fine.account, step, 0)
        if fine.remaining == 0:
            fine.status = "Closed"
        return {name}

    # Payments

    def _pay(self, name: Name, data: Data) -> set[FineName]:
        fine = self._fine_of_payment(data)
        if data.get("currency") not in (None, fine.account[2]):
            raise _Rejected("currency_mismatch")
        if fine.is_open:
            raise _Parked("not_exported", fine.name)
        if fine.line is None:
            raise _Rejected("not_live")
        assert fine.rules is not None
        if not fine.rules.imports:
            raise _Rejected("import_not_active")
        if data["kind"] == "status":
            self._post(fine.account, 0, 0)
            self.payments[name] = ModelPayment(data, "noted", fine.name)
            return {fine.name}
        amount = minor(data["amount"], data["currency"])
        if fine.status == "Closed":
            fine.live_payments += 1
            self._post(fine.account, 0, 0)
            self.payments[name] = ModelPayment(data, "noted", fine.name)
            return {fine.name}
        return self._settle_payment(name, data, fine, amount)

    def _settle_payment(
        self, name: Name, data: Data, fine: ModelFine, amount: int
    ) -> set[FineName]:
        assert fine.rules is not None
        fits = min(amount, fine.owed())
        excess = amount - fits
        if excess:
            if data["kind"] == "write_off" or fine.amount < 0:
                raise _Rejected("exceeds_outstanding")
            if fine.rules.overpayment == "reject":
                raise _Rejected("overpaid")
            if fine.rules.overpayment == "hold" or excess > _excess_max(fine):
                raise _Parked("overpaid_held", fine.name)
        if fits:
            step = fine.toward(fits)
            fine.outstanding += step
            self._post(fine.account, 0, step)
        credit = self._credit(name, fine, excess) if excess else None
        fine.live_payments += 1
        self.payments[name] = ModelPayment(data, "applied", fine.name, fits, credit)
        return {fine.name, *({credit} if credit else ())}

    def _credit(self, name: Name, fine: ModelFine, excess: int) -> FineName:
        own = (name[0], "credit of " + "/".join(name))
        content = {"type": "CREDIT"}
        self.fines[own] = ModelFine(own, fine.account, content, -excess, -excess)
        self._post(fine.account, -excess, 0)
        return own

    def _fine_of_payment(self, data: Data) -> ModelFine:
        institution, fine_id = data["institution_id"], data.get("fine_id")
        line = data.get("bursar_transaction_id")
        by_line = self.lines.get((institution, line)) if line is not None else None
        if by_line is None and fine_id is None:
            raise _Rejected("unknown_line")
        if by_line is not None and fine_id is not None and by_line[1] != fine_id:
            raise _Rejected("reference_mismatch")
        name = by_line or (institution, str(fine_id))
        if name not in self.fines:
            raise _Parked("unknown_fine", name)
        return self.fines[name]

    def _reverse(self, name: Name, data: Data) -> set[FineName]:
        """Without references of its own: they would only repeat the original's."""
        original = (name[0], name[1], data["reverses_payment_id"])
        paid = self.payments.get(original)
        if paid is None or paid.state == "parked":
            ahead = self.waiting.get(original)
            raise _Parked("unknown_original", ahead.fine if ahead else None, original)
        if paid.state == "rejected":
            raise _Rejected("original_rejected")
        if paid.content["kind"] in ("reversal", "status"):
            raise _Rejected("not_reversible")
        if paid.reversed:
            raise _Rejected("already_reversed")
        assert paid.fine is not None
        fine = self.fines[paid.fine]
        credit = self.fines[paid.credit] if paid.credit else None
        if credit is not None and (credit.status != "Active" or credit.remaining != credit.amount):
            raise _Rejected("credit_already_exported")
        paid.reversed = True
        fine.live_payments -= 1
        if paid.state == "noted":
            self._post(fine.account, 0, 0)
        if paid.applied:
            back = -fine.toward(paid.applied)
            fine.outstanding += back
            self._post(fine.account, 0, back)
        if credit is not None:
            self._post(fine.account, -credit.remaining, 0)
            credit.remaining, credit.status = 0, "Closed"
        self.payments[name] = ModelPayment(data, "applied", fine.name, paid.applied)
        return {fine.name, *({credit.name} if credit else ())}

    def _post(self, account: AccountName, active: int, transferred: int) -> None:
        """One transaction."""
        own = self.accounts.setdefault(account, ModelAccount())
        own.active += active
        own.transferred += transferred
        own.transactions += 1


def _excess_max(fine: ModelFine) -> int:
    """The profile's, or the larger of ten times what is owed and 100 whole units."""
    assert fine.rules is not None
    if fine.rules.overpayment_max is not None:
        return fine.rules.overpayment_max
    return max(10 * fine.owed(), minor("100", fine.account[2]))


def minor(amount: str, currency: str) -> int:
    return int(Decimal(amount).scaleb(DECIMALS[currency]))


def _content_of_fine(data: Data) -> Data:
    patron = {key: value for key, value in data["patron"].items() if key not in SNAPSHOT}
    return {**data, "patron": patron}


def _name(contract: str, data: Data) -> Name:
    """A change and a payment of the same source and id are two."""
    if contract == "fine-changed.v1":
        return (data["institution_id"], f"changes of {data['source']}", data["change_id"])
    return (data["institution_id"], data["source"], data["payment_id"])


def accounts_of(model: Model) -> Iterator[tuple[AccountName, tuple[int, int, int]]]:
    """Active, transferred, number of transactions."""
    for name, own in sorted(model.accounts.items()):
        yield name, (own.active, own.transferred, own.transactions)
