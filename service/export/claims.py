"""What a run may take: pages of open fines, whole patrons at a time, through the selection."""

from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import groupby

from ..core.ledger import Fine, FineKey, Patron
from ..core.words import Status
from ..core.workspace import PatronKey, View
from ..database.failed_changes import fines_that_wait
from ..database.ledger_store import LedgerStore
from ..database.session import Connection, run_in_thread
from . import store as export_store
from .batch import Sized
from .failures import FailingFines, failing_fines
from .profiles.profile import AmountScope, Profile
from .selection import Candidate, Exclusion, local_date, select
from .sizes import sized, unsound_codes
from .store import OpenRun

Place = tuple[str, str]  # patron and fine: the order of a run

PAGE_FINES_MAX = 2_000
# Beyond a full batch: a page that ends with it leaves its last patron open, and costs a second one.
PAGE_FINES_MORE = 50


@dataclass(frozen=True, slots=True)
class Claims:
    """The fines of one batch, in (patron, fine) order, and what was passed over on the way.

    The run's mark moves to `after`; `last` says that no open fine lies behind it.
    """

    fines: tuple[Fine, ...]
    after: Place
    last: bool
    held_back: Mapping[Exclusion, int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One patron's fines with their exclusions (None: to be exported), in fine order.

    `sized`: those to be exported, with the bytes that each takes at most.
    """

    patron_id: str
    patron: Patron | None
    fines: tuple[tuple[Fine, Exclusion | None], ...]
    sized: tuple[Sized[Fine], ...] = ()


async def still_due(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    run: OpenRun,
    claimed: Claims,
    view: View,
) -> tuple[list[Fine], Claims]:
    """Under the locks, the claimed fines that still pass.

    The view's fines and patrons are those that will be printed: nothing locks a patron. The claim
    comes back with what is held back only now.
    """
    wanted = {fine.facts.key: fine for fine in claimed.fines}
    due: list[Fine] = []
    held: Counter[Exclusion] = Counter()

    def look(groups: Sequence[tuple[Fine, ...]], waiting: Collection[str]) -> None:
        for evaluation in evaluate_groups(profile, run, groups, view.patrons, waiting):
            _divide([item for item in evaluation.fines if item[0].facts.key in wanted], due, held)

    async for groups in _claimed_patrons(connection, store, profile, run, wanted):
        now = [group for fines in groups if (group := _as_locked(fines, view))]
        waiting = await _waiting(connection, run, now)
        await run_in_thread(connection, sum(map(len, now)), partial(look, now, waiting))
    return due, replace(claimed, held_back=Counter(claimed.held_back) + held)


def _divide(
    evaluation: Iterable[tuple[Fine, Exclusion | None]], due: list[Fine], held: Counter[Exclusion]
) -> None:
    """Adds each fine to `due`, or its reason to `held` if it is held back."""
    for fine, exclusion in evaluation:
        if exclusion is None:
            due.append(fine)
        elif exclusion.is_held_back:
            held[exclusion] += 1


def _as_locked(fines: Iterable[Fine], view: View) -> tuple[Fine, ...]:
    """What is still open of them by the view, which was read under the locks."""
    now = (view.fines.get(fine.facts.key, fine) for fine in fines)
    return tuple(fine for fine in now if fine.is_open_in_library)


async def _claimed_patrons(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    run: OpenRun,
    wanted: Mapping[FineKey, Fine],
) -> AsyncIterator[list[tuple[Fine, ...]]]:
    """What has to be looked at again before these fines are sealed, grouped by patron.

    A minimum per patron counts all that the patron has open, which may be far more than what is
    claimed: it is read page by page. Everything else is decided by the fine itself.
    """
    if profile.minimum_amount_scope is AmountScope.FINE:
        yield _by_patron(wanted.values())
        return
    patron_ids = sorted({fine.facts.patron_id for fine in wanted.values()})

    async def page(after: Place, limit: int) -> list[Fine]:
        return await export_store.open_fines_of_patrons(
            connection, store, profile, after, patron_ids, limit
        )

    async for groups in _whole_patrons(page, run.after, PAGE_FINES_MAX):
        yield groups


async def evaluations(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    run: OpenRun,
    after: Place | None = None,
) -> AsyncIterator[Evaluation]:
    """Patron after patron behind `after` (the run's mark), each whole, however the pages fall."""

    async def page(after: Place, limit: int) -> list[Fine]:
        return await export_store.open_fines(connection, store, profile, after, limit)

    first = min(PAGE_FINES_MAX, profile.limits.fines_max + PAGE_FINES_MORE)
    async for groups in _whole_patrons(page, after or run.after, first):
        for evaluation in await evaluate(connection, store, profile, run, groups):
            yield evaluation


async def _whole_patrons(
    page: Callable[[Place, int], Awaitable[list[Fine]]], after: Place, limit: int
) -> AsyncIterator[list[tuple[Fine, ...]]]:
    """The fines of each page by patron; one whom a page cuts comes whole with the next page.

    The first page has `limit` fines. Who reads on has found little that is due, so the pages grow.
    """
    waiting: tuple[Fine, ...] = ()
    more = True
    while more:
        fines = await page(after, limit)
        more = len(fines) == limit
        groups = _by_patron((*waiting, *fines))
        waiting = groups.pop() if more else ()
        if fines:
            after = place_of(fines[-1])
        limit = min(2 * limit, PAGE_FINES_MAX)
        yield groups


def _by_patron(fines: Iterable[Fine]) -> list[tuple[Fine, ...]]:
    return [tuple(group) for _, group in groupby(fines, key=lambda fine: fine.facts.patron_id)]


def place_of(fine: Fine) -> Place:
    """Where a fine stands in the order of a run."""
    return fine.facts.patron_id, fine.facts.fine_id


async def evaluate(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Sequence[Fine]],
) -> list[Evaluation]:
    """Whole patrons' open fines through the selection."""
    ids = [fines[0].facts.patron_id for fines in groups]
    patrons = await store.patrons(connection, {(profile.institution_id, one) for one in ids})
    waiting = await _waiting(connection, run, groups)
    count = sum(map(len, groups))
    return await run_in_thread(
        connection, count, lambda: _whole(profile, run, groups, patrons, waiting)
    )


def _whole(
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Sequence[Fine]],
    patrons: Mapping[PatronKey, Patron],
    waiting: Collection[str],
) -> list[Evaluation]:
    """With sizes. Raises FailingFines where the program fails on some of the fines."""

    def look(some: Sequence[Sequence[Fine]]) -> list[Evaluation]:
        evaluation = evaluate_groups(profile, run, some, patrons, waiting)
        return [replace(each, sized=_sized(profile, each)) for each in evaluation]

    try:
        return look(groups)
    except Exception as problem:
        fines = [fine for group in groups for fine in group]
        failing = failing_fines(fines, lambda some: look(_by_patron(some)))
        if not failing:
            raise
        raise FailingFines(profile.code, failing) from problem


