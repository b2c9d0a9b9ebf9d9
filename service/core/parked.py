"""Parked records: they are tried again when something changes, or an operator decides."""

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
    """Parked records can no longer be read or decided; the cause is the error that was raised."""

    def __init__(self, keys: tuple[ParkedKey, ...]) -> None:
        super().__init__(f"{len(keys)} parked records")
        self.keys = keys


def retry_parked(workspace: Workspace, queues: Iterable[WaitQueue]) -> None:
    """Tries the records in these queues again, oldest first, in passes until one has no effect.

    If a record changes another fine (an excess makes a credit, a reversal cancels it), the records
    that wait for that fine join the pass at their place by age; those older than the record join
    the next pass. A record that was parked before this fold and cannot be decided goes to
    `workspace.failures`. Raises ParkedFailure if such a record has changed the workspace before.
    """
    reached = dict.fromkeys(queues)
    while _pass(workspace, reached):
        pass
    workspace.keep_still(reached)


def retry_sums(workspace: Workspace) -> None:
    """Tries the sums without a line of the accounts of which something is outstanding again.

    Each reversal of a sum is behind the sum, so this ends with the last of them.
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
        again = replace(item, wait=outcome.wait, fine_id=outcome.fine_id, original=outcome.original)
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
    """Releases or discards a parked record; returns the queues that have to be tried again.

    A record that is held for its excess becomes a payment and a credit when it is released, and a
    sum without a line pays the fines that the decision names, or the oldest ones; any other record
    is in the queues that are returned. A record that is discarded is rejected. Counts the outcome
    `gone` if the record is not parked any more. Raises InvalidAllocations.
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
    """Splits changes into the effects of the events, and those of each record that was set free.

    A fold sets a parked record free if it can decide the record at last.

    Only transactions, rejections and closed loans are split. The rows of the tables are the state
    after the whole fold, and stay the same in every part.
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
