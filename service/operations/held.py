"""Open fines that no run exports as they are, by the selection that the runs themselves use."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from ..core.ledger import Fine, FineKey
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, statements
from ..export import store as export_store
from ..export.evaluation import Evaluation, evaluate, evaluations
from ..export.profiles.profile import Profile, Profiles
from ..export.reasons import Explanation
from ..export.run import OpenRun
from ..export.schedule import pauses
from ..export.selection import Exclusion
from . import unclaimed
from .held_causes import with_causes
from .held_fine import HeldFine, is_held_by_itself, without_profile

SQL = statements("operators")
LIMIT_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class HeldFilter:
    """What is looked for; None: any. `waiting`: also what is not due yet, or due in a profile that
    is paused. A patron, or a fine of theirs, is looked for with the institution.
    """

    institution_id: str | None = None
    profile: str | None = None
    reason: Exclusion | None = None
    patron_id: str | None = None
    waiting: bool = False
    limit: int = LIMIT_MAX
    fine_id: str | None = None

    def has(self, held: HeldFine) -> bool:
        return self.wants(held.reason) and self.fine_id in (None, held.fine.facts.fine_id)

    def wants(self, reason: Exclusion) -> bool:
        if self.reason is not None:
            return reason is self.reason
        return self.waiting or not reason.waits


class _First:
    """The first of many in the order of the list: no more of them are kept than are shown."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[HeldFine] = []

    def add(self, held: HeldFine) -> None:
        self._kept.append(held)
        if len(self._kept) > 2 * self._limit + 1_000:
            self._kept = self.all()

    def all(self) -> list[HeldFine]:
        return sorted(self._kept, key=lambda held: held.place)[: self._limit]


async def find(
    connection: Connection,
    store: LedgerReader,
    profiles: Profiles,
    wanted: HeldFilter | None = None,
) -> list[HeldFine]:
    """What the next runs would count as held back, and what no run reaches: each fine once for a
    profile, or once without one.

    A fine that is in dispute, not exportable or refused, and that no profile counts as held back
    now, has no profile; nor has one that no profile takes.
    """
    wanted = wanted or HeldFilter()
    found = _First(wanted.limit)
    by_themselves = await _held_by_themselves(connection, store, wanted)
    paused = await pauses(connection)
    for profile in _chosen(profiles, wanted):
        is_paused = (profile.institution_id, profile.code) in paused
        async for held in _of_profile(connection, store, profile, wanted, is_paused):
            if held.reason.is_held_back:
                by_themselves.pop(held.fine.facts.key, None)
            if wanted.has(held):
                found.add(held)
    if wanted.profile is None:
        await _add_without_profile(connection, store, profiles, wanted, by_themselves, found)
    return await with_causes(connection, found.all())


async def _of_profile(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    wanted: HeldFilter,
    is_paused: bool,
) -> AsyncIterator[HeldFine]:
    """What the profile takes and holds back, and what else is wanted of what it takes."""
    run = await run_of(connection, profile)
    async for evaluation in patrons(connection, store, profile, run, wanted.patron_id):
        explanation = Explanation(profile, run, evaluation)
        for fine, exclusion in evaluation.fines:
            reason = standing(profile, fine, exclusion, is_paused=is_paused)
            if reason is None or not _is_listed(fine, reason):
                continue
            if reason.is_held_back or wanted.wants(reason):
                yield HeldFine(fine, profile.code, reason, explanation.words(fine, reason))


async def _add_without_profile(
    connection: Connection,
    store: LedgerReader,
    profiles: Profiles,
    wanted: HeldFilter,
    by_themselves: Mapping[FineKey, Fine],
    found: _First,
) -> None:
    for held in map(without_profile, by_themselves.values()):
        if wanted.has(held):
            found.add(held)
    if wanted.wants(Exclusion.NO_PROFILE):
        for held in await _unclaimed(connection, store, profiles, wanted):
            if wanted.has(held):
                found.add(held)


def standing(
    profile: Profile, fine: Fine, exclusion: Exclusion | None, *, is_paused: bool
) -> Exclusion | None:
    """The selection's judgement as people are told it; None: due.

    A manifest counts types that no profile names, too, for each profile that may be meant; for
    people such a fine is no profile's.
    """
    if not profile.includes_type(fine.facts.type):
        return Exclusion.NOT_THIS_PROFILE
    if exclusion is None and is_paused:
        return Exclusion.PAUSED
    return exclusion


def _is_listed(fine: Fine, reason: Exclusion) -> bool:
    """What is held back by itself does not wait for its age: it is listed once, as that."""
    if reason is Exclusion.NOT_THIS_PROFILE:
        return False
    return not (reason.waits and is_held_by_itself(fine))


def _chosen(profiles: Profiles, wanted: HeldFilter) -> list[Profile]:
    return [
        profile
        for profile in profiles.profiles
        if wanted.institution_id in (None, profile.institution_id)
        and wanted.profile in (None, profile.code)
    ]


async def _held_by_themselves(
    connection: Connection, store: LedgerReader, wanted: HeldFilter
) -> dict[FineKey, Fine]:
    if wanted.profile is not None:
        return {}
    rows = await connection.fetch(SQL["held"], wanted.institution_id)
    rows = [row for row in rows if wanted.patron_id in (None, row["patron_id"])]
    return {fine.facts.key: fine for fine in await store.fines_of(connection, rows)}


async def _unclaimed(
    connection: Connection, store: LedgerReader, profiles: Profiles, wanted: HeldFilter
) -> list[HeldFine]:
    groups = await unclaimed.unclaimed(connection, profiles, wanted.institution_id)
    found = []
    for _, own in groupby(groups, key=lambda open_group: open_group.group.institution_id):
        named = [open_group.group for open_group in own]
        limit = wanted.limit if wanted.fine_id is None else LIMIT_MAX
        fines = await unclaimed.fines_of(connection, store, named, wanted.patron_id, limit)
        found += [
            HeldFine(
                fine, None, Exclusion.NO_PROFILE, unclaimed.in_words(profiles, group.institution_id)
            )
            for fine, group in fines
        ]
    return found


async def run_of(connection: Connection, profile: Profile) -> OpenRun:
    """The run that would come next, from its first patron on."""
    return replace(await export_store.current_run(connection, profile), after=("", ""))


async def patrons(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    run: OpenRun,
    patron_id: str | None,
) -> AsyncIterator[Evaluation]:
    """All patrons of the profile's institution, or one of them, with what they have open."""
    if patron_id is None:
        async for evaluation in evaluations(connection, store, profile, run):
            yield evaluation
        return
    fines = await export_store.open_fines(connection, store, profile, run.after, None, [patron_id])
    for evaluation in await evaluate(
        connection, store, profile, run, [tuple(fines)] if fines else []
    ):
        yield evaluation
