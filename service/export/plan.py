"""The plan of the next batch: which fines it will have, selected in steps of bounded length.

A step reads some thousand open fines and ends with a commit, so neither the memory nor the time of
the run's lock grows with the number of fines that are not due. Steps do not change what is
selected: a run that is planned in one step seals the same batches.
"""

from collections import Counter
from dataclasses import dataclass, field

from ..database.ledger_read import LedgerReader
from ..database.session import Connection, statements
from . import store as export_store
from .batch import Limits, Position, SelectedFine, fitting
from .evaluation import Evaluation, evaluations, position_of
from .profiles.profile import Profile
from .run import OpenRun
from .selection import Exclusion

SQL = statements("export")
# A step of this many fines takes about a second. A patron is never divided between two steps.
STEP_FINES_MAX = 10_000

Passed = Counter[Exclusion | None]


@dataclass(slots=True)
class Plan:
    """The fines between the mark of a run and the position `reached`, and what becomes of them.

    `selected` are to be exported and `held_back` counts those that are held back, by reason.
    `is_complete` says that the batch can be sealed, `is_last` that no open fine lies behind
    `reached`. `passed` counts the open fines that the latest step has read, by the reason why they
    are not exported now; None of those that are.
    """

    reached: Position
    selected: list[SelectedFine] = field(default_factory=list)
    held_back: Counter[Exclusion] = field(default_factory=Counter)
    is_complete: bool = False
    is_last: bool = False
    passed: Passed = field(default_factory=Counter)

    @property
    def size_bytes(self) -> int:
        """The bytes that the selected fines take at most."""
        return sum(fine.size_bytes for fine in self.selected)


async def extend_plan(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    plan: Plan,
    fines_max: int = STEP_FINES_MAX,
) -> Plan:
    """Returns the plan after one more step, which reads without locking an account or a fine.

    The step ends after `fines_max` open fines, or earlier if the batch is complete. The fines are
    checked again under the locks when the batch is sealed. A plan that the limits of the profile
    do not allow any more is made anew from the mark of the run.
    """
    if not _is_allowed(plan, profile.limits):
        plan = Plan(run.after)
    start, step = plan.reached, _Step(plan, profile.limits)
    async for evaluation in evaluations(connection, store, profile, run, start):
        # An earlier step has read all fines of this patron. Fines that were created since then wait
        # for the next run: the patron's fines would stand in two batches, and the part in each of
        # them might be below the minimum amount.
        if evaluation.patron_id == start[0] and start != run.after:
            continue
        if not step.add(evaluation):
            step.plan.is_complete = True
            return step.plan
        if step.plan.passed.total() >= fines_max:
            return step.plan
    step.plan.is_complete = step.plan.is_last = True
    return step.plan


def _is_allowed(plan: Plan, limits: Limits) -> bool:
    """Whether a batch may hold what earlier steps have selected. A single fine always has a batch.

    The limits are those of the profile in force, not those at the start of the run: if an operator
    lowers them, the ERP does not accept larger files.
    """
    count = len(plan.selected)
    return count <= 1 or limits.allow(count, plan.size_bytes)


class _Step:
    """Extends a copy of a plan by one patron after the other."""

    def __init__(self, plan: Plan, limits: Limits) -> None:
        self.plan = Plan(plan.reached, list(plan.selected), Counter(plan.held_back))
        self._limits = limits
        self._size_bytes = plan.size_bytes

    def add(self, evaluation: Evaluation) -> bool:
        """Adds a patron; False if the batch is full without the patron, or with a part."""
        plan, due = self.plan, evaluation.selected
        part = fitting(len(plan.selected), self._size_bytes, due, self._limits)
        if due and not part:
            return False
        is_whole = len(part) == len(due)
        plan.reached = position_of(evaluation.fines[-1][0]) if is_whole else part[-1].position
        plan.selected += part
        self._size_bytes += sum(fine.size_bytes for fine in part)
        passed = [why for fine, why in evaluation.fines if position_of(fine) <= plan.reached]
        plan.held_back.update(why for why in passed if why is not None and why.is_held_back)
        plan.passed.update(passed)
        return is_whole


def between_steps(run: OpenRun, plan: Plan) -> tuple[OpenRun, Plan]:
    """Returns the run and its plan after a step that did not complete the batch.

    The mark moves only as long as nothing is selected, because an older release that continues the
    run does not know the plan.
    """
    if plan.selected:
        return run, plan
    moved = run.moved(plan.reached, plan.held_back)
    return moved, Plan(moved.after)


async def load_plan(connection: Connection, run: OpenRun) -> Plan:
    """The plan that earlier steps of the run have kept; an empty one if there is none."""
    key = (run.institution_id, run.profile, run.run_id)
    row = await connection.fetchrow(SQL["plan"], *key, *run.after)
    if row is None:
        return Plan(run.after)
    columns = zip(row["patron_ids"], row["fine_ids"], row["sizes_bytes"], strict=True)
    selected = [SelectedFine((patron, fine), size_bytes) for patron, fine, size_bytes in columns]
    held_back = export_store.counts_of(row["held_back"])
    return Plan((row["looked_patron"], row["looked_fine"]), selected, held_back)


async def keep_plan(connection: Connection, run: OpenRun, plan: Plan) -> None:
    """Keeps the state between two steps for the next step; the run is locked."""
    run, plan = between_steps(run, plan)
    if not plan.selected:
        await export_store.advance_run(connection, run, closed=False)
        return
    await connection.execute(
        SQL["put_plan"],
        run.institution_id,
        run.profile,
        run.run_id,
        *run.after,
        *plan.reached,
        [fine.position[0] for fine in plan.selected],
        [fine.position[1] for fine in plan.selected],
        [fine.size_bytes for fine in plan.selected],
        export_store.counts_text(plan.held_back),
    )


async def drop_plan(connection: Connection, run: OpenRun) -> None:
    """Deletes the plan: its batch is sealed, or nothing of it was due any more."""
    await connection.execute(SQL["drop_plan"], run.institution_id, run.profile)
