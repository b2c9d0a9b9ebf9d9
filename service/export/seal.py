"""Seals a batch in one commit: locks accounts, checks the fines again, decides, prints, proves,
stores and publishes.

The plan has read the selected fines without locking them. The accounts of the selected fines are
therefore locked here before the fines are read again, so that nothing can change until the commit.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from ..apply.applier import Applier
from ..apply.poll import Patience
from ..apply.tally import TallyMetric
from ..core import rules
from ..core.events import WaitQueue
from ..core.ledger import AccountKey, Fine, FineKey
from ..core.words import Wait
from ..core.workspace import View
from ..database.references import References
from ..database.session import (
    Connection,
    in_background,
    keep_session_alive,
    run_in_thread,
    statements,
)
from ..runtime.process import crash_point
from . import store as export_store
from .batch import CreditRef
from .build import Draft, decide, print_batch
from .manifest import Manifest
from .plan import Plan
from .profiles.profile import EmptyRun, Profile
from .publish import ExportTopics, publish
from .recheck import check_again, keys_of
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
    """Seals the batch of a complete plan in the caller's transaction, in which the run is locked.

    Returns the manifest and the run as it is after the batch; the manifest is None if no fine of
    the plan is due any more and no empty batch is wanted. Raises the errors of `build`, IdsUsedUp,
    and ParkedFailure if the program fails on parked records.
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
    changes = await run_in_thread(connection, len(due), lambda: decide(draft, view))
    # The document is printed and proved while the ledger is written.
    printing = in_background(len(due), lambda: print_batch(draft, changes, view, view.recorded_at))

    async def publish_printed() -> None:
        batch = await keep_session_alive(connection, printing)
        crash_point("export_rendered")
        await publish(connection, topics, batch, applier.outputs.ce_source)

    try:
        await applier.write(connection, changes, view.recorded_at, publish_printed)
    except BaseException:
        printing.cancel()
        await asyncio.gather(printing, return_exceptions=True)
        raise
    batch = await printing
    crash_point("export_sealed")
    applier.tally.add(TallyMetric.BATCHES, (profile.code,))
    if due:
        applier.tally.add(TallyMetric.FINES_EXPORTED, (profile.code,), len(due))
    return batch.manifest, draft.run


@asynccontextmanager
async def short_account_locks(connection: Connection) -> AsyncIterator[None]:
    """Lets the session wait only a short time for the lock of each account.

    A batch locks the accounts of its fines one after another. While a batch waits for an account
    that another session has locked, the intake cannot write to the accounts that the batch has
    locked before; without this limit that might last as long as a session may wait for any lock.
    """
    before = await connection.fetchval(SQL["lock_wait"])
    await Patience(lock_ms=ACCOUNT_LOCK_MS).apply_to(connection)
    yield
    await connection.fetchval(SQL["set_lock_wait"], before)


def references_of(profile: Profile, plan: Plan) -> References:
    """Returns what has to be locked and read in order to export the selected fines."""
    institution_id = profile.institution_id
    patron_ids = {fine.position[0] for fine in plan.selected}
    accounts = {AccountKey(institution_id, each, profile.currency) for each in patron_ids}
    return References(
        fines=keys_of(profile, plan),
        patrons={(institution_id, patron_id) for patron_id in patron_ids},
        accounts=accounts,
        exported=accounts,
        is_export=True,
        versions=plan.versions,
    )


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
    """Returns the fines that are in the ledger although parked records still wait for them as
    unknown.
    """
    awaited = {
        FineKey(item.event.key.institution_id, item.fine_id)
        for item in view.parked.values()
        if item.wait is Wait.UNKNOWN_FINE and item.fine_id is not None
    }
    return sorted(awaited & view.fines.keys())


def after_retry(view: View, queues: Sequence[WaitQueue]) -> View:
    """Returns the ledger as it would be after the parked records in `queues` were tried again;
    nothing is written.
    """
    changes = rules.fold(view, (), queues)
    return replace(
        view,
        accounts={**view.accounts, **{each.key: each for each in changes.accounts.written}},
        fines={**view.fines, **{each.facts.key: each for each in changes.fines.written}},
        parked={
            key: item for key, item in view.parked.items() if key not in changes.parked.removed
        },
    )


def seals_empty(profile: Profile, run: OpenRun, plan: Plan) -> bool:
    """Whether a batch without fines is sealed.

    A batch without fines is sealed at the end of a run if an earlier batch of the run has said that
    another would follow, or if the profile wants a batch from each run.
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
    """Returns everything from which a batch is built; `after` is the run with its mark behind the
    fines `due`.

    `earlier` has, by fine id, lines of this run that are not in the database, because a preview
    stores none. Raises IdsUsedUp.
    """
    numbers.require(len(due))
    credited = {
        FineKey(fine.facts.institution_id, fine.facts.credit_of)
        for fine in due
        if fine.facts.credit_of is not None
    }
    refs = {**await export_store.credit_refs(connection, credited), **(earlier or {})}
    return Draft(profile, replace(after, parts=after.parts + 1), plan.is_last, due, numbers, refs)
