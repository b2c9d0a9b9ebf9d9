"""Evaluates the open fines of whole patrons against a profile, and reads them page by page.

A run passes the open fines of its institution in the order of patron and fine. The fines of a
patron are evaluated together, because a minimum amount may count all of them.
"""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from itertools import groupby

from ..core.ledger import Fine, FineKey, Patron
from ..core.words import Status
from ..core.workspace import PatronKey
from ..database.adopted_lines import fines_with_adopted_lines
from ..database.failed_records import fines_that_wait
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, run_in_thread
from . import store as export_store
from .batch import CreditRef, Position, SelectedFine, clean, size_bytes_max
from .build import line_of, patron_of
from .credited import credited_fines_of, fines_of_credits
from .failures import FailingFines, failing_fines
from .profiles.profile import Profile
from .run import OpenRun
from .selection import Candidate, Exclusion, is_of_age, local_date, select

PAGE_FINES_MAX = 2_000
# Fines beyond a full batch. If the page ended with the batch, it might cut the last patron, and a
# second page would have to be read.
PAGE_FINES_MORE = 50
# The size of a fine is needed before its numbers are known; these are the longest possible numbers.
_LONGEST_ID = str(2**64 - 1)
_LONGEST_REF = CreditRef(_LONGEST_ID, "X" * 100)

Group = tuple[Fine, ...]  # open fines of one patron, in order
Page = Callable[[Position, int], Awaitable[list[Fine]]]


@dataclass(frozen=True, slots=True)
class SetApart:
    """The ids of fines of which the ledger says more than their rows.

    `failed` have a change that failed, so that it is not known what they owe. `later` came into the
    ledger after the cutoff, whatever their `created_at`; those that are too young for the profile
    in any case, or of another type, are left out. For `awaited` an adopted line waits.
    """

    failed: frozenset[str]
    later: frozenset[str]
    awaited: frozenset[str]


