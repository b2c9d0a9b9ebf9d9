"""Plans the next batch: selects its fines in steps that each read a limited number of fines.

A step reads some thousand open fines and ends with a commit, so that a run needs neither more
memory nor longer locks if very many fines are not due. The number of steps does not change which
fines are selected: a run planned in a single step would seal the same batches.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..core.ledger import FineKey, Patron
from ..database.ledger_read import LedgerReader
from ..database.references import FineVersion
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
    """What was decided on the open fines between the position up to which the run is finished and
    `reached`.

    `selected` has the fines to be exported, and `held_back` counts the fines that are held back, by
    reason. `is_complete` says that the batch can be sealed, and `is_last` that there are no open
    fines behind `reached`. `passed` counts the open fines that the latest step has read, by the
    reason why each is not exported; the reason is None for fines that are. `versions` and `patrons`
    have the selected fines and their patrons as this transaction has read them; fines and patrons
    that an earlier transaction read are absent.
    """

    reached: Position
    selected: list[SelectedFine] = field(default_factory=list)
    held_back: Counter[Exclusion] = field(default_factory=Counter)
    is_complete: bool = False
    is_last: bool = False
    passed: Passed = field(default_factory=Counter)
    versions: dict[FineKey, FineVersion] = field(default_factory=dict)
    patrons: dict[str, Patron] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Returns the largest number of bytes that the selected fines can take in the file."""
        return sum(fine.size_bytes for fine in self.selected)


async def extend_plan(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    plan: Plan,
    fines_max: int = STEP_FINES_MAX,
) -> Plan:
    """Returns the plan after one more step, which reads fines without locking their rows or
    accounts.

    The step ends after `fines_max` open fines, or earlier if the batch is full. The selected fines
    are checked again under locks when the batch is sealed. If an operator has lowered the profile's
    limits so that the plan exceeds them, the plan is discarded, and the step begins a new one at
    the position that the run has finished.
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
        self.plan = replace(
            plan,
            selected=list(plan.selected),
            held_back=Counter(plan.held_back),
            is_complete=False,
            is_last=False,
            passed=Counter(),
            versions=dict(plan.versions),
            patrons=dict(plan.patrons),
        )
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
        self._note(evaluation, part)
        self._size_bytes += sum(fine.size_bytes for fine in part)
        passed = [why for fine, why in evaluation.fines if position_of(fine) <= plan.reached]
        plan.held_back.update(why for why in passed if why is not None and why.is_held_back)
        plan.passed.update(passed)
        return is_whole

    def _note(self, evaluation: Evaluation, part: Sequence[SelectedFine]) -> None:
        """Keeps what was read of the fines that were selected, so that it is not read again."""
        if not part or evaluation.patron is None:
            return
        self.plan.patrons[evaluation.patron_id] = evaluation.patron
        for each in part:
            key = FineKey(evaluation.patron.institution_id, each.position[1])
            if (version := evaluation.versions.get(key)) is not None:
                self.plan.versions[key] = version


def between_steps(run: OpenRun, plan: Plan) -> tuple[OpenRun, Plan]:
    """Returns the run and its plan as they are stored after a step that did not complete the batch.

    The run's position moves forward only if nothing is selected so far: a process of an older
    release may continue the run, and it does not know the plan and would skip the selected fines.
    """
    if plan.selected:
        return run, plan
    moved = run.moved(plan.reached, plan.held_back)
    return moved, Plan(moved.after)


async def load_plan(connection: Connection, run: OpenRun) -> Plan:
    """Returns the plan that earlier steps of the run have stored, or an empty plan."""
    key = (run.institution_id, run.profile, run.run_id)
    row = await connection.fetchrow(SQL["plan"], *key, *run.after)
    if row is None:
        return Plan(run.after)
    columns = zip(row["patron_ids"], row["fine_ids"], row["sizes_bytes"], strict=True)
    selected = [SelectedFine((patron, fine), size_bytes) for patron, fine, size_bytes in columns]
    held_back = export_store.counts_of(row["held_back"])
    return Plan((row["looked_patron"], row["looked_fine"]), selected, held_back)


async def keep_plan(connection: Connection, run: OpenRun, plan: Plan) -> None:
    """Stores run and plan for the next step; the caller has locked the run."""
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
    """Deletes the stored plan after its batch was sealed, or because none of its fines is due any
    more.
    """
    await connection.execute(SQL["drop_plan"], run.institution_id, run.profile)
