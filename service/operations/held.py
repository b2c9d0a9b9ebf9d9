"""Finds the open fines that export runs do not export at present, by the same rules that the runs
use.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import asyncpg

from ..core.ledger import Fine, FineKey
from ..core.words import Kind, Status
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, statements
from ..database.tables import columns_of
from ..export import store as export_store
from ..export.evaluation import Evaluation, evaluate, evaluations
from ..export.profiles.profile import Profile, Profiles
from ..export.reasons import Explanation
from ..export.run import OpenRun
from ..export.schedule import pauses
from ..export.selection import Exclusion
from . import no_profile

SQL = statements("operators")
LIMIT_MAX = 1_000_000
PAGE_FINES = 1_000
_CAUSES: Mapping[Exclusion | None, Kind] = {
    Exclusion.IN_DISPUTE: Kind.DISPUTED,
    Exclusion.REFUSED: Kind.EXPORT_REJECTED,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Says whether an export profile would export an open fine now, and if not, why. `in_words`
    explains the reason, with the numbers and dates of the rule.

    `reason` is None if the next run of the profile exports the fine. `profile` is None if no
    profile covers the fine, or if the fine is held back independently of all profiles.
    """

    fine: Fine
    profile: str | None
    reason: Exclusion | None
    in_words: str

    @property
    def is_held_back(self) -> bool:
        """Whether a run of the profile would hold the fine back, even if for a reason that the
        manifest does not count.
        """
        return self.reason is not None and _holds(self.reason)


@dataclass(frozen=True, slots=True)
class HeldFilter:
    """Which fines a command is about; a field that is None allows any value. If a patron or a fine
    is given, its institution has to be given as well.

    With `waiting`, the filter also includes fines that are not due yet, or that are due in a paused
    profile.
    """

    institution_id: str | None = None
    profile: str | None = None
    reason: Exclusion | None = None
    patron_id: str | None = None
    waiting: bool = False
    limit: int = LIMIT_MAX
    fine_id: str | None = None

    def has_profile(self, profile: Profile) -> bool:
        """Whether the filter allows fines of this profile."""
        is_institution = self.institution_id in (None, profile.institution_id)
        return is_institution and self.profile in (None, profile.code)

    def has_reason(self, reason: Exclusion | None) -> bool:
        """Whether the filter allows fines with this reason; it never allows a fine that is due,
        which has no reason (None).
        """
        if reason is None or self.reason is not None:
            return reason is not None and reason is self.reason
        return self.waiting or not reason.waits


class _First:
    """The first of those that are meant, in the order of the list; few more are kept than that."""

    def __init__(self, selected: HeldFilter) -> None:
        self._selected = selected
        self._kept: list[Judgement] = []

    def add(self, held: Judgement) -> None:
        selected = self._selected
        if selected.fine_id not in (None, held.fine.facts.fine_id):
            return
        if selected.has_reason(held.reason):
            self._kept.append(held)
        if len(self._kept) > 2 * selected.limit + 1_000:
            self._kept = self.all()

    def all(self) -> list[Judgement]:
        def place(held: Judgement) -> tuple[str, ...]:
            return (*held.fine.facts.key, held.profile or "")

        return sorted(self._kept, key=place)[: self._selected.limit]


async def find(
    connection: Connection,
    store: LedgerReader,
    profiles: Profiles,
    selected: HeldFilter | None = None,
) -> list[Judgement]:
    """Returns the fines that the next runs would hold back, and those that no run looks at.

    A fine is returned once for each profile that holds it back; if no profile does, it is returned
    once without a profile. The result names no profile for a fine that no profile covers, nor for
    one that is in dispute, not exportable or refused and that no profile counts as held back now.
    """
    selected = selected or HeldFilter()
    first = _First(selected)
    by_themselves = await _held_by_themselves(connection, store, selected)
    paused = await pauses(connection)
    for profile in filter(selected.has_profile, profiles.profiles):
        judged = judge(connection, store, profile, paused, selected.patron_id)
        async for fine, reason, explanation in judged:
            if reason is None or not _is_listed(fine, reason):
                continue
            if _holds(reason):
                by_themselves.pop(fine.facts.key, None)
            if selected.has_reason(reason):  # words cost time: only of those that are shown
                first.add(Judgement(fine, profile.code, reason, explanation.words(fine, reason)))
    if selected.profile is None:
        unreached = await _without_profile(connection, store, profiles, selected)
        for held in (*map(held_by_itself, by_themselves.values()), *unreached):
            first.add(held)
    return await with_causes(connection, first.all())


async def judge(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    paused: Collection[tuple[str, str]],
    patron_id: str | None,
) -> AsyncIterator[tuple[Fine, Exclusion | None, Explanation]]:
    """Yields each open fine of the profile's institution, or of one patron, with the reason why the
    profile does not export it now.

    `paused` contains the institution and the code of each profile that is paused.
    """
    run = replace(await export_store.current_run(connection, profile), after=("", ""))
    if patron_id is None:
        of_patrons = evaluations(connection, store, profile, run)
    else:
        of_patrons = _of_patron(connection, store, profile, run, patron_id)
    is_paused = (profile.institution_id, profile.code) in paused
    async for evaluation in of_patrons:
        explanation = Explanation(profile, evaluation)
        for fine, exclusion in evaluation.fines:
            yield fine, _reason_shown(exclusion, is_paused=is_paused), explanation


