"""Decides sums: payments of the bursar that name a patron, but no fine and no export line
(rules.md, 3b).

All amounts here are positive and in minor units.
"""

from collections.abc import Sequence
from dataclasses import replace

from .events import BursarPayment
from .ledger import AccountKey, Fine, FineKey, Payment
from .outcomes import Applied, Effect, Outcome, Park, Rejected, rejected
from .payments import excess_credit, mismatch, settlement, with_status_code
from .reversals import cancelled, fault_of_original, is_in_use, made_outstanding
from .shares import LumpRule, LumpSum, Share
from .words import Overpayment, Reason, Wait
from .workspace import Workspace

WAITS = Park(Wait.UNALLOCATED, None)
HELD = Park(Wait.OVERPAID_HELD, None)
_NOT_IN_PARTS = "amount: a sum without a line can only be reversed whole"


class InvalidAllocations(Exception):
    """Raised if an operator has named fines or amounts that a payment cannot pay. The text of the
    exception says why, and quotes no value.

    Nothing was changed.
    """


def decide_sum(workspace: Workspace, event: BursarPayment) -> Outcome:
    """Decides a sum (a payment that names only a patron) that is new or was parked, and notes that
    it was tried (rows 3b.1 to 3b.7).

    If a sum that was parked before turns out to be too high for its fines, it is neither rejected
    nor held for an operator, but stays parked. A sum also stays parked as long as an adopted export
    line of a debit of its account waits for its fine (row 5b.9).
    """
    lump = _known_or_new(workspace, event)
    is_retry = ("payment", event.key) in workspace.parked.now
    debits = workspace.debits.outstanding(lump.account)
    if lump.rule is LumpRule.HOLD or not debits or workspace.awaits_lines(lump.account):
        outcome: Outcome = WAITS
    else:
        outcome = _oldest_first(event, debits, is_retry=is_retry)
    _keep(workspace, lump, outcome)
    return outcome


def release_sum(
    workspace: Workspace, event: BursarPayment, wait: Wait, allocations: Sequence[Share]
) -> Outcome:
    """Decides a parked sum (a payment that names only a patron) that an operator has released (rows
    3b.8 to 3b.10).

    Raises InvalidAllocations if the sum cannot pay the fines and amounts that the operator has
    named.
    """
    lump = workspace.sums[event.key]
    debits = workspace.debits.outstanding(lump.account)
    assert event.amount is not None
    if allocations:
        lump = replace(lump, allocations=tuple(allocations))
        outcome: Outcome = pay(event, _named(debits, allocations, event.amount))
    elif wait is Wait.OVERPAID_HELD:
        outcome = _with_credit(workspace, event, lump, debits)
    else:
        workspace.sums.put(event.key, replace(lump, rule=LumpRule.OLDEST_FIRST))
        return decide_sum(workspace, event)
    _keep(workspace, lump, outcome)
    return outcome


def _known_or_new(workspace: Workspace, event: BursarPayment) -> LumpSum:
    """The sum as it is kept; a new one has the setting that its institution has now."""
    known = workspace.sums.get(event.key)
    if known is not None:
        return known
    account = event.account
    assert account is not None
    return LumpSum(event.key, account, _rule_now(workspace, account))


def _rule_now(workspace: Workspace, account: AccountKey) -> LumpRule:
    return workspace.lump_rules.get(account.institution_id, LumpRule.HOLD)


def _keep(workspace: Workspace, lump: LumpSum, outcome: Outcome) -> None:
    """Keeps the parts of a sum that is paid, and of others whether and since when they wait."""
    waits = outcome == WAITS and lump.rule is LumpRule.OLDEST_FIRST
    account = workspace.accounts.get(lump.account)
    if waits and account is not None:
        lump = replace(lump, tried=account.sequence)
    if isinstance(outcome, Applied):
        lump = replace(lump, parts=outcome.parts)
    workspace.sums.put(lump.key, replace(lump, waits=waits))


def discard_sum(workspace: Workspace, event: BursarPayment) -> Rejected:
    """Notes that a parked sum no longer waits, because an operator has discarded it, and returns
    its rejection.
    """
    lump = workspace.sums[event.key]
    workspace.sums.put(event.key, replace(lump, waits=False))
    return rejected(Reason.DISCARDED)


def _oldest_first(event: BursarPayment, debits: Sequence[Fine], *, is_retry: bool) -> Outcome:
    """Pays the debits in their order, as far as the sum goes, unless its excess forbids it."""
    assert event.amount is not None
    if event.amount > sum(fine.outstanding for fine in debits):
        match strictest_rule(debits, event.amount):
            case Overpayment.REJECT:
                return WAITS if is_retry else rejected(Reason.OVERPAID)
            case Overpayment.HOLD:
                return WAITS if is_retry else HELD
            case Overpayment.CREDIT:
                pass
    return pay(event, in_order(debits, event.amount))


