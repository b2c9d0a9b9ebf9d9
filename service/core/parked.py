"""Tries parked records again when something changes for which they wait, and decides them for an
operator.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from heapq import heapify, heappop, heappush

from . import payments
from .changes import Transaction
from .decisions import conclude, decide
from .events import BursarPayment, Discard, ParkedEvent, ParkedKey, Rejection, Release, WaitQueue
from .ledger import Fine, LibraryRef, PaymentRef, SourceKey
from .outcomes import GONE, Outcome, Park, fines_changed, rejected
from .shares import SumQueue
from .sums import discard_sum, release_sum
from .words import Overpayment, Reason, Wait
from .workspace import Changes, Workspace

# Records that wait for a person are not retried by events.
WAITS_FOR_PERSON = (Wait.OVERPAID_HELD, Wait.INTERNAL_ERROR)
# What their release does is decided at once; all others are tried as if by an event.
RELEASED_BY_PERSON = (Wait.OVERPAID_HELD, Wait.UNALLOCATED)


class ParkedFailure(Exception):
    """Raised if the program fails on parked records, whose keys it has; its cause is the error of
    the first of them.
    """

    def __init__(self, keys: tuple[ParkedKey, ...]) -> None:
        super().__init__(f"{len(keys)} parked records")
        self.keys = keys


def retry_parked(workspace: Workspace, queues: Iterable[WaitQueue]) -> None:
    """Tries the parked records of these wait queues again, from the oldest to the newest, and
    repeats that until none of them can be decided any more.

    If a record changes another fine, because its excess makes a credit or a reversal cancels one,
    the records that wait for that other fine are tried as well: the newer ones in the same pass, in
    the order of age, and the older ones in the next pass. If the program fails on a record that was
    parked in an earlier commit, the error is kept in `workspace.failures` and the other records are
    tried. Raises ParkedFailure if the failing record has already changed the workspace.
    """
    reached = dict.fromkeys(queues)
    while _pass(workspace, reached):
        pass
    workspace.keep_still(reached)


def retry_sums(workspace: Workspace) -> None:
    """Tries parked payments that name only a patron again, in all accounts in which a fine has
    become outstanding.

    The function ends, although a reversal makes fines outstanding again: each reversal waits behind
    its payment, and is applied only once.
    """
    while accounts := workspace.debits.take_owing_again():
        queues = [SumQueue(account) for account in accounts]
        if not workspace.are_still(queues):
            retry_parked(workspace, queues)


def _pass(workspace: Workspace, reached: dict[WaitQueue, None]) -> bool:
    """Tries each record once and adds the queues that this reaches. True if a record moved."""
    heap = workspace.by_age(reached)
    heapify(heap)
    queued = set(heap)
    has_moved = False
    while heap:
        rank, key = heappop(heap)
        item = workspace.parked.get(key)
        if item is None or item.wait in WAITS_FOR_PERSON or key in workspace.failures:
            continue
        outcome = _retry_noting_failure(workspace, key, item)
        has_moved = has_moved or outcome is not None
        newly_reached = [queue for queue in fines_changed(outcome) if queue not in reached]
        reached |= dict.fromkeys(newly_reached)
        for later in workspace.by_age(newly_reached):
            if rank < later[0] and later not in queued:
                queued.add(later)
                heappush(heap, later)
    return has_moved


def _retry_noting_failure(
    workspace: Workspace, key: ParkedKey, item: ParkedEvent
) -> Outcome | None:
    """Notes the error of a record that cannot be decided, and returns None for it."""
    writes = workspace.parked.writes
    try:
        return _retry(workspace, key, item)
    except Exception as problem:
        if item.arrival is None:  # this fold has parked it: one of its events is the cause
            raise
        workspace.failures[key] = problem
        if workspace.parked.writes != writes:
            raise ParkedFailure(tuple(workspace.failures)) from problem
        return None


def _retry(workspace: Workspace, key: ParkedKey, item: ParkedEvent) -> Outcome | None:
    """The outcome if the record was decided or went to another fine's queue, else None."""
    outcome = decide(workspace, item.event)
    if isinstance(outcome, Park):
        again = replace(item, wait=outcome.wait, fine_id=outcome.fine_id)
        if again != item:
            workspace.park(again)
        return None if again.fine_id == item.fine_id else outcome
    _unpark(workspace, key, item, outcome)
    return outcome


