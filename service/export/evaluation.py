"""Reads the open fines page by page and decides for each patron which of them a profile exports.

A run goes through the open fines of its institution in the order of patron id and fine id. The
fines of a patron are evaluated together, because a minimum amount may be meant for their sum.
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
from dataclasses import field, replace
from itertools import groupby

from ..core.frozen import dataclass
from ..core.ledger import Fine, FineKey, Patron
from ..core.words import Status
from ..core.workspace import PatronKey
from ..database.adopted_lines import fines_with_adopted_lines
from ..database.failed_records import fines_that_wait
from ..database.ledger_read import LedgerReader
from ..database.references import NO_VERSIONS, FineVersion
from ..database.session import Connection, run_in_thread
from . import store as export_store
from .batch import CreditRef, Position, SelectedFine, size_bytes_max
from .build import line_of, patron_of
from .candidates import SetApart, candidate_of
from .credited import credited_fines_of, fines_of_credits
from .failures import FailingFines, failing_fines
from .profiles.profile import Profile
from .run import OpenRun
from .selection import Exclusion, is_of_age, local_date, select

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
class Evaluation:
    """The open fines of one patron, each with the reason why the profile does not export it now.

    A fine that is to be exported has the reason None; `selected` has these fines with their sizes
    in the file. `together` is the amount, in signed minor units, that is compared with a minimum
    amount per patron. `patron` is None if the database has no such patron any more. `credited` has
    the fine that each credit of the patron belongs to, by the id of the credit; `later` is
    explained at SetApart. `versions` has the patron's fines as they were read, except amended ones
    (such as adjusted fines), and may have fines of other patrons.
    """

    patron_id: str
    patron: Patron | None
    fines: tuple[tuple[Fine, Exclusion | None], ...]
    together: int
    selected: tuple[SelectedFine, ...] = ()
    credited: Mapping[str, Fine] = field(default_factory=dict)
    later: frozenset[str] = frozenset()
    versions: Mapping[FineKey, FineVersion] = field(default_factory=dict)


async def evaluations(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    after: Position | None = None,
) -> AsyncIterator[Evaluation]:
    """Yields the evaluation of each patron behind the position `after`; without `after`, behind the
    position that the run has reached.

    Raises FailingFines if a bug makes the evaluation of some fines fail.
    """

    versions: dict[FineKey, FineVersion] = {}

    async def page(position: Position, limit: int) -> list[Fine]:
        place = (position, limit)
        return await export_store.open_fines(connection, store, profile, *place, versions=versions)

    first = min(PAGE_FINES_MAX, profile.limits.fines_max + PAGE_FINES_MORE)
    async for groups in whole_patrons(page, after or run.after, first):
        for evaluation in await evaluate(connection, store, profile, run, groups, versions):
            yield evaluation
        # Of the pages, only what is still to be evaluated is kept.
        for fines in groups:
            for fine in fines:
                versions.pop(fine.facts.key, None)


async def whole_patrons(
    page: Page, after: Position, limit: int = PAGE_FINES_MAX
) -> AsyncIterator[list[Group]]:
    """Yields the fines of each page grouped by patron; a patron whose fines continue on the next
    page comes with that page.

    The first page has at most `limit` fines. Later pages are larger, because a caller that needs
    them has found few fines to export.
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
    """Groups fines, which are sorted by patron, into one tuple for each patron."""
    return [tuple(group) for _, group in groupby(fines, key=lambda fine: fine.facts.patron_id)]


def position_of(fine: Fine) -> Position:
    """Returns the position of a fine (patron id and fine id) in the order in which a run goes
    through the fines.
    """
    return fine.facts.patron_id, fine.facts.fine_id


async def evaluate(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Group],
    versions: Mapping[FineKey, FineVersion] = NO_VERSIONS,
) -> list[Evaluation]:
    """Evaluates all open fines of some patrons, and computes the sizes of those to be exported.

    Raises FailingFines if a bug makes the evaluation of some fines fail.
    """
    keys = {(profile.institution_id, fines[0].facts.patron_id) for fines in groups}
    patrons = await store.patrons(connection, keys)
    apart = await set_apart(connection, profile, run, groups)
    others = await fines_of_credits(connection, store, run, groups)

    def work(some: Sequence[Group]) -> list[Evaluation]:
        evaluated = evaluate_groups(profile, run, some, patrons, apart, others)
        return [
            replace(each, selected=_selected(profile, each), versions=versions)
            for each in evaluated
        ]

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
    connection: Connection,
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Group],
    not_later: Collection[FineKey] = (),
) -> SetApart:
    """Reads from other tables which of the fines must not be exported now, whatever amount they
    owe.

    The fines `not_later` are known to have been in the ledger before the run's cutoff.
    """
    fines = [fine for group in groups for fine in group]
    # The ledger is not searched for the many fines that only have to become old enough.
    cutoff_on = local_date(run.cutoff, profile.zone)
    of_age = [
        fine
        for fine in fines
        if fine.facts.key not in not_later
        and profile.includes_type(type_ := fine.facts.type)
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
    """Evaluates each patron's fines, without computing sizes. Pure.

    `apart` is what other tables say of the fines, and `others` has fines of other groups that the
    patrons' credits belong to. `in_batch` has the ids of the fines that were selected for the
    batch; it is None as long as none have been selected.
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