def strictest_rule(debits: Sequence[Fine], amount: int) -> Overpayment:
    """Returns what happens to a sum of `amount` that is more than all the fines `debits` owe
    together, by the strictest rule in the terms of these fines.

    The sum is held for an operator if the excess is above the smallest maximum in the terms of
    these fines.
    """
    all_terms = [fine.terms for fine in debits if fine.terms is not None]
    rules = {terms.overpayment for terms in all_terms}
    if Overpayment.REJECT in rules:
        return Overpayment.REJECT
    owed, currency = sum(fine.outstanding for fine in debits), debits[0].facts.currency
    maximum = min(terms.excess_max(owed, currency) for terms in all_terms)
    if Overpayment.HOLD in rules or amount - owed > maximum:
        return Overpayment.HOLD
    return Overpayment.CREDIT


def in_order(debits: Sequence[Fine], amount: int) -> list[tuple[Fine, int]]:
    """Returns what each of the fines `debits` gets of `amount`: one after the other gets all that
    it owes, until nothing of `amount` is left.
    """
    shares = []
    for fine in debits:
        part = min(amount, fine.outstanding)
        if part:
            shares.append((fine, part))
        amount -= part
    return shares


def _named(
    debits: Sequence[Fine], allocations: Sequence[Share], amount: int
) -> list[tuple[Fine, int]]:
    """The fines that a person has named, each with its amount. Raises InvalidAllocations."""
    fines = {fine.facts.fine_id: fine for fine in debits}
    if len({share.fine_id for share in allocations}) < len(allocations):
        raise InvalidAllocations("a fine may be named only once")
    for share in allocations:
        if share.fine_id not in fines:
            raise InvalidAllocations("a fine that is named is not outstanding in the account")
        if not 0 < share.amount <= fines[share.fine_id].outstanding:
            raise InvalidAllocations("an amount is not above zero, or more than is outstanding")
    if sum(share.amount for share in allocations) > amount:
        raise InvalidAllocations("the amounts are together more than the sum")
    return [(fines[share.fine_id], share.amount) for share in allocations]


def pay(event: BursarPayment, shares: Sequence[tuple[Fine, int]]) -> Applied:
    """Returns the outcome of a sum that pays each fine in `shares` its amount; what is left of the
    sum becomes a credit that refers to the last of these fines.
    """
    assert event.amount is not None
    effects = []
    for fine, part in shares:
        paid = replace(with_status_code(fine, event), payments_live=fine.payments_live + 1)
        effects.append(settlement(paid, event, part))
    applied = sum(part for _, part in shares)
    parts = tuple(Share(fine.facts.fine_id, part) for fine, part in shares)
    if excess := event.amount - applied:
        credit = excess_credit(shares[-1][0], event, excess)
        credit_id = credit.fine.facts.fine_id
        return Applied((*effects, credit), None, applied, excess, credit_id, parts=parts)
    return Applied(tuple(effects), None, applied, parts=parts)


def _with_credit(
    workspace: Workspace, event: BursarPayment, lump: LumpSum, debits: Sequence[Fine]
) -> Outcome:
    """Pays what is outstanding, and makes a credit of the rest whatever the terms say."""
    assert event.amount is not None
    if debits:
        return pay(event, in_order(debits, event.amount))
    latest = workspace.debits.latest(lump.account)
    if latest is None:
        return HELD
    credit = excess_credit(latest, event, event.amount)
    credit_id = credit.fine.facts.fine_id
    return Applied((credit,), None, 0, event.amount, credit_id)


def reverse_sum(workspace: Workspace, event: BursarPayment, original: Payment) -> Outcome:
    """Decides a reversal of a sum: it undoes the payment of each fine in the order in which they
    were paid; a sum is reversed only once, and only as a whole (rows 3b.11 to 3b.13).
    """
    if event.bursar_transaction_id is not None:
        return mismatch("reverses_payment_id", "bursar_transaction_id")
    if event.fine_id is not None:
        return mismatch("reverses_payment_id", "fine_id")
    if (reason := fault_of_original(event, original)) is not None:
        return rejected(reason)
    if event.amount not in (None, original.amount):
        return Rejected(Reason.AMOUNT_MISMATCH, _NOT_IN_PARTS)
    credit = None
    if original.credit_id is not None:
        credit = workspace.fines[FineKey(event.key.institution_id, original.credit_id)]
        if is_in_use(credit, original.excess):
            return rejected(Reason.CREDIT_ALREADY_EXPORTED)
    effects = [
        _reversal_of_part(workspace, event, part) for part in workspace.sums[original.key].parts
    ]
    if credit is not None and credit.facts.credit_of is not None:
        fine = workspace.fines[FineKey(event.key.institution_id, credit.facts.credit_of)]
        effects.append(cancelled(credit, event, fine))
    return Applied(tuple(effects), None, original.applied)


def _reversal_of_part(workspace: Workspace, event: BursarPayment, part: Share) -> Effect:
    fine = workspace.fines[FineKey(event.key.institution_id, part.fine_id)]
    freed = replace(with_status_code(fine, event), payments_live=fine.payments_live - 1)
    return made_outstanding(freed, event, part.amount)
