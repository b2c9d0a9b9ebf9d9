"""A second reading of rules.md: plain dicts, one long list of what waits, no code of the service.

It knows the shape of the events and nothing else. Whatever waits is tried after every event, all
of it, oldest first, in whole passes until one moves none: lanes are the service's own business.
"""

from hashlib import sha256
from typing import TypedDict

from service.core.events import BursarPayment, ExportResponse, FineChanged, FineCreated, Incoming
from tests.support.given import Export

AccountId = tuple[str, str, str]
FineId = tuple[str, str]
Identity = tuple[str, str, str]


class ModelFine(TypedDict):
    account: AccountId
    content: bytes
    amount: int
    sign: int
    is_lost: bool
    loan: str | None
    status: str
    considered: str
    remaining: int
    outstanding: int
    line: str | None
    only_exports: bool
    overpayment: str
    overpayment_max: int | None
    live: list[Identity]


class ModelPayment(TypedDict):
    content: bytes
    state: str
    kind: str
    fine: str | None
    line: str | None
    currency: str | None
    amount: int | None
    applied: int
    credit: str | None
    reversed: bool


class ModelLine(TypedDict):
    fine: str
    batch: tuple[str, str, int]
    refused: bool


Posted = tuple[AccountId, str, str, int, int, int]  # account, fine, kind, amount, both changes


