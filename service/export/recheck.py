"""Checks the planned fines of a batch again under the locks of their accounts, before the batch is
sealed.

Other commits may have changed the planned fines since the plan has read them. Fines that were
certainly not changed are not evaluated again.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial

from ..core.ledger import Fine, FineKey
from ..core.workspace import View
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, run_in_thread
from . import store as export_store
from .batch import Position
from .candidates import SetApart
from .credited import fines_of_credits
from .evaluation import (
    Group,
    by_patron,
    evaluate_groups,
    position_of,
    set_apart,
    whole_patrons,
)
from .plan import Plan
from .profiles.profile import AmountScope, Profile
from .run import OpenRun


def keys_of(profile: Profile, plan: Plan) -> set[FineKey]:
    """Returns the keys of the fines that the plan has selected."""
    return {FineKey(profile.institution_id, fine.position[1]) for fine in plan.selected}


async def check_again(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    plan: Plan,
    view: View,
) -> tuple[list[Fine], OpenRun]:
    """Evaluates the selected fines again as they are in `view`, which was read under the locks.

    Returns the fines that are still to be exported, and the run as it is after them. The batch will
    print the fines and patrons of `view`; patrons are not locked.
    """
    selected = keys_of(profile, plan)
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
        as_planned = {
            fine.facts.key
            for group in still_open
            if _is_as_planned(profile, plan, view, group)
            for fine in group
        }
        apart = await set_apart(connection, profile, run, still_open, as_planned)
        changed = []
        for group in still_open:
            if group[0].facts.key in as_planned and not _is_apart(group, apart):
                due += group
            else:
                changed.append(group)
        others = await fines_of_credits(connection, store, run, changed, view.fines)
        work = partial(check, changed, apart, others)
        await run_in_thread(connection, sum(map(len, changed)), work)
    due.sort(key=position_of)
    return due, run.moved(plan.reached, held_back, due)


def _is_as_planned(profile: Profile, plan: Plan, view: View, group: Group) -> bool:
    """Whether the plan has evaluated the very same rows of a patron and the selected fines.

    Then the rules would say the same again. A minimum per patron counts fines that are not
    selected, and a credit may depend on its fine, so that these are always evaluated again.
    """
    facts = group[0].facts
    patron = plan.patrons.get(facts.patron_id)
    return (
        profile.minimum_amount_scope is AmountScope.FINE
        and patron is not None
        and view.patrons.get((facts.institution_id, facts.patron_id)) == patron
        and all(
            fine.facts.credit_of is None
            and (planned := plan.versions.get(fine.facts.key)) is not None
            and planned.fine is fine
            for fine in group
        )
    )


def _is_apart(group: Group, apart: SetApart) -> bool:
    """Whether a record or an adopted line that waits may keep some of the fines back."""
    return any(
        fine.facts.fine_id in apart.failed or fine.facts.fine_id in apart.awaited for fine in group
    )


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