NOTHING_APART = SetApart(frozenset(), frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The open fines of one patron, each with the reason why it is not exported now.

    The reason of a fine that is to be exported is None; `selected` has these fines with their
    sizes. `together` is what a minimum per patron is compared with, in signed minor units. `patron`
    is None if the database has no such patron any more. `credited` has the fines that the patron's
    credits are of, by the ids of the credits, and `later` is as in SetApart.
    """

    patron_id: str
    patron: Patron | None
    fines: tuple[tuple[Fine, Exclusion | None], ...]
    together: int
    selected: tuple[SelectedFine, ...] = ()
    credited: Mapping[str, Fine] = field(default_factory=dict)
    later: frozenset[str] = frozenset()


async def evaluations(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    after: Position | None = None,
) -> AsyncIterator[Evaluation]:
    """Yields the evaluation of each patron behind the position `after`, by default the run's mark.

    Raises FailingFines if the program fails on some of the fines.
    """

    async def page(position: Position, limit: int) -> list[Fine]:
        return await export_store.open_fines(connection, store, profile, position, limit)

    first = min(PAGE_FINES_MAX, profile.limits.fines_max + PAGE_FINES_MORE)
    async for groups in whole_patrons(page, after or run.after, first):
        for evaluation in await evaluate(connection, store, profile, run, groups):
            yield evaluation


async def whole_patrons(
    page: Page, after: Position, limit: int = PAGE_FINES_MAX
) -> AsyncIterator[list[Group]]:
    """Yields the fines of each page by patron; a patron whom a page cuts comes with the next page.

    The first page has `limit` fines. A caller that reads on has found few fines that are due, so
    the pages grow.
    """
    incomplete: Group = ()
    has_more = True
    while has_more:
        fines = await page(after, limit)
        has_more = len(fines) == limit
        groups = by_patron((*incomplete, *fines))
        incomplete = groups.pop() if has_more else ()
        if fines:
            after = position_of(fines[-1])
        limit = min(2 * limit, PAGE_FINES_MAX)
        yield groups


def by_patron(fines: Iterable[Fine]) -> list[Group]:
    """The fines, which come in order, as one group for each patron."""
    return [tuple(group) for _, group in groupby(fines, key=lambda fine: fine.facts.patron_id)]


def position_of(fine: Fine) -> Position:
    """The place of a fine in the order in which a run passes the fines."""
    return fine.facts.patron_id, fine.facts.fine_id


async def evaluate(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Group],
) -> list[Evaluation]:
    """Evaluates all open fines of some patrons, with the sizes of those to be exported.

    Raises FailingFines if the program fails on some of the fines.
    """
    keys = {(profile.institution_id, fines[0].facts.patron_id) for fines in groups}
    patrons = await store.patrons(connection, keys)
    apart = await set_apart(connection, profile, run, groups)
    others = await fines_of_credits(connection, store, run, groups)

    def work(some: Sequence[Group]) -> list[Evaluation]:
        evaluated = evaluate_groups(profile, run, some, patrons, apart, others)
        return [replace(each, selected=_selected(profile, each)) for each in evaluated]

    def work_or_name_failing() -> list[Evaluation]:
        try:
            return work(groups)
        except Exception as problem:
            fines = [fine for group in groups for fine in group]
            failing = failing_fines(fines, lambda some: work(by_patron(some)))
            if not failing:
                raise
            raise FailingFines(profile.code, failing) from problem

    return await run_in_thread(connection, sum(map(len, groups)), work_or_name_failing)


async def set_apart(
    connection: Connection, profile: Profile, run: OpenRun, groups: Sequence[Group]
) -> SetApart:
    """Reads what the rows of the fines do not say of them."""
    fines = [fine for group in groups for fine in group]
    # The ledger is not searched for the many fines that only have to become old enough.
    cutoff_on = local_date(run.cutoff, profile.zone)
    of_age = [
        fine
        for fine in fines
        if profile.includes_type(type_ := fine.facts.type)
        and is_of_age(profile, type_, local_date(fine.facts.created_at, profile.zone), cutoff_on)
    ]
    return SetApart(
        await fines_that_wait(connection, run.institution_id, fines, run.left_out),
        await export_store.created_later(connection, run, of_age),
        await fines_with_adopted_lines(connection, run.institution_id, fines),
    )


def evaluate_groups(
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Group],
    patrons: Mapping[PatronKey, Patron],
    apart: SetApart,
    others: Mapping[FineKey, Fine],
    in_batch: Collection[str] | None = None,
) -> list[Evaluation]:
    """Evaluates each patron's fines, without sizes. Pure.

    `apart` is what the rows of the fines do not say, and `others` has fines that the patrons'
    credits name. `in_batch` has the ids of the fines that were selected for the batch; it is None
    as long as nothing is selected.
    """
    return [
        _evaluate_patron(profile, run, patrons, fines, apart, others, in_batch) for fines in groups
    ]


def _evaluate_patron(
    profile: Profile,
    run: OpenRun,
    patrons: Mapping[PatronKey, Patron],
    fines: Group,
    apart: SetApart,
    others: Mapping[FineKey, Fine],
    in_batch: Collection[str] | None,
) -> Evaluation:
    patron_id = fines[0].facts.patron_id
    patron = patrons.get((profile.institution_id, patron_id))
    credited_fines = credited_fines_of(fines, others)
    candidates = [
        candidate_of(profile, patron, fine, apart, credited_fines.get(fine.facts.fine_id))
        for fine in fines
    ]
    taken = run.taken if patron_id == run.after[0] else 0
    cutoff_on = local_date(run.cutoff, profile.zone)
    exclusions, together = select(profile, candidates, cutoff_on, taken, in_batch)
    results = tuple(zip(fines, exclusions, strict=True))
    return Evaluation(
        patron_id, patron, results, together, credited=credited_fines, later=apart.later
    )


def candidate_of(
    profile: Profile,
    patron: Patron | None,
    fine: Fine,
    apart: SetApart = NOTHING_APART,
    credited_fine: Fine | None = None,
) -> Candidate:
    """What the selection needs to know of a fine.

    `patron` is None if the database has no such patron any more. `apart` is what the rows of fines
    do not say: a person has to decide about a change that has failed first. `credited_fine` is the
    fine that a credit is one of.
    """
    facts = fine.facts
    return Candidate(
        institution_id=facts.institution_id,
        fine_id=facts.fine_id,
        type=facts.type,
        remaining=fine.remaining,
        currency=facts.currency,
        created_on=local_date(facts.created_at, profile.zone),
        is_later=facts.fine_id in apart.later,
        line_waits=facts.fine_id in apart.awaited,
        library_code=facts.owner.library_code if facts.owner else None,
        user_group=patron.user_group if patron else "",
        identifiers=patron.identifiers if patron else (),
        patron_name=patron.name if patron else "",
        in_dispute=fine.status is Status.IN_DISPUTE,
        exportable=(facts.exportable or fine.released) and facts.fine_id not in apart.failed,
        refused=fine.refused_reason is not None,
        texts_are_sound=not unsound_codes(profile, patron, fine),
        unconfirmed=fine.amendment.unconfirmed,
        credit_of=None if credited_fine is None else credited_fine.facts.fine_id,
        credited=None if credited_fine is None else credited_fine.status,
    )


def unsound_codes(profile: Profile, patron: Patron | None, fine: Fine) -> list[str]:
    """The names of the codes that cannot be printed as they are.

    Readers look things up by codes; any other text may be printed with blanks in it.
    """
    codes = [("type", fine.facts.type)]
    if (owner := fine.facts.owner) is not None:
        codes += (("library_id", owner.library_id), ("library_code", owner.library_code))
    identifiers = patron.identifiers if patron else ()
    codes += (
        (f"identifier of type {kind}", code) for kind, code in identifiers if kind == profile.match
    )
    return list(dict.fromkeys(name for name, code in codes if clean(code) != code))


def _selected(profile: Profile, evaluation: Evaluation) -> tuple[SelectedFine, ...]:
    """The fines to be exported, with the bytes that each takes at most."""
    due = [fine for fine, exclusion in evaluation.fines if exclusion is None]
    if not due or evaluation.patron is None:
        return ()
    lines = [line_of(fine, _LONGEST_ID, Status.CLOSED, _LONGEST_REF) for fine in due]
    patron = patron_of(profile, evaluation.patron, lines)
    return tuple(
        SelectedFine(position_of(fine), size_bytes_max(patron, line))
        for fine, line in zip(due, lines, strict=True)
    )
