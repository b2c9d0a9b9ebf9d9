"""What the library reports, as rules.md, 2 and 2b, have it."""

from hashlib import sha256

from service.core.events import FineChanged, FineCreated
from tests.oracle.tables import FineId, ModelFine, Tables

# Changes of which the latest counts, whenever it is read.
TIMED = {"adjusted": "amount", "disputed": "dispute", "restored": "dispute"}


def create(tables: Tables, event: FineCreated) -> str:
    facts = event.facts
    key = (facts.institution_id, facts.fine_id)
    if key in tables.fines:
        fine = tables.fines[key]
        if fine["content"] != facts.digest:
            return "rejected:fine_conflict"
        is_over = fine["status"] == "Closed" and not fine["line"]
        return "repeat:already_closed" if is_over else "repeat"
    account = (facts.institution_id, facts.patron_id, facts.currency)
    tables.open_fine(
        key, account, facts.amount, facts.digest, facts.type, facts.loan_id, facts.credit_of
    )
    return "applied"


def change(tables: Tables, event: FineChanged) -> str:
    key = (event.key.institution_id, event.fine_id)
    fine = tables.fines.get(key)
    if fine is None:
        return "parked:unknown_fine"
    if event.currency and event.currency != fine["account"][2]:
        return "rejected:currency_mismatch"
    about = TIMED.get(event.kind.value)
    if about is None:
        return _change(tables, key, fine, event)
    if about in fine["latest"] and event.changed_at < fine["latest"][about]:
        return "rejected:overtaken"
    outcome = _change(tables, key, fine, event)
    if outcome != "rejected:exceeds_remaining":
        fine["latest"][about] = event.changed_at
    return outcome


def _change(tables: Tables, key: FineId, fine: ModelFine, event: FineChanged) -> str:
    if fine["line"]:
        return _after_export(tables, event, key)
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
    if kind == "adjusted":
        return _adjust(tables, key, fine, event.amount or 0)
    owed = fine["remaining"] * fine["sign"]
    amount = owed if kind == "cancelled" else event.amount or 0
    if amount > owed:
        return "rejected:exceeds_remaining"
    fine["remaining"] -= amount * fine["sign"]
    if fine["remaining"] == 0:
        fine["status"], fine["considered"] = "Closed", "closed"
    if kind != "paid":
        fine["reduced"] += amount
    names = {"paid": "desk_payment", "waived": "waiver", "cancelled": "cancellation"}
    tables.post(key, names[kind], amount, -amount * fine["sign"], 0)
    return "applied"


def _adjust(tables: Tables, key: FineId, fine: ModelFine, amount: int) -> str:
    new = amount * fine["sign"]
    gone = fine["amount"] - fine["remaining"]
    if abs(new) < abs(gone):
        return "rejected:exceeds_remaining"
    if key[1].startswith("bb-") and abs(new) > abs(fine["made"]):
        return "rejected:exceeds_remaining"
    if new == fine["amount"]:
        return "rejected:no_change"
    difference = new - fine["amount"]
    fine["amount"], fine["remaining"] = new, new - gone
    if fine["remaining"] == 0:
        fine["status"], fine["considered"] = "Closed", "closed"
    tables.post(key, "adjustment", difference, difference, 0)
    return "applied"


def _after_export(tables: Tables, event: FineChanged, key: FineId) -> str:
    """The bursar collects the fine: its terms may make a credit of what the library was paid."""
    fine = tables.fines[key]
    is_money = event.kind.value in ("paid", "waived")
    if not is_money or fine["library_payments"] != "credit" or fine["sign"] < 0:
        return "rejected:already_exported"
    amount = event.amount or 0
    owed = fine["exported"] if fine["status"] == "Closed" else fine["outstanding"]
    for credit in tables.credits_of_fine(key):
        if credit["made_by"] != "payment":
            owed -= -credit["amount"] - credit["reduced"]
    if amount > owed:
        return "rejected:exceeds_remaining"
    text = f"{key[0]}\n{event.key.source}\n{event.key.id}\nchange"
    credit_key = (key[0], "bb-" + sha256(text.encode()).hexdigest()[:32])
    account = fine["account"]
    tables.open_fine(credit_key, account, -amount, b"", "CREDIT", None, key[1], "change")
    return "applied"
