"""The plan of the next batch: which fines it will have, selected in steps of bounded length.

A step looks at some thousand open fines and ends with a commit, so neither memory nor the lock of
the run grows with what is passed over. Steps change nothing of what is selected: a run that is
planned in one step seals the same batches.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.ledger import Fine, FineKey
from ..database.ledger_store import LedgerStore
from ..database.session import Connection
from .batch import Limits, Sized, cut
from .claims import Claims, Evaluation, Place, evaluations, place_of
from .profiles.profile import Profile
from .selection import Exclusion
from .store import OpenRun

# Of one step: a second of work, about. A patron is looked at whole, however many fines that are.
STEP_FINES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Selected:
    """A fine of the next batch. `fine` is None when an earlier commit has selected it."""

    place: Place
    size_bytes: int
    fine: Fine | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What lies behind the run's mark, up to `reached`, was looked at; `selected` of it is due.

    `is_complete`: the batch can be sealed; `last`: no open fine lies behind `reached`. `fines` is
    how many open fines the latest step has passed, for whoever watches the run.
    """

    reached: Place
    selected: tuple[Selected, ...] = ()
    held_back: Mapping[Exclusion, int] = field(default_factory=dict)
    is_complete: bool = False
    last: bool = False
    fines: int = 0


async def extend_plan(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    run: OpenRun,
    plan: Plan,
    fines_max: int = STEP_FINES_MAX,
) -> Plan:
    """The plan after one more step, which reads without locking an account or a fine.

    Whoever seals the batch checks it again under the locks. Ends after `fines_max` open fines, or
    sooner where the batch is complete. A plan that the profile's limits do not allow any more is
    made anew from the run's mark.
    """
    plan = plan if _is_allowed(plan, profile.limits) else Plan(run.after)
    step = _Step(profile, plan)
    async for evaluation in evaluations(connection, store, profile, run, plan.reached):
        # An earlier step has taken this patron whole. What has come since waits for the next run:
        # the patron's fines would stand in two batches, and each part be below the minimum.
        if evaluation.patron_id == plan.reached[0] and plan.reached != run.after:
            continue
        if not step.takes(evaluation):
            return step.plan(is_complete=True)
        if step.fines >= fines_max:
            return step.plan()
    return step.plan(is_complete=True, last=True)


def _is_allowed(plan: Plan, limits: Limits) -> bool:
    """Whether a batch of the profile as it is now may hold what an earlier commit has selected.

    The limits are those of the profile in force, not those at the start of the run: whoever lowers
    them has an ERP that does not take a larger file. A single fine always has a batch.
    """
    size_bytes = sum(selected.size_bytes for selected in plan.selected)
    return len(plan.selected) <= 1 or limits.allow(len(plan.selected), size_bytes)


class _Step:
    """The plan while one step extends it."""

    def __init__(self, profile: Profile, plan: Plan) -> None:
        self.fines = 0
        self._profile = profile
        self._reached = plan.reached
        self._selected = list(plan.selected)
        self._size_bytes = sum(selected.size_bytes for selected in plan.selected)
        self._held_back = Counter(plan.held_back)

    def takes(self, evaluation: Evaluation) -> bool:
        """Adds a patron; False where the batch is full without the patron, or with a part."""
        due = evaluation.sized
        if due and self._selected and not self._has_room(self._profile.limits, due):
            return False
        # Only who begins a batch may be too large for it; all others wait for a batch of their own.
        part = due if self._selected else next(cut(due, self._profile.limits), ())
        until = place_of(evaluation.fines[-1][0])
        if len(part) < len(due):
            until = place_of(part[-1].claim)
        self._add(part)
        self._pass_over(evaluation, until)
        return len(part) == len(due)

    def _has_room(self, limits: Limits, due: Sequence[Sized[Fine]]) -> bool:
        size_bytes = self._size_bytes + sum(more.size_bytes for more in due)
        return limits.allow(len(self._selected) + len(due), size_bytes)

    def _add(self, due: Sequence[Sized[Fine]]) -> None:
        self._selected += [
            Selected(place_of(more.claim), more.size_bytes, more.claim) for more in due
        ]
        self._size_bytes += sum(more.size_bytes for more in due)

    def _pass_over(self, evaluation: Evaluation, until: Place) -> None:
        passed = [exclusion for fine, exclusion in evaluation.fines if place_of(fine) <= until]
        self._held_back.update(
            exclusion for exclusion in passed if exclusion is not None and exclusion.is_held_back
        )
        self.fines += len(passed)
        self._reached = until

    def plan(self, *, is_complete: bool = False, last: bool = False) -> Plan:
        return Plan(
            self._reached, tuple(self._selected), self._held_back, is_complete, last, self.fines
        )


def claims_of_nothing(plan: Plan) -> Claims:
    """What was passed over where nothing is selected."""
    return Claims((), plan.reached, plan.last, plan.held_back)


async def claims_of(
    connection: Connection, store: LedgerStore, profile: Profile, plan: Plan
) -> Claims:
    """The fines of a complete plan as they are now; those that are not open any more are gone."""
    earlier = {
        FineKey(profile.institution_id, selected.place[1])
        for selected in plan.selected
        if selected.fine is None
    }
    read = await store.fines_by_key(connection, earlier)
    fines = (
        selected.fine or read[FineKey(profile.institution_id, selected.place[1])]
        for selected in plan.selected
    )
    still_open = tuple(fine for fine in fines if fine.is_open_in_library)
    return Claims(still_open, plan.reached, plan.last, plan.held_back)
