"""Sums that name a patron and neither a fine nor a line, as rules.md, 3b, has it."""

from collections.abc import Collection
from hashlib import sha256

from service.core.events import BursarPayment, FineChanged
from tests.oracle.adopted import awaits
from tests.oracle.tables import AccountId, FineId, ModelFine, Tables

DECIMALS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}


def is_sum(event: BursarPayment) -> bool:
    """Whether a payment names a patron alone."""
    return bool(event.patron_id) and not event.fine_id and not event.bursar_transaction_id


def account_of(event: BursarPayment) -> AccountId:
    return event.key.institution_id, event.patron_id or "", event.currency or ""


def is_for(event: FineChanged | BursarPayment, accounts: Collection[AccountId]) -> bool:
    """Whether the event is a sum for one of these accounts."""
    return isinstance(event, BursarPayment) and account_of(event) in accounts


def pay(tables: Tables, event: BursarPayment) -> str:
    """Decides a sum; one that waits already is neither rejected nor held for its excess."""
    is_retry = ("payment", event.key) in tables.waiting
    if event.key not in tables.sum_rules:
        tables.sum_rules[event.key] = tables.settings.get(event.key.institution_id, "hold")
    account = account_of(event)
    owed = outstanding(tables, account)
    if tables.sum_rules[event.key] == "hold" or not owed or awaits(tables, account):
        return "parked:unallocated"
    amount = event.amount or 0
    total = sum(fine["outstanding"] for _, fine in owed)
    if amount > total:
        rules = [fine["overpayment"] for _, fine in owed]
        largest = min(_excess_max(fine, total) for _, fine in owed)
        if "reject" in rules:
            return "parked:unallocated" if is_retry else "rejected:overpaid"
        if "hold" in rules or amount - total > largest:
            return "parked:unallocated" if is_retry else "parked:overpaid_held"
    _collect(tables, event, owed)
    return "applied"


def outstanding(tables: Tables, account: AccountId) -> list[tuple[FineId, ModelFine]]:
    """The debits of an account that owe something at the bursar, in the order of their export."""
    owed = [
        (key, fine)
        for key, fine in tables.fines.items()
        if fine["account"] == account and fine["sign"] > 0 and fine["outstanding"]
    ]
    batches = list(tables.batches)

    def place(entry: tuple[FineId, ModelFine]) -> tuple[int, int]:
        line = entry[1]["line"] or ""
        return batches.index(tables.lines[account[0], line]["batch"]), int(line)

    return sorted(owed, key=place)


def _excess_max(fine: ModelFine, total: int) -> int:
    maximum = fine["overpayment_max"]
    whole = 10 ** DECIMALS[fine["account"][2]]
    return max(10 * total, 100 * whole) if maximum is None else maximum


def _collect(tables: Tables, event: BursarPayment, owed: list[tuple[FineId, ModelFine]]) -> None:
    payment, left = tables.payments[event.key], event.amount or 0
    for key, fine in owed:
        part = min(left, fine["outstanding"])
        if part == 0:
            break
        left -= part
        fine["outstanding"] -= part
        fine["considered"] = "active" if fine["outstanding"] else "closed"
        fine["live"].append(event.key)
        payment["parts"].append((key[1], part))
        payment["applied"] += part
        tables.post(key, "payment", part, 0, -part)
    if left:
        text = "\n".join((event.key.institution_id, event.key.source, event.key.id))
        credit = payment["credit"] = "bb-" + sha256(text.encode()).hexdigest()[:32]
        account, (last, _) = account_of(event), payment["parts"][-1]
        key = (account[0], credit)
        tables.open_fine(key, account, -left, b"", "CREDIT", None, last, "payment")


def reverse(tables: Tables, event: BursarPayment, first_key: tuple[str, str, str]) -> str:
    """Undoes a sum whole, part by part, and then its credit."""
    first, home = tables.payments[first_key], first_key[0]
    credit = tables.fines.get((home, first["credit"] or ""))
    reason = _no_reversal(event, first_key, tables)
    if reason:
        return "rejected:" + reason
    first["reversed"] = first["amount"] or 0
    tables.payments[event.key]["applied"] = first["applied"]
    for fine_id, part in first["parts"]:
        fine = tables.fines[home, fine_id]
        fine["live"].remove(first_key)
        fine["outstanding"] += part
        fine["considered"] = "active"
        tables.post((home, fine_id), "reversal", part, 0, part)
    if credit is not None:
        gone = -credit["remaining"]
        credit["remaining"], credit["status"], credit["considered"] = 0, "Closed", "closed"
        tables.post((home, first["credit"] or ""), "credit_cancelled", gone, gone, 0)
    return "applied"


def _no_reversal(
    event: BursarPayment, first_key: tuple[str, str, str], tables: Tables
) -> str | None:
    first = tables.payments[first_key]
    if event.fine_id or event.bursar_transaction_id:
        return "reference_mismatch"
    if event.currency and event.currency != first["currency"]:
        return "currency_mismatch"
    if first["state"] == "rejected":
        return "original_rejected"
    if first["reversed"]:
        return "already_reversed"
    if event.amount not in (None, first["amount"]):
        return "amount_mismatch"
    credit = tables.fines.get((first_key[0], first["credit"] or ""))
    if credit is not None:
        made_with = (first["amount"] or 0) - first["applied"]
        is_open = credit["status"] in ("Active", "In dispute")
        if not is_open or -credit["remaining"] != made_with:
            return "credit_already_exported"
    return None
