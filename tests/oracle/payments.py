"""What the bursar reports on a fine, as rules.md, 3, has it."""

from hashlib import sha256

from service.core.events import BursarPayment
from tests.oracle import sums
from tests.oracle.adopted import waiting_of
from tests.oracle.tables import FineId, ModelFine, ModelPayment, Tables

DECIMALS = sums.DECIMALS


def pay(tables: Tables, event: BursarPayment) -> str:
    home = event.key.institution_id
    payment = tables.payments[event.key]
    fine_id, outcome = _fine_named(tables, event)
    if outcome:
        return outcome
    fine = tables.fines[home, fine_id]
    if event.currency and event.currency != fine["account"][2]:
        return "rejected:currency_mismatch"
    if fine["status"] in ("Active", "In dispute"):
        return "parked:not_exported"
    if fine["line"] is None:
        waits = bool(waiting_of(tables, (home, fine_id)))
        return "parked:not_exported" if waits else "rejected:not_live"
    if fine["only_exports"]:
        return "rejected:import_not_active"
    if event.amount is None:
        tables.post((home, fine_id), "status_noted", 0, 0, 0)
        return "noted"
    payment["fine"] = fine_id
    if fine["status"] == "Closed":
        fine["live"].append(event.key)
        tables.post((home, fine_id), "payment_noted", event.amount, 0, 0)
        return "noted"
    return collect(tables, event, event.amount, payment, (home, fine_id))


def _fine_named(tables: Tables, event: BursarPayment) -> tuple[str, str | None]:
    """The fine that a payment is for; or the outcome if it names none, or several."""
    home = event.key.institution_id
    line = tables.lines.get((home, event.bursar_transaction_id or ""))
    fine_id = line["fine"] if line else event.fine_id or ""
    if not fine_id:
        return fine_id, "rejected:unknown_line"
    if event.fine_id not in (None, fine_id):
        return fine_id, "rejected:reference_mismatch"
    fine = tables.fines.get((home, fine_id))
    if fine is None:
        return fine_id, "parked:unknown_fine"
    is_other_patron = event.patron_id not in (None, fine["account"][1])
    return fine_id, "rejected:reference_mismatch" if is_other_patron else None


def collect(
    tables: Tables, event: BursarPayment, amount: int, payment: ModelPayment, key: FineId
) -> str:
    fine = tables.fines[key]
    owed = fine["outstanding"] * fine["sign"]
    excess = max(0, amount - owed)
    if excess and (event.kind.value == "write_off" or fine["sign"] < 0):
        return "rejected:exceeds_outstanding"
    if excess and fine["overpayment"] == "reject":
        return "rejected:overpaid"
    if excess and (fine["overpayment"] == "hold" or excess > _excess_max(fine, owed)):
        return "parked:overpaid_held"
    payment["applied"] = amount - excess
    fine["live"].append(event.key)
    if payment["applied"]:
        moved = -payment["applied"] * fine["sign"]
        fine["outstanding"] += moved
        fine["considered"] = "active" if fine["outstanding"] else "closed"
        tables.post(key, event.kind.value, payment["applied"], 0, moved)
    if excess:
        text = f"{key[0]}\n{event.key.source}\n{event.key.id}"
        credit = payment["credit"] = "bb-" + sha256(text.encode()).hexdigest()[:32]
        tables.open_fine(
            (key[0], credit), fine["account"], -excess, b"", "CREDIT", None, key[1], "payment"
        )
    return "applied"


def _excess_max(fine: ModelFine, owed: int) -> int:
    """The profile's maximum, or ten times what is owed or 100 whole units, whichever is more."""
    maximum = fine["overpayment_max"]
    whole = 10 ** DECIMALS[fine["account"][2]]
    return max(10 * owed, 100 * whole) if maximum is None else maximum


def reverse(tables: Tables, event: BursarPayment) -> str:
    home, source, _ = event.key
    first_key = (home, source, event.reverses_payment_id or "")
    first = tables.payments.get(first_key)
    if first is None or first["state"] == "parked":
        return "parked:unknown_original"
    if first_key in tables.sum_rules:
        return sums.reverse(tables, event, first_key)
    reason = _no_reversal(tables, event, first)
    if reason:
        return "rejected:" + reason
    key = (home, first["fine"] or "")
    credit_key = (home, first["credit"] or "")
    fine = tables.fines[key]
    part = _part(event, first)
    first["reversed"] += part
    if first["reversed"] == first["amount"]:
        fine["live"].remove(first_key)
    payment = tables.payments[event.key]
    payment["fine"] = key[1]
    if first["state"] == "noted":
        tables.post(key, "reversal_noted", part, 0, 0)
        return "noted"
    # A payment with an excess comes here whole, and any other one has applied all of its amount.
    back = payment["applied"] = min(part, first["applied"])
    if back:
        moved = back * fine["sign"]
        fine["outstanding"] += moved
        fine["considered"] = "active"
        tables.post(key, "reversal", back, 0, moved)
    if first["credit"]:
        credit = tables.fines[credit_key]
        gone = -credit["remaining"]
        credit["reduced"] += gone
        credit["remaining"], credit["status"], credit["considered"] = 0, "Closed", "closed"
        tables.post(credit_key, "credit_cancelled", gone, gone, 0)
    return "applied"


def _part(event: BursarPayment, first: ModelPayment) -> int:
    """What the reversal asks for: the amount that it names, or else all that is left."""
    left = (first["amount"] or 0) - first["reversed"]
    return left if event.amount is None else event.amount


def _no_reversal(tables: Tables, event: BursarPayment, first: ModelPayment) -> str | None:
    if _other_reference(tables, event, first):
        return "reference_mismatch"
    if event.currency and first["currency"] and event.currency != first["currency"]:
        return "currency_mismatch"
    if first["state"] == "rejected":
        return "original_rejected"
    if first["kind"] in ("reversal", "status"):
        return "not_reversible"
    if first["reversed"] == first["amount"]:
        return "already_reversed"
    if first["reversed"] + _part(event, first) > (first["amount"] or 0):
        return "amount_mismatch"
    if first["credit"]:
        if _part(event, first) < (first["amount"] or 0):
            return "amount_mismatch"
        credit = tables.fines[event.key.institution_id, first["credit"]]
        made_with = (first["amount"] or 0) - first["applied"]
        is_open = credit["status"] in ("Active", "In dispute")
        if not is_open or -credit["remaining"] != made_with:
            return "credit_already_exported"
    return None


def _other_reference(tables: Tables, event: BursarPayment, first: ModelPayment) -> bool:
    home = event.key.institution_id
    line = tables.lines.get((home, event.bursar_transaction_id or ""))
    original_line = tables.lines.get((home, first["line"] or ""))
    names_fine, names_line = event.fine_id, event.bursar_transaction_id
    about = (
        {first["fine"]} if first["fine"] else {original_line["fine"]} if original_line else set()
    )
    if line and names_fine and line["fine"] != names_fine:
        return True
    fine = tables.fines.get((home, first["fine"] or ""))
    if fine and event.patron_id and event.patron_id != fine["account"][1]:
        return True
    if names_fine and names_fine not in about:
        return bool(about or first["line"])
    if not names_line or names_line == first["line"]:
        return False
    return line is None or line["fine"] not in about