def _sized(profile: Profile, evaluation: Evaluation) -> tuple[Sized[Fine], ...]:
    due = [fine for fine, exclusion in evaluation.fines if exclusion is None]
    return sized(profile, evaluation.patron, due)


async def _waiting(
    connection: Connection, run: OpenRun, groups: Sequence[Sequence[Fine]]
) -> frozenset[str]:
    """Ids of the fines with a change that failed: nobody knows what they owe."""
    fines = [fine for group in groups for fine in group]
    return await fines_that_wait(connection, run.institution_id, fines, run.left_out)


def evaluate_groups(
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Sequence[Fine]],
    patrons: Mapping[PatronKey, Patron],
    waiting: Collection[str],
) -> list[Evaluation]:
    """The same with the patrons as they were read. `waiting`: ids of fines with a failed change."""
    return [
        _look(
            profile,
            run,
            patrons.get((profile.institution_id, fines[0].facts.patron_id)),
            fines,
            waiting,
        )
        for fines in groups
    ]


def _look(
    profile: Profile,
    run: OpenRun,
    patron: Patron | None,
    fines: Sequence[Fine],
    waiting: Collection[str],
) -> Evaluation:
    """One patron's open fines through the profile's selection."""
    taken = run.taken if fines[0].facts.patron_id == run.after[0] else 0
    cutoff_on = local_date(run.cutoff, profile.zone)
    candidates = [
        candidate_of(profile, patron, fine, waits=fine.facts.fine_id in waiting) for fine in fines
    ]
    exclusions = select(profile, candidates, cutoff_on, taken)
    return Evaluation(fines[0].facts.patron_id, patron, tuple(zip(fines, exclusions, strict=True)))


def candidate_of(
    profile: Profile, patron: Patron | None, fine: Fine, *, waits: bool = False
) -> Candidate:
    """What selection asks of a fine; None: the patron is not known any more.

    `waits`: a change of the fine has failed, and a person has to decide about it first.
    """
    facts = fine.facts
    created_on: date = local_date(facts.created_at, profile.zone)
    return Candidate(
        institution_id=facts.institution_id,
        fine_id=facts.fine_id,
        type=facts.type,
        remaining=fine.remaining,
        currency=facts.currency,
        created_on=created_on,
        library_code=facts.owner.library_code if facts.owner else None,
        user_group=patron.user_group if patron else "",
        identifiers=patron.identifiers if patron else (),
        patron_name=patron.name if patron else "",
        in_dispute=fine.status is Status.IN_DISPUTE,
        exportable=(facts.exportable or fine.released) and not waits,
        refused=fine.refused_reason is not None,
        texts_are_sound=not unsound_codes(profile, patron, fine),
    )
