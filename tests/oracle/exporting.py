"""Fines on their way to the bursar and back, as rules.md, 4 and 5, have it."""

from service.core.events import ExportFine
from tests.oracle.tables import FineId, ModelFine, Tables


def closes(fine: ModelFine, exported: ExportFine) -> bool:
    """Whether a fine closes on its export by the terms of its batch."""
    terms = exported.terms
    only = terms.mode.value == "export_only"
    return only or (fine["is_lost"] and terms.lost.value == "close")


def export(tables: Tables, exported: ExportFine, is_closing: bool | None = None) -> None:
    """One fine in a batch; of an adopted one the manifest says whether it closes."""
    home, profile, number = exported.batch
    terms = exported.terms
    tables.batches[home, profile, number] = None
    key = (home, exported.fine.fine_id)
    fine = tables.fines[key]
    due = fine["remaining"]
    other = tables.fine_of_credit(key)
    fine["followed"] = other is not None and other["status"] == "Closed" and bool(other["line"])
    has_followers = any(
        credit["followed"] and credit["line"] for credit in tables.credits_of_fine(key)
    )
    if is_closing is None:
        is_closing = closes(fine, exported) or fine["followed"] or has_followers
    fine["library_payments"] = terms.library_payments.value
    fine["exported"] = due
    fine["line"] = exported.bursar_transaction_id
    fine["only_exports"] = terms.mode.value == "export_only"
    fine["overpayment"] = terms.overpayment.value
    fine["overpayment_max"] = terms.overpayment_max
    fine["remaining"] = 0
    fine["outstanding"] = 0 if is_closing else due
    fine["status"] = "Closed" if is_closing else "Transferred"
    fine["considered"] = "closed" if is_closing else "active"
    at_bursar = 0 if is_closing else due
    tables.post(key, "export" if is_closing else "export_and_paid", due, -due, at_bursar)
    line = (home, exported.bursar_transaction_id)
    tables.lines[line] = {"fine": key[1], "batch": (home, profile, number), "refused": False}
    if fine["is_lost"] and terms.close_paid_lost_loan and fine["loan"]:
        tables.loans.add((home, fine["loan"]))


def waits_for_fine(tables: Tables, key: FineId, only_exports: bool, batch: set[str]) -> bool:
    """Whether a credit waits: `batch` has the ids of the fines that leave with it."""
    fine = tables.fine_of_credit(key)
    if fine is None or fine["status"] == "Closed":
        return False
    if fine["status"] == "Transferred":
        return only_exports
    return tables.fines[key]["credit_of"] not in batch


def has_credit_there(tables: Tables, key: FineId, wanted: list[str]) -> bool:
    return any(
        (credit["made_by"] == "change" and -credit["amount"] > credit["reduced"])
        or (
            credit["made_by"] == "library"
            and credit["status"] == "Transferred"
            and credit["line"] not in wanted
        )
        for credit in tables.credits_of_fine(key)
    )


def take_back(tables: Tables, line: str, key: FineId) -> None:
    fine = tables.fines[key]
    moved = [row for row in tables.posted if row[0] == fine["account"] and row[1] == key[1]]
    exported = [row for row in moved if row[2] in ("export", "export_and_paid")][-1]
    _, _, _, due, active, transferred = exported
    fine["status"], fine["considered"] = "Active", "active"
    fine["remaining"], fine["outstanding"], fine["line"] = due, 0, None
    tables.lines[key[0], line]["refused"] = True
    tables.post(key, "export_rejected", due, -active, -transferred)
