"""What the library reports, as rules.md, 2 and 2b, have it."""

from service.core.events import FineChanged, FineCreated
from tests.oracle.tables import Tables


def create(tables: Tables, event: FineCreated) -> str:
    facts = event.facts
    key = (facts.institution_id, facts.fine_id)
    if key in tables.fines:
        same = tables.fines[key]["content"] == facts.digest
        return "repeat" if same else "rejected:fine_conflict"
    account = (facts.institution_id, facts.patron_id, facts.currency)
    tables.open_fine(key, account, facts.amount, facts.digest, facts.type, facts.loan_id)
    return "applied"


def change(tables: Tables, event: FineChanged) -> str:
    key = (event.key.institution_id, event.fine_id)
    fine = tables.fines.get(key)
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
        tables.post(key, kind, 0, 0, 0)
        return "applied"
    owed = fine["remaining"] * fine["sign"]
    amount = owed if kind == "cancelled" else event.amount or 0
    if amount > owed:
        return "rejected:exceeds_remaining"
    fine["remaining"] -= amount * fine["sign"]
    if fine["remaining"] == 0:
        fine["status"], fine["considered"] = "Closed", "closed"
    names = {"paid": "desk_payment", "waived": "waiver", "cancelled": "cancellation"}
    tables.post(key, names[kind], amount, -amount * fine["sign"], 0)
    return "applied"