def _unpark(workspace: Workspace, key: ParkedKey, item: ParkedEvent, outcome: Outcome) -> None:
    if outcome != rejected(Reason.DISCARDED):
        workspace.outcomes[f"unparked:{item.wait}"] += 1
    workspace.parked.remove(key)
    conclude(workspace, item.event, outcome)


def decide_for_operator(workspace: Workspace, decision: Release | Discard) -> tuple[WaitQueue, ...]:
    """Releases or discards a parked record as an operator has decided; returns the wait queues that
    have to be tried again.

    A released payment that was held because it pays too much becomes a payment and a credit. A
    released payment that names only a patron pays the fines that the operator names, or else the
    fines in the order of their export. Any other released record is not decided by this function;
    the caller tries it with the returned queues. A discarded record is rejected as `discarded`. If
    the record is no longer parked, nothing changes, and the outcome `gone` is counted. Raises
    InvalidAllocations.
    """
    key = decision.parked_key
    item = workspace.parked.get(key)
    if item is None:
        workspace.outcomes[GONE] += 1
        return ()
    if isinstance(decision, Release) and item.wait not in RELEASED_BY_PERSON:
        return decision.queues
    outcome = _decided(workspace, item, decision)
    workspace.outcomes[outcome.name] += 1
    if isinstance(outcome, Park):
        workspace.park(replace(item, wait=outcome.wait))
        return ()
    _unpark(workspace, key, item, outcome)
    return (*decision.queues, *fines_changed(outcome), decision.key)


def _decided(workspace: Workspace, item: ParkedEvent, decision: Release | Discard) -> Outcome:
    if isinstance(item.event, BursarPayment) and item.account is not None:
        if isinstance(decision, Discard):
            return discard_sum(workspace, item.event)
        return release_sum(workspace, item.event, item.wait, decision.allocations)
    if isinstance(decision, Discard):
        return rejected(Reason.DISCARDED)
    assert isinstance(item.event, BursarPayment)
    fine = payments.find(item.event, workspace.lines.now, workspace.fines.now)
    return payments.pay(fine, item.event, Overpayment.CREDIT) if isinstance(fine, Fine) else fine


def split_by_parked_record(changes: Changes) -> tuple[Changes, Mapping[ParkedKey, Changes]]:
    """Splits the changes of a commit into the effects of its events, and the effects of each parked
    record that was decided in it.

    The caller uses the split to find a parked record whose effects cannot be written.

    Only the lists of transactions, rejections and closed loans are split. The changed rows of the
    tables are the state after the whole commit, and are the same in every part.
    """
    freed = changes.parked.removed
    keys = {item.event.origin: key for key, item in freed.items()}
    transactions: dict[ParkedKey | None, list[Transaction]] = defaultdict(list)
    for transaction in changes.transactions:
        key = _cause_of(transaction)
        transactions[key if key in freed else None].append(transaction)
    rejections: dict[ParkedKey | None, list[Rejection]] = defaultdict(list)
    for rejection in changes.rejections:
        rejections[keys.get(rejection.origin)].append(rejection)

    def part(key: ParkedKey | None) -> Changes:
        return replace(
            changes,
            transactions=tuple(transactions[key]),
            loans_closed=changes.loans_closed if key is None else (),  # exports close loans
            rejections=tuple(rejections[key]),
        )

    return part(None), {key: part(key) for key in freed}


def _cause_of(transaction: Transaction) -> ParkedKey | None:
    """The payment or the change behind a transaction; other causes are never parked."""
    institution_id = transaction.after.key.institution_id
    match transaction.cause:
        case PaymentRef(source=source, payment_id=record_id):
            return ("payment", SourceKey(institution_id, source, record_id))
        case LibraryRef(source=source, change_id=record_id):
            return ("change", SourceKey(institution_id, source, record_id))
        case _:
            return None
