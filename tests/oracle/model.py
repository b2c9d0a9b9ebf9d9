"""The oracle: takes the events of a history in their order, and knows what has to come out."""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import groupby

from service.core.events import (
    BursarPayment,
    ExportFine,
    ExportResponse,
    FineChanged,
    FineCreated,
    Incoming,
)
from tests.oracle import adopted, answers, exporting, library, payments, sums
from tests.oracle.tables import (
    AccountId,
    FineId,
    ModelAdopted,
    ModelPayment,
    Named,
    RecordName,
    Tables,
)
from tests.support.given import Export


class Model(Tables):
    """The tables, and what each event does to them."""

    def take(self, step: Incoming | Export) -> str:
        """The step's outcome; what it sets free is decided too."""
        if isinstance(step, Export):
            for fine in step.fines:
                self._export(fine)
            self._retry_sums()
            return "applied"
        outcome = self._decide_new(step)
        if outcome.startswith("rejected:"):
            self.rejected.append(outcome.removeprefix("rejected:"))
        adopted.settle(self)
        self._retry_all()
        self._retry_sums()
        return outcome

    def adopt(self, lines: Sequence[ModelAdopted]) -> None:
        """Lines of batches that were published before a restore; known fines are put off."""
        for line in lines:
            adopted.adopt(self, line)
            if line.fine in self.fines:
                self.put_off.add(line.fine)

    def see(self, lines: Sequence[ModelAdopted]) -> None:
        """The fines of these lines take the lines that wait for them, batch by batch, each when it
        is its turn, whatever the lines before it set free.
        """
        for _, of_batch in groupby(lines, key=lambda line: line.export.batch):
            for line in of_batch:
                self._see(line.fine)
            self._retry_sums()

    def live_lines(self) -> dict[FineId, str]:
        """The bursar transaction id of each fine that has a live line."""
        return {name: fine["line"] for name, fine in self.fines.items() if fine["line"]}

    def parked(self) -> Counter[str]:
        """How many records wait for each thing."""
        return Counter(wait for _, wait in self.waiting.values())

    def _see(self, fine: FineId) -> None:
        self.put_off.discard(fine)
        adopted.settle(self, fine)
        self._retry_all()

    def _see_first(self, event: FineChanged | BursarPayment | ExportResponse) -> None:
        """Before a record is decided, its fines are looked at."""
        for fine in adopted.put_off_of(self, event) if self.put_off else ():
            self._see(fine)

    def _export(self, fine: ExportFine) -> None:
        exporting.export(self, fine)
        self._retry_all()

    def _decide_new(self, event: Incoming) -> str:
        if isinstance(event, FineCreated):
            return library.create(self, event)
        if isinstance(event, ExportResponse):
            self._see_first(event)
            return answers.respond(self, event)
        is_change = isinstance(event, FineChanged)
        if is_change:
            known = self.changes.get(event.key)
        else:
            known = self.payments[event.key]["content"] if event.key in self.payments else None
        if known is not None:
            word = "change" if is_change else "payment"
            return "repeat" if known == event.digest else f"rejected:{word}_conflict"
        self._see_first(event)
        if isinstance(event, FineChanged):
            self.changes[event.key] = event.digest
        else:
            self.payments[event.key] = _remembered(event)
        outcome = self._decide(event)
        if outcome.startswith("parked:"):
            key = ("change" if is_change else "payment", event.key)
            self.waiting[key] = (event, outcome.removeprefix("parked:"))
        return outcome

    def _retry_sums(self) -> None:
        """The waiting sums of accounts of which something is outstanding again."""
        while self.owing_again:
            accounts, self.owing_again = list(self.owing_again), {}
            self._retry_all(accounts)

    def _retry_all(self, accounts: Collection[AccountId] = ()) -> None:
        """Everything that waits, but of sums only those of these accounts."""
        moved = True
        while moved:
            moved = False
            for key, (event, wait) in list(self.waiting.items()):
                if wait == "overpaid_held":
                    continue
                if wait == "unallocated" and not sums.is_for(event, accounts):
                    continue
                if self._cannot_move(key, event, wait):
                    continue
                outcome = self._decide(event)
                if outcome.startswith("parked:"):
                    self.waiting[key] = (event, outcome.removeprefix("parked:"))
                    continue
                del self.waiting[key]
                moved = True
                if outcome.startswith("rejected:"):
                    self.rejected.append(outcome.removeprefix("rejected:"))
                adopted.settle(self)

    def _cannot_move(self, name: RecordName, event: FineChanged | BursarPayment, wait: str) -> bool:
        """Whether what a record waits for has not come."""
        original, line, fine_id = self._named(name, event)
        if wait == "unknown_original":
            first = self.payments.get(original)
            return first is None or first["state"] == "parked"
        if line in self.lines:
            return False
        fine = self.fines.get(fine_id)
        if wait == "unknown_fine":
            return fine is None
        return (
            wait == "not_exported"
            and fine is not None
            and fine["line"] is None
            and fine["status"] in ("Active", "In dispute")
        )

    def _named(self, name: RecordName, event: FineChanged | BursarPayment) -> Named:
        """What a record names never changes, and a load of 100 000 asks for it a billion times."""
        named = self.named.get(name)
        if named is None:
            home, source, _ = event.key
            first = line = None
            if isinstance(event, BursarPayment):
                first, line = event.reverses_payment_id, event.bursar_transaction_id
            named = ((home, source, first or ""), (home, line or ""), (home, event.fine_id or ""))
            self.named[name] = named
        return named

    def _decide(self, event: FineChanged | BursarPayment) -> str:
        if isinstance(event, FineChanged):
            return library.change(self, event)
        if sums.is_sum(event):
            outcome = sums.pay(self, event)
        else:
            decide = payments.reverse if event.kind.value == "reversal" else payments.pay
            outcome = decide(self, event)
        self.payments[event.key]["state"] = outcome.partition(":")[0]
        return outcome


def _remembered(event: BursarPayment) -> ModelPayment:
    return {
        "content": event.digest,
        "state": "parked",
        "kind": event.kind.value,
        "fine": event.fine_id,
        "line": event.bursar_transaction_id,
        "currency": event.currency,
        "amount": event.amount,
        "applied": 0,
        "parts": [],
        "credit": None,
        "reversed": 0,
    }
