"""What exports and the bursar's records have to do to an account (docs/rules.md, 2 to 5)."""

from __future__ import annotations

from collections.abc import Mapping

from tests.auditor.evidence import Data, Row
from tests.auditor.facts import Broken, Unjudged
from tests.auditor.library_steps import counted
from tests.auditor.model import (
    AccountModel,
    ModelFine,
    ModelPayment,
    Reversal,
    SourceId,
    Step,
    source_id,
)


def export(model: AccountModel, row: Row, cause: Row) -> Step:
    """A fine in a batch: what remains of it goes to the bursar, or is closed."""
    fine_id = row["fine_id"]
    fine = model.fine(fine_id)
    if fine.status != "Active":
        raise Broken("a fine that is not Active was exported")
    manifest = _manifest(model, cause)
    due = fine.remaining
    closes = _closes(model, fine_id, fine, manifest)
    if row["kind"] != ("export" if closes else "export_and_paid"):
        raise Broken("its fine goes the other way under the terms of the batch")
    fine.line, fine.exported = cause["bursar_transaction_id"], due
    fine.remaining, fine.outstanding = 0, 0 if closes else due
    fine.status = "Closed" if closes else "Transferred"
    fine.considered = "closed" if closes else "active"
    is_lost = fine.type in manifest["terms"]["lost_types"]
    if is_lost and manifest["terms"]["close_paid_lost_loan"] and fine.loan:
        model.loans.add(fine.loan)
    return Step(fine_id, due, -due, 0 if closes else due)


def _manifest(model: AccountModel, cause: Row) -> Data:
    batch = (model.home, cause["profile"], int(cause["batch_number"]))
    if batch not in model.facts.manifests:
        raise Broken("its batch was not sealed")
    manifest = model.facts.manifests[batch]
    if "terms" not in manifest:  # of a release that did not publish them
        raise Unjudged
    return manifest


def _closes(model: AccountModel, fine_id: str, fine: ModelFine, manifest: Data) -> bool:
    terms = manifest["terms"]
    debit = model.fine_of_credit(fine)
    fine.followed = debit is not None and debit.status == "Closed" and debit.line is not None
    has_followers = any(
        each.followed and each.line and each.status == "Closed"
        for each in model.credits_of(fine_id)
    )
    is_lost = fine.type in terms["lost_types"] and terms["lost"] == "close"
    return fine.followed or has_followers or is_lost or manifest["mode"] == "export_only"


def take_back(model: AccountModel, row: Row, cause: Row) -> Step:
    """A line that the bursar refuses: the exact opposite of its export."""
    fine_id = row["fine_id"]
    fine, line = model.fine(fine_id), cause["bursar_transaction_id"]
    batch = (model.home, cause["profile"], int(cause["batch_number"]))
    if fine.line != line:
        raise Broken("the refused line is not the live one of its fine")
    lines = model.facts.refused_lines.get(batch, frozenset())
    if lines is not None and line not in lines and "export-response.v1" in model.facts.whole:
        raise Broken("no response refuses its line")
    is_kept = any(each.made_by == "change" and counted(each) for each in model.credits_of(fine_id))
    if fine.paid_by or is_kept:
        raise Broken("a line was refused although its fine was paid")
    back, outstanding = fine.exported, fine.outstanding
    fine.adopt(("Active", "active", back, 0))
    fine.line = None
    return Step(fine_id, back, back, -outstanding)


def _record(model: AccountModel, key: SourceId, kind: str) -> Data:
    data = model.facts.payment(model.home, *key)
    if data["kind"] != kind:
        raise Broken("its record is of another kind")
    return data


def _is_sum(data: Data) -> bool:
    return bool(data.get("patron_id")) and not (
        data.get("fine_id") or data.get("bursar_transaction_id")
    )


def _check_reference(model: AccountModel, data: Data, fine_id: str) -> None:
    """The fine, the line and the patron that a record names are those of the transaction."""
    line = data.get("bursar_transaction_id")
    named = data.get("fine_id")
    if line is not None and (model.home, line) in model.facts.fine_of_line:
        named = model.facts.fine_of_line[model.home, line]
    if named not in (None, fine_id):
        raise Broken("its record names another fine")
    if data.get("patron_id") not in (None, model.account[1]):
        raise Broken("its record names another patron")


def pay(model: AccountModel, row: Row, cause: Row) -> Step:
    """A payment or write-off, or the part of a sum, on one fine."""
    key, fine_id = source_id(cause, "payment_id"), row["fine_id"]
    data = _record(model, key, row["kind"])
    fine = model.fine(fine_id)
    _check_reference(model, data, fine_id)
    if fine.line is None or fine.status != "Transferred":
        raise Broken("its fine is not collected by the bursar")
    payment = model.payments.setdefault(key, ModelPayment(data["amount"]))
    if fine_id in payment.parts or (payment.parts and not _is_sum(data)):
        raise Broken("its record was applied before")
    fits = min(payment.amount - payment.applied, abs(fine.outstanding))
    if _is_sum(data):
        fits = min(fits, row["amount"])  # a person may have named less
    elif payment.amount > fits and (row["kind"] == "write_off" or fine.sign < 0):
        raise Broken("it is more than what is outstanding")
    if fits <= 0:
        raise Broken("nothing of it was left, or nothing was outstanding")
    payment.parts[fine_id] = fits
    fine.paid_by.add(key)
    fine.outstanding -= fine.sign * fits
    fine.considered = "active" if fine.outstanding else "closed"
    return Step(fine_id, fits, 0, -fine.sign * fits)