class Model:
    """Balances and outcomes of a history."""

    def __init__(self) -> None:
        self.fines: dict[FineId, ModelFine] = {}
        self.payments: dict[Identity, ModelPayment] = {}
        self.changes: dict[Identity, bytes] = {}
        self.responses: dict[Identity, bytes] = {}
        self.lines: dict[tuple[str, str], ModelLine] = {}
        self.batches: set[tuple[str, str, int]] = set()
        self.waiting: list[tuple[FineChanged | BursarPayment, str]] = []
        self.posted: list[Posted] = []
        self.rejected: list[str] = []
        self.loans: set[tuple[str, str]] = set()

    def take(self, step: Incoming | Export) -> str:
        """The step's outcome; what it sets free is settled too."""
        if isinstance(step, Export):
            self._export(step)
            outcome = "applied"
        elif isinstance(step, FineCreated):
            outcome = self._create(step)
        elif isinstance(step, ExportResponse):
            outcome = self._respond(step)
        else:
            outcome = self._new(step)
        if outcome.startswith("rejected:"):
            self.rejected.append(outcome.removeprefix("rejected:"))
        self._settle()
        return outcome

    def balances(self) -> dict[AccountId, tuple[int, int]]:
        found: dict[AccountId, tuple[int, int]] = {}
        for fine in self.fines.values():
            active, transferred = found.get(fine["account"], (0, 0))
            moved = (active + fine["remaining"], transferred + fine["outstanding"])
            found[fine["account"]] = moved
        return found

    def exportable(self, institution: str, currency: str) -> list[str]:
        return sorted(
            fine_id
            for (home, fine_id), fine in self.fines.items()
            if home == institution and fine["status"] == "Active"
            if fine["account"][2] == currency
        )

    # --- the library ---------------------------------------------------------------------------

    def _create(self, event: FineCreated) -> str:
        facts = event.facts
        key = (facts.institution_id, facts.fine_id)
        if key in self.fines:
            same = self.fines[key]["content"] == facts.digest
            return "repeat" if same else "rejected:fine_conflict"
        account = (facts.institution_id, facts.patron_id, facts.currency)
        self._open(key, account, facts.amount, facts.digest, facts.type, facts.loan_id)
        return "applied"

    def _open(
        self,
        key: FineId,
        account: AccountId,
        amount: int,
        content: bytes,
        type_: str,
        loan: str | None,
    ) -> None:
        self.fines[key] = {
            "account": account,
            "content": content,
            "amount": amount,
            "sign": 1 if amount > 0 else -1,
            "is_lost": type_ in ("LOSTITEMREPLACEMENTFEE", "LOSTITEMFINE"),
            "loan": loan,
            "status": "Active",
            "considered": "active",
            "remaining": amount,
            "outstanding": 0,
            "line": None,
            "only_exports": False,
            "overpayment": "",
            "overpayment_max": None,
            "live": [],
        }
        self._post(key, "credit" if amount < 0 else "fine", amount, amount, 0)

    def _change(self, event: FineChanged) -> str:
        key = (event.key.institution_id, event.fine_id)
        fine = self.fines.get(key)
        if fine is None:
            return "parked:unknown_fine"
        if event.currency and event.currency != fine["account"][2]:
            return "rejected:currency_mismatch"
        if fine["line"]:
            return "rejected:already_exported"
        if fine["status"] == "Closed":
            return "rejected:already_closed"
        kind = event.kind.value
        if kind in ("disputed", "restored"):
            wanted = "In dispute" if kind == "disputed" else "Active"
            if fine["status"] == wanted:
                return "rejected:no_change"
            fine["status"] = wanted
            self._post(key, kind, 0, 0, 0)
            return "applied"
        owed = fine["remaining"] * fine["sign"]
        amount = owed if kind == "cancelled" else event.amount or 0
        if amount > owed:
            return "rejected:exceeds_remaining"
        fine["remaining"] -= amount * fine["sign"]
        if fine["remaining"] == 0:
            fine["status"], fine["considered"] = "Closed", "closed"
        names = {"paid": "desk_payment", "waived": "waiver", "cancelled": "cancellation"}
        self._post(key, names[kind], amount, -amount * fine["sign"], 0)
        return "applied"

    # --- out and back --------------------------------------------------------------------------

    def _export(self, export: Export) -> None:
        home, profile, number = export.batch
        self.batches.add((home, profile, number))
        for claimed in export.fines:
            key = (home, claimed.fine.fine_id)
            fine, terms = self.fines[key], claimed.terms
            due = fine["remaining"]
            only = terms.mode.value == "export_only"
            closes = only or (fine["is_lost"] and terms.lost.value == "close")
            fine["line"] = claimed.bursar_transaction_id
            fine["only_exports"] = only
            fine["overpayment"] = terms.overpayment.value
            fine["overpayment_max"] = terms.overpayment_max
            fine["remaining"] = 0
            fine["outstanding"] = 0 if closes else due
            fine["status"] = "Closed" if closes else "Transferred"
            fine["considered"] = "closed" if closes else "active"
            at_bursar = 0 if closes else due
            self._post(key, "export" if closes else "export_and_paid", due, -due, at_bursar)
            line = (home, claimed.bursar_transaction_id)
            batch = (home, profile, number)
            self.lines[line] = {"fine": key[1], "batch": batch, "refused": False}
            if fine["is_lost"] and terms.close_paid_lost_loan and fine["loan"]:
                self.loans.add((home, fine["loan"]))
            self._settle()

    def _respond(self, event: ExportResponse) -> str:
        if event.key in self.responses:
            same = self.responses[event.key] == event.digest
            return "repeat" if same else "rejected:response_conflict"
        self.responses[event.key] = event.digest
        home = event.key.institution_id
        if event.batch not in self.batches:
            return "rejected:unknown_batch"
        mine = [name for (h, name), row in self.lines.items() if row["batch"] == event.batch]
        live = [name for name in mine if not self.lines[home, name]["refused"]]
        wanted = [name for name, _ in event.refused_lines]
        if event.outcome.value == "accepted":
            return "applied"
        if event.outcome.value == "refused":
            wanted = live
        if any(name not in mine for name in wanted):
            return "rejected:unknown_line"
        if not wanted or any(name not in live for name in wanted):
            return "rejected:not_live"
        keys = [(home, self.lines[home, name]["fine"]) for name in wanted]
        if any(self.fines[key]["live"] for key in keys):
            return "rejected:already_paid"
        for name, key in zip(wanted, keys, strict=True):
            self._take_back(name, key)
        return "applied"

    def _take_back(self, line: str, key: FineId) -> None:
        fine = self.fines[key]
        moved = [row for row in self.posted if row[0] == fine["account"] and row[1] == key[1]]
        exported = [row for row in moved if row[2] in ("export", "export_and_paid")][-1]
        _, _, _, due, active, transferred = exported
        fine["status"], fine["considered"] = "Active", "active"
        fine["remaining"], fine["outstanding"], fine["line"] = due, 0, None
        self.lines[key[0], line]["refused"] = True
        self._post(key, "export_rejected", due, -active, -transferred)

    # --- money ---------------------------------------------------------------------------------

    def _new(self, event: FineChanged | BursarPayment) -> str:
        if isinstance(event, FineChanged):
            known = self.changes.get(event.key)
        else:
            kept = self.payments.get(event.key)
            known = None if kept is None else kept["content"]
        if known is not None:
            word = "change" if isinstance(event, FineChanged) else "payment"
            return "repeat" if known == event.digest else f"rejected:{word}_conflict"
        if isinstance(event, FineChanged):
            self.changes[event.key] = event.digest
        else:
            self.payments[event.key] = self._remembered(event)
        outcome = self._decide(event)
        if outcome.startswith("parked:"):
            self.waiting.append((event, outcome.removeprefix("parked:")))
        return outcome

    def _remembered(self, event: BursarPayment) -> ModelPayment:
        return {
            "content": event.digest,
            "state": "parked",
            "kind": event.kind.value,
            "fine": event.fine_id,
            "line": event.bursar_transaction_id,
            "currency": event.currency,
            "amount": event.amount,
            "applied": 0,
            "credit": None,
            "reversed": False,
        }

    def _settle(self) -> None:
        moved = True
        while moved:
            moved = False
            for event, wait in list(self.waiting):
                if wait == "overpaid_held":
                    continue
                outcome = self._decide(event)
                place = self.waiting.index((event, wait))
                if outcome.startswith("parked:"):
                    self.waiting[place] = (event, outcome.removeprefix("parked:"))
                    continue
                del self.waiting[place]
                moved = True
                if outcome.startswith("rejected:"):
                    self.rejected.append(outcome.removeprefix("rejected:"))

    def _decide(self, event: FineChanged | BursarPayment) -> str:
        if isinstance(event, FineChanged):
            return self._change(event)
        reverses = event.kind.value == "reversal"
        outcome = self._reverse(event) if reverses else self._pay(event)
        self.payments[event.key]["state"] = outcome.partition(":")[0]
        return outcome

    def _pay(self, event: BursarPayment) -> str:
        home = event.key.institution_id
        own = self.payments[event.key]
        line = self.lines.get((home, event.bursar_transaction_id or ""))
        if line is None and event.fine_id is None:
            return "rejected:unknown_line"
        if line and event.fine_id and line["fine"] != event.fine_id:
            return "rejected:reference_mismatch"
        fine_id = line["fine"] if line else event.fine_id or ""
        fine = self.fines.get((home, fine_id))
        if fine is None:
            return "parked:unknown_fine"
        if event.currency and event.currency != fine["account"][2]:
            return "rejected:currency_mismatch"
        if fine["status"] in ("Active", "In dispute"):
            return "parked:not_exported"
        if fine["line"] is None:
            return "rejected:not_live"
        if fine["only_exports"]:
            return "rejected:import_not_active"
        if event.amount is None:
            self._post((home, fine_id), "status_noted", 0, 0, 0)
            return "noted"
        own["fine"] = fine_id
        if fine["status"] == "Closed":
            fine["live"].append(event.key)
            self._post((home, fine_id), "payment_noted", event.amount, 0, 0)
            return "noted"
        return self._collect(event, event.amount, own, (home, fine_id))

    def _collect(self, event: BursarPayment, amount: int, own: ModelPayment, key: FineId) -> str:
        fine = self.fines[key]
        owed = fine["outstanding"] * fine["sign"]
        excess = max(0, amount - owed)
        if excess and (event.kind.value == "write_off" or fine["sign"] < 0):
            return "rejected:exceeds_outstanding"
        if excess and fine["overpayment"] == "reject":
            return "rejected:overpaid"
        if excess and (fine["overpayment"] == "hold" or excess > self._excess_max(fine, owed)):
            return "parked:overpaid_held"
        own["applied"] = amount - excess
        fine["live"].append(event.key)
        if own["applied"]:
            moved = -own["applied"] * fine["sign"]
            fine["outstanding"] += moved
            fine["considered"] = "active" if fine["outstanding"] else "closed"
            self._post(key, event.kind.value, own["applied"], 0, moved)
        if excess:
            text = f"{key[0]}\n{event.key.source}\n{event.key.id}"
            credit = own["credit"] = "bb-" + sha256(text.encode()).hexdigest()[:32]
            self._open((key[0], credit), fine["account"], -excess, b"", "CREDIT", None)
        return "applied"

    def _excess_max(self, fine: ModelFine, owed: int) -> int:
        """All currencies of the histories have two decimals: 100 whole units are 10 000."""
        own = fine["overpayment_max"]
        return max(10 * owed, 10_000) if own is None else own

    def _reverse(self, event: BursarPayment) -> str:
        home, source, _ = event.key
        first_key = (home, source, event.reverses_payment_id or "")
        first = self.payments.get(first_key)
        if first is None or first["state"] == "parked":
            return "parked:unknown_original"
        refusal = self._no_reversal(event, first)
        if refusal:
            return "rejected:" + refusal
        key = (home, first["fine"] or "")
        credit_key = (home, first["credit"] or "")
        fine = self.fines[key]
        first["reversed"] = True
        fine["live"].remove(first_key)
        own = self.payments[event.key]
        own["fine"], own["applied"] = key[1], first["applied"]
        if first["state"] == "noted":
            self._post(key, "reversal_noted", first["amount"] or 0, 0, 0)
            return "noted"
        if first["applied"]:
            moved = first["applied"] * fine["sign"]
            fine["outstanding"] += moved
            fine["considered"] = "active"
            self._post(key, "reversal", first["applied"], 0, moved)
        if first["credit"]:
            credit = self.fines[credit_key]
            gone = -credit["remaining"]
            credit["remaining"], credit["status"], credit["considered"] = 0, "Closed", "closed"
            self._post(credit_key, "credit_cancelled", gone, gone, 0)
        return "applied"

    def _no_reversal(self, event: BursarPayment, first: ModelPayment) -> str | None:
        if self._other_reference(event, first):
            return "reference_mismatch"
        if event.currency and first["currency"] and event.currency != first["currency"]:
            return "currency_mismatch"
        if first["state"] == "rejected":
            return "original_rejected"
        if first["kind"] in ("reversal", "status"):
            return "not_reversible"
        if first["reversed"]:
            return "already_reversed"
        if event.amount is not None and event.amount != first["amount"]:
            return "amount_mismatch"
        if first["credit"]:
            credit = self.fines[event.key.institution_id, first["credit"]]
            if credit["status"] != "Active" or credit["remaining"] != credit["amount"]:
                return "credit_already_exported"
        return None

    def _other_reference(self, event: BursarPayment, first: ModelPayment) -> bool:
        home = event.key.institution_id
        line = self.lines.get((home, event.bursar_transaction_id or ""))
        own_line = self.lines.get((home, first["line"] or ""))
        names_fine, names_line = event.fine_id, event.bursar_transaction_id
        about = {first["fine"]} if first["fine"] else {own_line["fine"]} if own_line else set()
        if line and names_fine and line["fine"] != names_fine:
            return True
        if names_fine and names_fine not in about:
            return bool(about or first["line"])
        if not names_line or names_line == first["line"]:
            return False
        return line is None or line["fine"] not in about

    def _post(self, key: FineId, kind: str, amount: int, active: int, transferred: int) -> None:
        account = self.fines[key]["account"]
        self.posted.append((account, key[1], kind, amount, active, transferred))
