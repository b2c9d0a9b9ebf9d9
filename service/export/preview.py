"""The next run as it would be now: the same code and numbers, one snapshot, nothing written."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

from ..core.parked import ParkedFailure
from ..database.ledger_store import LedgerStore
from ..database.session import Connection, Pool, run_in_thread
from . import claims, plan_store
from . import store as export_store
from .batch import CreditRef
from .plan import STEP_FINES_MAX, Plan, claims_of, extend_plan
from .profiles.profile import Profile
from .rehearsal import rehearse
from .sealing import (
    Built,
    Part,
    advanced,
    between_steps,
    missed_by,
    references_of,
    seals_empty,
    settled,
)
from .store import Numbers


async def preview(
    pool: Pool,
    store: LedgerStore,
    profile: Profile,
    passed: Callable[[int], None] = lambda _: None,
    step_fines_max: int = STEP_FINES_MAX,
) -> AsyncIterator[Built]:
    """Batch after batch of the run that is open, or would be opened now.

    `passed` gets the number of open fines that each step has passed. Raises FailingFines where
    the run would fail.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        run = await export_store.new_run(connection, profile)
        numbers = await export_store.next_numbers(connection, profile)
        plan = await plan_store.load(connection, run)
        earlier: dict[str, CreditRef] = {}
        is_over = False
        while not is_over:
            before = plan
            plan = await extend_plan(connection, store, profile, run, plan, step_fines_max)
            if not plan.is_complete:
                passed(plan.fines)
                run, plan = between_steps(run, plan)
                continue
            claimed = await claims_of(connection, store, profile, plan)
            part = Part(profile, run, claimed, (), numbers, earlier)
            try:
                part, built = await _built(connection, store, part)
            except ParkedFailure as failure:  # the run marks these, and takes the step again
                run = replace(run, left_out=run.left_out.union(failure.keys))
                plan = before
                continue
            passed(plan.fines)
            is_over = plan.last
            if built is None:
                run = advanced(run, part.claimed, part.due)
                plan = Plan(run.after)
                continue
            yield built
            run, numbers = built.run, _following(numbers, built)
            plan = Plan(run.after)
            earlier |= built.lines


async def _built(
    connection: Connection, store: LedgerStore, part: Part
) -> tuple[Part, Built | None]:
    """The part as it is due under the accounts' present state; None: no batch is made of it.

    Raises ParkedFailure with the parked records on which the program fails.
    """
    profile, run = part.profile, part.run
    named = references_of(part.claimed.fines)
    named.without |= run.left_out
    accounts = await store.peek(connection, named)
    view = await store.view(connection, named, accounts)
    if lanes := missed_by(view):  # the run settles these before it exports
        view = await run_in_thread(connection, len(view.parked), partial(settled, view, lanes))
    due, claimed = await claims.still_due(connection, store, profile, run, part.claimed, view)
    part = replace(part, claimed=claimed, due=due)
    if not due and not seals_empty(profile, run, claimed):
        return part, None
    return part, await rehearse(connection, part, view, accounts)


def _following(numbers: Numbers, built: Built) -> Numbers:
    return Numbers(
        numbers.batch_number + 1,
        bytes.fromhex(built.manifest.sha256),
        numbers.export_number + 1,
        numbers.first_bursar_id + built.manifest.count,
    )
