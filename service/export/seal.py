"""Seals a batch in one commit: lock, check again, decide, render, prove, number, store, publish.

The selected fines were read without locks. Here their accounts are locked first, so that what is
read after that cannot change until the commit.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from ..apply.applier import Applier
from ..apply.poll import Patience
from ..apply.tally import TallyMetric
from ..core import rules
from ..core.events import WaitQueue
from ..core.ledger import AccountKey, Fine, FineKey
from ..core.words import Wait
from ..core.workspace import View
from ..database.ledger_read import LedgerReader
from ..database.references import References
from ..database.session import Connection, run_in_thread, statements
from ..runtime.process import crash_point
from . import store as export_store
from .batch import CreditRef, Position
from .build import Draft, build
from .credited import fines_of_credits
from .evaluation import (
    Group,
    SetApart,
    by_patron,
    evaluate_groups,
    position_of,
    set_apart,
    whole_patrons,
)
from .manifest import Manifest
from .plan import Plan
from .profiles.profile import AmountScope, EmptyRun, Profile
from .publish import ExportTopics, publish
from .run import Numbers, OpenRun

SQL = statements("export")
# Longer than an ordinary commit of the intake takes. The intake waits no longer than this behind a
# batch that waits for an account.
ACCOUNT_LOCK_MS = 1_000


async def seal(
    connection: Connection,
    applier: Applier,
    topics: ExportTopics,
    profile: Profile,
    run: OpenRun,
    plan: Plan,
) -> tuple[Manifest | None, OpenRun]:
    """Seals the batch of a complete plan inside the caller's transaction, which has locked the run.

    Returns the manifest and the run behind the batch; the manifest is None if nothing of the plan
    is due any more. Raises what `build` raises, IdsUsedUp, and ParkedFailure for parked records on
    which the program fails.
    """
    crash_point("export_selected")
    async with short_account_locks(connection):
        view = await _lock_and_read(connection, applier, references_of(profile, plan))
    due, after = await check_again(connection, applier.store, profile, run, plan, view)
    if not due and not seals_empty(profile, run, plan):
        return None, after
    # The counters are locked last, because all batches of an institution take their numbers there.
    numbers = await export_store.take_numbers(connection, profile, len(due))
    draft = await draft_of(connection, profile, after, plan, due, numbers)
    batch = await run_in_thread(connection, len(due), lambda: build(draft, view, view.recorded_at))
    crash_point("export_rendered")
    await publish(connection, topics, batch, applier.outputs.ce_source)
    await applier.write(connection, batch.changes, view.recorded_at)
    crash_point("export_sealed")
    applier.tally.add(TallyMetric.BATCHES, (profile.code,))
    if due:
        applier.tally.add(TallyMetric.FINES_EXPORTED, (profile.code,), len(due))
    return batch.manifest, draft.run


@asynccontextmanager
async def short_account_locks(connection: Connection) -> AsyncIterator[None]:
    """Limits the wait for each account to a short time.

    The accounts of a batch are locked one after another. If a batch waited for an account that
    another session holds, it would keep all accounts before that one from the intake for as long as
    the session may wait for a lock.
    """
    before = await connection.fetchval(SQL["lock_wait"])
    await Patience(lock_ms=ACCOUNT_LOCK_MS).apply_to(connection)
    yield
    await connection.fetchval(SQL["set_lock_wait"], before)


def references_of(profile: Profile, plan: Plan) -> References:
    """What has to be locked and read to export the selected fines."""
    institution_id = profile.institution_id
    patron_ids = {fine.position[0] for fine in plan.selected}
    accounts = {AccountKey(institution_id, each, profile.currency) for each in patron_ids}
    return References(
        fines=_keys_of(profile, plan),
        patrons={(institution_id, patron_id) for patron_id in patron_ids},
        accounts=accounts,
        exported=accounts,
        is_export=True,
    )


def _keys_of(profile: Profile, plan: Plan) -> set[FineKey]:
    return {FineKey(profile.institution_id, fine.position[1]) for fine in plan.selected}


async def _lock_and_read(connection: Connection, applier: Applier, named: References) -> View:
    """Locks the accounts and reads the ledger, after retrying parked records that missed a fine.

    A change and its fine that were decided at the same instant missed each other, and the sweep may
    not have retried the change yet. What was paid in the library must not go to the bursar.
    """
    store = applier.store
    locked = await store.lock(connection, named)
    view = await store.view(connection, named, locked)
    queues = missed_fines(view)
    if not queues:
        return view
    await applier.apply_events(connection, named, (), queues)
    locked = await store.lock(connection, named)
    return await store.view(connection, named, locked)


def missed_fines(view: View) -> list[FineKey]:
    """The fines that are known although a parked record waits for them as unknown."""
    awaited = {
        FineKey(item.event.key.institution_id, item.fine_id)
        for item in view.parked.values()
        if item.wait is Wait.UNKNOWN_FINE and item.fine_id is not None
    }
    return sorted(awaited & view.fines.keys())


def after_retry(view: View, queues: Sequence[WaitQueue]) -> View:
    """The ledger as it would be after a retry of these queues; nothing is written."""
    changes = rules.fold(view, (), queues)
    return replace(
        view,
        accounts={**view.accounts, **{each.key: each for each in changes.accounts.written}},
        fines={**view.fines, **{each.facts.key: each for each in changes.fines.written}},
        parked={
            key: item for key, item in view.parked.items() if key not in changes.parked.removed
        },
    )


async def check_again(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    plan: Plan,
    view: View,
) -> tuple[list[Fine], OpenRun]:
    """Evaluates the selected fines again, as they are in `view`, which was read under the locks.

    Returns those that are still to be exported, and the run behind them. The fines and patrons of
    `view` are those that will be printed; nothing locks a patron.
    """
    selected = _keys_of(profile, plan)
    in_batch = {key.fine_id for key in selected}
    due: list[Fine] = []
    held_back = Counter(plan.held_back)

    def check(groups: Sequence[Group], apart: SetApart, others: Mapping[FineKey, Fine]) -> None:
        for evaluation in evaluate_groups(
            profile, run, groups, view.patrons, apart, others, in_batch
        ):
            for fine, exclusion in evaluation.fines:
                if fine.facts.key not in selected:
                    continue
                if exclusion is None:
                    due.append(fine)
                elif exclusion.is_held_back:
                    held_back[exclusion] += 1

    async for groups in _patrons_to_check(connection, store, profile, run, plan, view):
        still_open = [group for fines in groups if (group := _still_open(fines, view))]
        apart = await set_apart(connection, profile, run, still_open)
        others = await fines_of_credits(connection, store, run, still_open, view.fines)
        await run_in_thread(
            connection, sum(map(len, still_open)), partial(check, still_open, apart, others)
        )
    due.sort(key=position_of)
    return due, run.moved(plan.reached, held_back, due)


async def _patrons_to_check(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    plan: Plan,
    view: View,
) -> AsyncIterator[list[Group]]:
    """Yields what has to be evaluated again before the batch is sealed, grouped by patron.

    A minimum per patron counts all open fines of the patron, which may be far more than those that
    are selected: the others are read page by page. Everything else depends on the fine alone.
    """
    institution_id = profile.institution_id
    selected = by_patron(
        view.fines[FineKey(institution_id, fine.position[1])] for fine in plan.selected
    )
    if profile.minimum_amount_scope is AmountScope.FINE:
        yield selected
        return
    fines_of = {fines[0].facts.patron_id: fines for fines in selected}
    known = [fine.position[1] for fine in plan.selected]
    patron_ids = list(fines_of)

    async def page(after: Position, limit: int) -> list[Fine]:
        return await export_store.open_fines(
            connection, store, profile, after, limit, patron_ids, known
        )

    async for groups in whole_patrons(page, run.after):
        yield [(*fines_of.pop(others[0].facts.patron_id), *others) for others in groups]
    yield list(fines_of.values())


def _still_open(fines: Iterable[Fine], view: View) -> Group:
    """The fines as they are in the view, without those that are not open any more."""
    current = (view.fines.get(fine.facts.key, fine) for fine in fines)
    return tuple(fine for fine in current if fine.is_open_in_library)


def seals_empty(profile: Profile, run: OpenRun, plan: Plan) -> bool:
    """Whether a batch without fines is sealed.

    It ends a run whose earlier batch said that more would come, or a run of a profile that wants a
    batch from each run.
    """
    return plan.is_last and (run.parts > 0 or profile.empty_run is EmptyRun.EMPTY_BATCH)


async def draft_of(
    connection: Connection,
    profile: Profile,
    after: OpenRun,
    plan: Plan,
    due: Sequence[Fine],
    numbers: Numbers,
    earlier: Mapping[str, CreditRef] | None = None,
) -> Draft:
    """What the batch is built from; `after` is the run with its mark behind these fines.

    `earlier` has the lines of this run that are not in the database, by fine id. Raises IdsUsedUp.
    """
    numbers.require(len(due))
    credited = {
        FineKey(fine.facts.institution_id, fine.facts.credit_of)
        for fine in due
        if fine.facts.credit_of is not None
    }
    refs = {**await export_store.credit_refs(connection, credited), **(earlier or {})}
    return Draft(profile, replace(after, parts=after.parts + 1), plan.is_last, due, numbers, refs)
