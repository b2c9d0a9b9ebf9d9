"""I2: sums of transactions, accounts and fines are those of the auditor's own model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import groupby

from tests.auditor import bursar_steps, library_steps
from tests.auditor.evidence import Evidence, Finding, Row
from tests.auditor.facts import AccountId, Broken, Facts, Unjudged, account_id
from tests.auditor.model import AccountModel, ModelFine, Step
from tests.auditor.recoveries import left_out, passed_over

STEPS: Mapping[str, Callable[[AccountModel, Row, Row], Step]] = {
    "fine": library_steps.create,
    **dict.fromkeys(library_steps.KIND_OF_CHANGE, library_steps.change),
    "export": bursar_steps.export,
    "export_and_paid": bursar_steps.export,
    "export_rejected": bursar_steps.take_back,
    "payment": bursar_steps.pay,
    "write_off": bursar_steps.pay,
    "payment_noted": bursar_steps.note,
    "status_noted": bursar_steps.note_status,
    "reversal": bursar_steps.reverse,
    "reversal_noted": bursar_steps.note_reversal,
    "credit_cancelled": bursar_steps.cancel_credit,
}


@dataclass
class Ledger:
    """What the model makes of all transactions, and what it has against them."""

    models: dict[AccountId, AccountModel] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def loans(self) -> set[tuple[str, str]]:
        """The loans that had to be closed, by institution and id."""
        return {(model.home, loan) for model in self.models.values() for loan in model.loans}


def replay(evidence: Evidence, facts: Facts) -> Ledger:
    """Computes every account from its transactions in their order."""
    ledger = Ledger()
    rows, skipped = evidence.tables["ledger_transaction"], left_out(evidence)
    for account, transactions in groupby(sorted(rows, key=_order), account_id):
        model = ledger.models[account] = AccountModel(account, facts)
        for row in transactions:
            model.sequence = passed_over(model.sequence, skipped.get(account, frozenset()))
            ledger.findings.extend(_judge_transaction(model, row))
    ledger.findings.extend(_judge_accounts(evidence, ledger, skipped))
    ledger.findings.extend(_judge_fines(evidence, ledger))
    ledger.findings.extend(_judge_records(evidence, ledger))
    return ledger


def _order(row: Row) -> tuple[str, str, str, int]:
    return (*account_id(row), row["sequence"])


def _judge_transaction(model: AccountModel, row: Row) -> Iterator[Finding]:
    ids = (*model.account, row["sequence"])
    if row["sequence"] != model.sequence + 1:
        yield Finding("I2", "a transaction is missing before it", ids)
    model.sequence = row["sequence"]
    model.active += row["active_change"]
    model.transferred += row["transferred_change"]
    if (model.active, model.transferred) != (row["active"], row["transferred"]):
        yield Finding("I2", "its balances are not the sum of the transactions up to it", ids)
        model.active, model.transferred = row["active"], row["transferred"]
    try:
        step = _step(model, row)
    except Broken as rule:
        yield Finding("I2", str(rule), ids)
    except Unjudged:
        pass
    else:
        yield from _differences(model, row, step)
    _adopt(model, row)


def _step(model: AccountModel, row: Row) -> Step:
    cause = json.loads(row["cause"]) if isinstance(row["cause"], str) else row["cause"] or {}
    kind = row["kind"]
    if kind == "credit":
        if cause.get("payment_id"):
            return bursar_steps.credit_of_payment(model, cause)
        if cause.get("change_id"):
            return library_steps.credit_of_change(model, cause)
        return library_steps.create(model, row, cause)
    if kind not in STEPS:
        raise Broken("its kind is unknown")
    return STEPS[kind](model, row, cause)


def _differences(model: AccountModel, row: Row, step: Step) -> Iterator[Finding]:
    names = ("fine_id", "amount", "active_change", "transferred_change")
    for name, expected in zip(names, step, strict=True):
        if row[name] != expected:
            yield Finding(
                "I2", f"{name} is not that of the model", (*model.account, row["sequence"])
            )
    if step.fine_id in model.fines and model.fines[step.fine_id].state != _state(row):
        yield Finding("I2", "its fine is not that of the model", (*model.account, row["sequence"]))


def _state(row: Row) -> tuple[str, str, int, int]:
    return (
        row["fine_status"],
        row["fine_considered"],
        row["fine_remaining"],
        row["fine_outstanding"],
    )


def _adopt(model: AccountModel, row: Row) -> None:
    """Goes on from what the ledger says, so that each fault is named once."""
    fine = model.fines.get(row["fine_id"])
    if fine is None:
        fine = ModelFine(row["amount"], row["amount"], "", row["amount"])
        model.fines[row["fine_id"]] = fine
    fine.adopt(_state(row))


def _judge_accounts(
    evidence: Evidence, ledger: Ledger, skipped: Mapping[AccountId, Set[int]]
) -> Iterator[Finding]:
    stored = {
        account_id(row): (row["active"], row["transferred"], row["sequence"])
        for row in evidence.tables["account"]
    }
    computed = {
        account: (
            sum(fine.remaining for fine in model.fines.values()),
            sum(fine.outstanding for fine in model.fines.values()),
            model.sequence,
        )
        for account, model in ledger.models.items()
    }
    for account in sorted(stored.keys() | computed.keys()):
        active, transferred, sequence = computed.get(account, (0, 0, 0))
        last = passed_over(sequence, skipped.get(account, frozenset()))
        if stored.get(account) != (active, transferred, last):
            yield Finding("I2", "the account is not that of the model", account)


def _judge_fines(evidence: Evidence, ledger: Ledger) -> Iterator[Finding]:
    """Each fine is as its last transaction has left it, with the amount of the model."""
    created = {
        (row["institution_id"], row["fine_id"]): row["amount_created"]
        for row in evidence.tables["fine_amendment"]
    }
    rows = {(row["institution_id"], row["fine_id"]): row for row in evidence.tables["fine"]}
    fines = {
        (model.home, fine_id): fine
        for model in ledger.models.values()
        for fine_id, fine in model.fines.items()
    }
    for key, row in rows.items():
        fine = fines.get(key)
        if fine is None:
            yield Finding("I2", "a fine has no transaction", key)
            continue
        amount = created.get(key) or row["amount"]
        state = (row["status"], row["considered"], row["remaining"], row["outstanding"])
        if (row["amount"], amount, row["line"]) != (fine.amount, fine.created, fine.line):
            yield Finding("I2", "amount or line of the fine is not that of the model", key)
        if state != fine.state:
            yield Finding("I2", "the fine is not as its last transaction has left it", key)
    for key in sorted(fines.keys() - rows.keys()):
        yield Finding("I2", "a fine has transactions, and is not there", key)


def _judge_records(evidence: Evidence, ledger: Ledger) -> Iterator[Finding]:
    """What is recorded as applied has had its effect, and nothing else has had one."""
    done = {
        (model.home, *key): (payment.applied, payment.excess, payment.noted_on is not None)
        for model in ledger.models.values()
        for key, payment in model.payments.items()
    }
    back = {
        (model.home, *key)
        for model in ledger.models.values()
        for payment in model.payments.values()
        for key in payment.reversals
    }
    others = {
        (model.home, *key)
        for model in ledger.models.values()
        for key in (model.changes | model.statuses)
    }
    for row in evidence.tables["payment"] if evidence.is_whole("bursar-payment.v1") else ():
        identity = (row["institution_id"], row["source"], row["payment_id"])
        has_effect = identity in done or identity in back or identity in others
        if has_effect != (row["state"] in ("applied", "noted")):
            yield Finding("I2", "a payment and its transactions disagree", identity)
        elif identity in done and row["state"] == "applied":
            applied, excess, _ = done[identity]
            if (row["applied"], row["excess"]) != (applied, excess):
                yield Finding("I2", "a payment has other parts than its transactions", identity)
    for row in evidence.tables["fine_change"] if evidence.is_whole("fine-changed.v1") else ():
        identity = (row["institution_id"], row["source"], row["change_id"])
        if (identity in others) != (row["state"] == "applied"):
            yield Finding("I2", "a change and its transactions disagree", identity)
