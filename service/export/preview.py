"""Shows what the next run would export now: the same code makes the same batches and numbers in one
read-only snapshot.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from ..apply.isolation import is_of_the_program, raise_for_parked
from ..core.ledger import Fine
from ..core.parked import ParkedFailure
from ..core.workspace import View
from ..database.ledger_read import LedgerReader
from ..database.outbox import Outputs
from ..database.session import Connection, Pool, run_in_thread
from ..database.tables import TRANSACTION
from . import store as export_store
from .batch import CreditRef
from .build import BuiltBatch, Draft, build
from .failures import UNSOUND, FailingFines, failing_fines
from .plan import STEP_FINES_MAX, Passed, Plan, between_steps, extend_plan, load_plan
from .profiles.profile import Profile
from .publish import encode_batch, encode_manifest
from .recheck import check_again
from .run import Numbers, OpenRun
from .seal import after_retry, draft_of, missed_fines, references_of, seals_empty

# What is encoded is thrown away: the names of the topics do not matter.
OUTPUTS = Outputs("balance-changed", "loan-closed", "rejected", "operator-action", "/preview")


async def preview(
    pool: Pool,
    store: LedgerReader,
    profile: Profile,
    passed: Callable[[Passed], None] = lambda _: None,
    step_fines_max: int = STEP_FINES_MAX,
) -> AsyncIterator[BuiltBatch]:
    """Yields each batch of the profile's open run, or of a run that would begin now.

    `passed` is called after each step with the number of open fines that it looked at, by the
    reason why they are not exported (see Plan). Raises FailingFines if the run would fail because
    of some fines.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        run = await export_store.current_run(connection, profile)
        numbers = await export_store.next_numbers(connection, profile)
        plan = await load_plan(connection, run)
        earlier: dict[str, CreditRef] = {}
        is_over = False
        while not is_over:
            before = plan
            plan = await extend_plan(connection, store, profile, run, plan, step_fines_max)
            if not plan.is_complete:
                passed(plan.passed)
                run, plan = between_steps(run, plan)
                continue
            try:
                batch, run = await _batch_of(
                    connection, store, profile, run, plan, numbers, earlier
                )
                if batch is not None:
                    run = run.with_exported(batch.changes.fines.changed)
            except ParkedFailure as failure:  # a run marks these records and repeats the step
                run = replace(run, left_out=run.left_out.union(failure.keys))
                plan = before
                continue
            passed(plan.passed)
            is_over = plan.is_last
            plan = Plan(run.after)
            if batch is not None:
                yield batch
                manifest = batch.manifest
                numbers = numbers.following(bytes.fromhex(manifest.sha256), manifest.count)
                earlier |= batch.credit_refs


async def _batch_of(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    plan: Plan,
    numbers: Numbers,
    earlier: Mapping[str, CreditRef],
) -> tuple[BuiltBatch | None, OpenRun]:
    """The batch of a complete plan, and the run behind it; None if nothing is due any more.

    Raises FailingFines, and ParkedFailure for parked records on which the program fails.
    """
    named = references_of(profile, plan)
    named.without |= run.left_out
    accounts = await store.peek(connection, named)
    view = await store.view(connection, named, accounts)
    view = replace(view, fines={**view.fines, **run.exported})
    if queues := missed_fines(view):  # a run retries these before it exports
        retry = partial(after_retry, view, queues)
        view = await run_in_thread(connection, len(view.parked), retry)
    due, after = await check_again(connection, store, profile, run, plan, view)
    if not due and not seals_empty(profile, run, plan):
        return None, after
    draft = await draft_of(connection, profile, after, plan, due, numbers, earlier)
    return await _rehearse(connection, draft, view, accounts.recorded_at), draft.run


async def _rehearse(
    connection: Connection, draft: Draft, view: View, recorded_at: datetime
) -> BuiltBatch:
    """Builds the batch and encodes all that a run would write. The document is that of the run.

    Raises FailingFines, ParkedFailure for parked records on which the program fails, and any error
    that has another cause.
    """

    def built(due: Sequence[Fine]) -> BuiltBatch:
        return build(replace(draft, due=due), view, recorded_at)

    def attempt(due: Sequence[Fine]) -> None:
        _encode(built(due), recorded_at)

    count = len(draft.due)
    try:
        batch = await run_in_thread(connection, count, lambda: built(draft.due))
        try:
            await run_in_thread(connection, count, lambda: _encode(batch, recorded_at))
        except Exception:
            await raise_for_parked(connection, batch.changes, OUTPUTS, recorded_at)
            raise
    except ParkedFailure:
        raise
    except Exception as problem:
        if not (isinstance(problem, UNSOUND) or is_of_the_program(problem)):
            raise
        failing = await run_in_thread(connection, count, lambda: failing_fines(draft.due, attempt))
        if not failing:
            raise
        raise FailingFines(draft.profile.code, failing) from problem
    return batch


def _encode(batch: BuiltBatch, recorded_at: datetime) -> None:
    """Encodes the records for Kafka and the rows of the ledger, as a run does."""
    encode_batch(batch.manifest, batch.document, OUTPUTS.ce_source)
    encode_manifest(batch.manifest, OUTPUTS.ce_source)
    TRANSACTION.rows(batch.changes.transactions, recorded_at)
    OUTPUTS.encoded(batch.changes, recorded_at)