async def _of_patron(
    connection: Connection, store: LedgerReader, profile: Profile, run: OpenRun, patron_id: str
) -> AsyncIterator[Evaluation]:
    fines = await export_store.open_fines(connection, store, profile, run.after, None, [patron_id])
    groups = [tuple(fines)] if fines else []
    for evaluation in await evaluate(connection, store, profile, run, groups):
        yield evaluation


def _reason_shown(exclusion: Exclusion | None, *, is_paused: bool) -> Exclusion | None:
    """The selection's exclusion as people are shown it; None for a fine that is due."""
    return Exclusion.PAUSED if exclusion is None and is_paused else exclusion


def _is_listed(fine: Fine, reason: Exclusion) -> bool:
    """A fine that is held back by itself is listed as that, not as waiting for its age."""
    if reason is Exclusion.NOT_THIS_PROFILE:
        return False
    return not (reason.waits and is_held_by_itself(fine))


def _holds(reason: Exclusion) -> bool:
    return reason.is_held_back or reason is Exclusion.ADOPTED_LINE


def is_held_by_itself(fine: Fine) -> bool:
    """Whether the fine is in dispute, not exportable or refused by the bursar, which holds it back
    whatever the profiles say.
    """
    return (
        fine.status is Status.IN_DISPUTE
        or fine.refused_reason is not None
        or not (fine.facts.exportable or fine.released)
    )


def held_by_itself(fine: Fine) -> Judgement:
    """Returns the judgement about a fine that is in dispute, not exportable or refused and that no
    profile counts.
    """
    if fine.status is Status.IN_DISPUTE:
        return Judgement(fine, None, Exclusion.IN_DISPUTE, "in dispute")
    if not (fine.facts.exportable or fine.released):
        return Judgement(fine, None, Exclusion.NOT_EXPORTABLE, "not exportable")
    return Judgement(fine, None, Exclusion.REFUSED, f"refused by the bursar: {fine.refused_reason}")


async def _held_by_themselves(
    connection: Connection, store: LedgerReader, selected: HeldFilter
) -> dict[FineKey, Fine]:
    if selected.profile is not None:
        return {}
    rows = await connection.fetch(SQL["held"], selected.institution_id)
    rows = [row for row in rows if selected.patron_id in (None, row["patron_id"])]
    return {fine.facts.key: fine for fine in await store.fines_of(connection, rows)}


async def _without_profile(
    connection: Connection, store: LedgerReader, profiles: Profiles, selected: HeldFilter
) -> list[Judgement]:
    if not selected.has_reason(Exclusion.NO_PROFILE):
        return []
    unreached: list[Judgement] = []
    groups = await no_profile.groups_without_profile(connection, profiles, selected.institution_id)
    for institution_id, of_institution in groupby(
        (open_group.group for open_group in groups), key=lambda group: group.institution_id
    ):
        named, words = list(of_institution), no_profile.in_words(profiles, institution_id)
        limit = selected.limit if selected.fine_id is None else LIMIT_MAX
        fines = await no_profile.fines_of(connection, store, named, selected.patron_id, limit)
        unreached += (Judgement(fine, None, Exclusion.NO_PROFILE, words) for fine, _ in fines)
    return unreached


async def with_causes(connection: Connection, held: Sequence[Judgement]) -> list[Judgement]:
    """Returns the same judgements in the same order, with the causes added to the words. The words
    about a dispute then name the change that began it, and the words about a refusal the refused
    batch and line.
    """
    keys = sorted(
        {
            (*judged.fine.facts.key, kind.value)
            for judged in held
            if (kind := _CAUSES.get(judged.reason)) is not None
        }
    )
    causes: dict[tuple[str, str, str], asyncpg.Record] = {}
    for begin in range(0, len(keys), PAGE_FINES):
        columns = columns_of(keys[begin : begin + PAGE_FINES])
        for row in await connection.fetch(SQL["causes_of_holding"], *columns):
            causes[(row["institution_id"], row["fine_id"], row["kind"])] = row
    return [_with_cause(judged, causes) for judged in held]


def _with_cause(held: Judgement, causes: dict[tuple[str, str, str], asyncpg.Record]) -> Judgement:
    kind = _CAUSES.get(held.reason)
    row = None if kind is None else causes.get((*held.fine.facts.key, kind.value))
    if row is None:
        return held
    on = row["occurred_at"].date()
    words = (
        f"in dispute since {on} (change {row['change_id']} of {row['source']})"
        if held.reason is Exclusion.IN_DISPUTE
        else f"refused on {on} in batch {row['batch_number']} of {row['profile']} "
        f"(line {row['bursar_transaction_id']}): {held.fine.refused_reason}"
    )
    return replace(held, in_words=words)
