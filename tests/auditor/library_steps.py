"""What the library's records have to do to an account (docs/rules.md, 2 and 2b)."""

from __future__ import annotations

from tests.auditor.evidence import Row
from tests.auditor.facts import Broken
from tests.auditor.model import AccountModel, ModelFine, Step, source_id

KIND_OF_CHANGE = {
    "desk_payment": "paid",
    "waiver": "waived",
    "cancellation": "cancelled",
    "adjustment": "adjusted",
    "disputed": "disputed",
    "restored": "restored",
}


def create(model: AccountModel, row: Row, _: Row) -> Step:
    """A fine or a credit of the library's."""
    data = model.facts.fine(model.home, row["fine_id"])
    if (data["patron"]["patron_id"], data["currency"]) != model.account[1:]:
        raise Broken("its fine is of another account")
    amount = data["amount"]
    fine = ModelFine(
        amount,
        amount,
        data["type"],
        amount,
        credit_of=data.get("credit_of"),
        loan=data.get("loan_id"),
    )
    return model.open_fine(row["fine_id"], fine)


def credit_of_change(model: AccountModel, cause: Row) -> Step:
    """The credit of what the library was paid for a fine that the bursar collects."""
    key = source_id(cause, "change_id")
    data = model.facts.change(model.home, *key)
    fine = model.fine(data["fine_id"])
    if data["kind"] not in ("paid", "waived") or fine.line is None or fine.sign < 0:
        raise Broken("its record makes no credit")
    owed = abs(fine.exported) if fine.status == "Closed" else fine.outstanding
    owed -= sum(counted(credit) for credit in model.credits_of(data["fine_id"]))
    if data["amount"] > owed:
        raise Broken("it is more than what the bursar collects")
    model.remember(model.changes, key)
    return model.open_made("change", data["amount"], *key, "change")


def counted(credit: ModelFine) -> int:
    """What a credit takes off what its fine owes; the excess of a payment takes nothing off."""
    return 0 if credit.made_by == "payment" else -credit.amount - credit.reduced


def change(model: AccountModel, row: Row, cause: Row) -> Step:
    """A change of a fine that was not exported."""
    key = source_id(cause, "change_id")
    data = model.facts.change(model.home, *key)
    fine = model.fine(row["fine_id"])
    if (data["kind"], data["fine_id"]) != (KIND_OF_CHANGE[row["kind"]], row["fine_id"]):
        raise Broken("its record says something else")
    if not fine.is_open:
        raise Broken("its fine is not open in the library")
    model.remember(model.changes, key)
    return _changed(fine, row["fine_id"], data["kind"], data.get("amount"))


def _changed(fine: ModelFine, fine_id: str, kind: str, amount: int | None) -> Step:
    if kind in ("disputed", "restored"):
        status = "In dispute" if kind == "disputed" else "Active"
        if fine.status == status:
            raise Broken("it changes nothing")
        fine.status = status
        return Step(fine_id, 0)
    if kind == "adjusted":
        return _adjusted(fine, fine_id, fine.sign * (amount or 0))
    gone = abs(fine.remaining) if kind == "cancelled" else amount or 0
    if gone > abs(fine.remaining):
        raise Broken("it is more than what remains")
    if kind != "paid":
        fine.reduced += gone
    return _reduced(fine, fine_id, gone, -fine.sign * gone)


def _adjusted(fine: ModelFine, fine_id: str, amount: int) -> Step:
    difference = amount - fine.amount
    if not difference or abs(amount) < abs(fine.amount - fine.remaining):
        raise Broken("an adjustment to this amount is not possible")
    if fine.made_by != "library" and abs(amount) > abs(fine.created):
        raise Broken("a credit has more than that with which it was made")
    fine.amount = amount
    return _reduced(fine, fine_id, difference, difference)


def _reduced(fine: ModelFine, fine_id: str, amount: int, step: int) -> Step:
    fine.remaining += step
    if fine.remaining == 0:
        fine.status, fine.considered = "Closed", "closed"
    return Step(fine_id, amount, step)