def credit_of_payment(model: AccountModel, cause: Row) -> Step:
    """What a payment is more than what was outstanding."""
    key = source_id(cause, "payment_id")
    data = _record(model, key, "payment")
    payment = model.payments.setdefault(key, ModelPayment(data["amount"]))
    payment.excess = payment.amount - payment.applied
    if payment.excess <= 0 or payment.credit_id:
        raise Broken("its payment has no excess")
    step = model.open_made("payment", payment.excess, *key)
    payment.credit_id = step.fine_id
    if not payment.parts and not _is_sum(data):  # it counts for the fine all the same
        fine_id = model.fines[step.fine_id].credit_of or ""
        _check_reference(model, data, fine_id)
        model.fine(fine_id).paid_by.add(key)
    return step


def note(model: AccountModel, row: Row, cause: Row) -> Step:
    """Money that is noted only, because its fine closed on its export."""
    key, fine_id = source_id(cause, "payment_id"), row["fine_id"]
    data, fine = model.facts.payment(model.home, *key), model.fine(fine_id)
    _check_reference(model, data, fine_id)
    if key in model.payments:
        raise Broken("its record was applied before")
    if data["kind"] not in ("payment", "write_off") or fine.line is None:
        raise Broken("its record is not one that is noted")
    model.payments[key] = ModelPayment(data["amount"], noted_on=fine_id)
    fine.paid_by.add(key)
    return Step(fine_id, data["amount"])


def note_status(model: AccountModel, row: Row, cause: Row) -> Step:
    """A status, which moves no money."""
    key = source_id(cause, "payment_id")
    _check_reference(model, _record(model, key, "status"), row["fine_id"])
    model.fine(row["fine_id"])
    model.remember(model.statuses, key)
    return Step(row["fine_id"], 0)


def reverse(model: AccountModel, row: Row, cause: Row) -> Step:
    """A payment, or the part of a sum, is outstanding again."""
    fine_id = row["fine_id"]
    reversal, original = _taken_back(model, cause)
    fine = model.fine(fine_id)
    if fine_id not in original.parts or fine_id in reversal.fines:
        raise Broken("its payment has not paid its fine, or was taken back from it before")
    reversal.fines.add(fine_id)
    is_single = len(original.parts) == 1
    amount = reversal.amount - original.excess if is_single else original.parts[fine_id]
    fine.outstanding += fine.sign * amount
    fine.considered = "active"
    return Step(fine_id, amount, 0, fine.sign * amount)


def cancel_credit(model: AccountModel, row: Row, cause: Row) -> Step:
    """The credit of an excess ends with its payment."""
    _, original = _taken_back(model, cause)
    credit = model.fine(row["fine_id"])
    if row["fine_id"] != original.credit_id or not credit.is_open:
        raise Broken("its fine is not the open credit of its payment")
    if -credit.remaining != original.excess:
        raise Broken("the credit of its payment is not whole any more")
    credit.reduced += original.excess
    credit.adopt(("Closed", "closed", 0, 0))
    return Step(row["fine_id"], original.excess, original.excess)


def note_reversal(model: AccountModel, row: Row, cause: Row) -> Step:
    """What was noted is taken back, which is noted too."""
    reversal, original = _taken_back(model, cause)
    if row["fine_id"] != original.noted_on or reversal.fines:
        raise Broken("its payment was not noted on its fine, or it was taken back before")
    reversal.fines.add(row["fine_id"])
    return Step(row["fine_id"], reversal.amount)


def _taken_back(model: AccountModel, cause: Row) -> tuple[Reversal, ModelPayment]:
    """The reversal behind a transaction and its payment; raises Broken."""
    key, original_key = source_id(cause, "payment_id"), source_id(cause, "reverses_payment_id")
    data = _record(model, key, "reversal")
    original = model.payments.get(original_key)
    if data["reverses_payment_id"] != original_key[1] or original is None:
        raise Broken("it takes back what was not applied before it")
    if key not in original.reversals:
        amount = data.get("amount") or original.left
        if not 0 < amount <= original.left:
            raise Broken("it takes back more than is left of its payment")
        original.reversals[key] = Reversal(amount)
        if not original.left:
            _free(model.fines, original_key)
    return original.reversals[key], original


def _free(fines: Mapping[str, ModelFine], key: SourceId) -> None:
    for fine in fines.values():
        fine.paid_by.discard(key)
