"""What a run takes next: pages of open fines, whole patrons at a time, cut into one batch."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

from service.core.books import PatronKey, View
from service.core.ledger import Fine, Patron
from service.core.words import Status
from service.database import export_store
from service.database.export_store import OpenRun
from service.database.ledger_store import LedgerStore
from service.database.pool import Connection
from service.export.batch import CreditRef, Sized, cut, size_bytes_max
from service.export.printing import line_of, patron_of
from service.export.profile import Profile
from service.export.selection import Candidate, Refusal, is_carried, local_date, select

PAGE_FINES_MAX = 2_000
# Beyond a full batch: a page that ends with it leaves its last patron open, and costs a second one.
PAGE_FINES_MORE = 50
# Longest possible numbers: a fine's size is known before its numbers are.
_LONGEST_ID = str(2**64 - 1)
_LONGEST_REF = CreditRef(_LONGEST_ID, "X" * 100)


@dataclass(frozen=True, slots=True)
class Claims:
    """The fines of one batch, in (patron, fine) order, and what was passed over on the way."""

    fines: tuple[Fine, ...]
    after: tuple[str, str]
    last: bool
    held_back: Mapping[Refusal, int]


@dataclass(frozen=True, slots=True)
class Looked:
    """One patron's fines with their refusals (None: to be exported), in fine order."""

    patron: Patron | None
    fines: tuple[tuple[Fine, Refusal | None], ...]


async def claims_of(
    connection: Connection, store: LedgerStore, profile: Profile, run: OpenRun
) -> Claims:
    """The next batch of the run, read without a lock: the job checks it again under the locks."""
    taken: list[Sized[Fine]] = []
    size_bytes = 0
    looked_at: list[tuple[Fine, Refusal | None]] = []
    async for looked in patrons_of(connection, store, profile, run):
        looked_at.extend(looked.fines)
        due = _sized(profile, looked)
        taken.extend(due)
        size_bytes += sum(sized.size_bytes for sized in due)
        # One fine alone may be over the limits; whatever comes after it is another batch.
        if len(taken) > 1 and not profile.limits.allow(len(taken), size_bytes):
            return _claims(next(cut(taken, profile.limits)), looked_at, last=False)
    return _claims(tuple(taken), looked_at, last=True)


def _claims(
    taken: Sequence[Sized[Fine]], looked_at: list[tuple[Fine, Refusal | None]], *, last: bool
) -> Claims:
    """Held back counts as far as the batch reaches; the last one reaches to the end."""
    fines = tuple(sized.claim for sized in taken)
    places = [(fine.facts.patron_id, fine.facts.fine_id) for fine, _ in looked_at]
    after = (fines[-1].facts.patron_id, fines[-1].facts.fine_id) if fines else ("", "")
    if last:
        after = max(places, default=after)
    passed = (refusal for (_, refusal), at in zip(looked_at, places, strict=True) if at <= after)
    held = Counter(refusal for refusal in passed if refusal is not None and refusal.is_held_back)
    return Claims(fines, after, last, held)


async def still_due(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    run: OpenRun,
    claimed: Claims,
    view: View,
) -> tuple[list[Fine], Claims]:
    """Under the locks, the claimed fines that still pass; each patron is looked at whole.

    The view's fines and patrons are those that will be printed: nothing locks a patron. The claim
    comes back with what is held back only now.
    """
    wanted = {fine.facts.key for fine in claimed.fines}
    ids = sorted({fine.facts.patron_id for fine in claimed.fines})
    read = await export_store.open_fines_of_patrons(connection, store, profile, run.after, ids)
    fines = [now for one in read if (now := view.fines.get(one.facts.key, one)).is_open_in_library]
    groups = [tuple(group) for _, group in groupby(fines, key=lambda fine: fine.facts.patron_id)]
    looked = look_at_known(profile, run, groups, view.patrons)
    pairs = [pair for one in looked for pair in one.fines if pair[0].facts.key in wanted]
    held = Counter(refusal for _, refusal in pairs if refusal is not None and refusal.is_held_back)
    due = [fine for fine, refusal in pairs if refusal is None]
    return due, replace(claimed, held_back=Counter(claimed.held_back) + held)


async def patrons_of(
    connection: Connection, store: LedgerStore, profile: Profile, run: OpenRun
) -> AsyncIterator[Looked]:
    """Patron after patron behind the run's mark, each whole, however the pages fall."""
    after, waiting = run.after, list[Fine]()
    limit = min(PAGE_FINES_MAX, profile.limits.fines_max + PAGE_FINES_MORE)
    more = True
    while more:
        page = await export_store.open_fines(connection, store, profile, after, limit)
        more = len(page) == limit
        waiting.extend(page)
        groups = [tuple(g) for _, g in groupby(waiting, key=lambda fine: fine.facts.patron_id)]
        whole = groups[:-1] if more else groups
        waiting = list(groups[-1]) if more else []
        if page:
            after = (page[-1].facts.patron_id, page[-1].facts.fine_id)
        for looked in await look_at(connection, store, profile, run, whole):
            yield looked


async def look_at(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Sequence[Fine]],
) -> list[Looked]:
    """Whole patrons' open fines through the selection."""
    ids = [fines[0].facts.patron_id for fines in groups]
    patrons = await store.patrons(connection, {(profile.institution_id, one) for one in ids})
    return look_at_known(profile, run, groups, patrons)


def look_at_known(
    profile: Profile,
    run: OpenRun,
    groups: Sequence[Sequence[Fine]],
    patrons: Mapping[PatronKey, Patron],
) -> list[Looked]:
    """The same with the patrons as they were read."""
    return [
        _look(
            profile,
            run,
            patrons.get((profile.institution_id, fines[0].facts.patron_id)),
            fines,
            run.taken if fines[0].facts.patron_id == run.after[0] else 0,
        )
        for fines in groups
    ]


def _look(
    profile: Profile, run: OpenRun, patron: Patron | None, fines: Sequence[Fine], taken: int
) -> Looked:
    """One patron's open fines through the profile's selection."""
    cutoff_on = local_date(run.cutoff, profile.zone)
    candidates = [candidate_of(profile, patron, fine) for fine in fines]
    refusals = select(profile, candidates, cutoff_on, taken)
    return Looked(patron, tuple(zip(fines, refusals, strict=True)))


def candidate_of(profile: Profile, patron: Patron | None, fine: Fine) -> Candidate:
    """What selection asks of a fine; None: the patron is not known any more."""
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
        exportable=facts.exportable or fine.released,
        refused=fine.refused_reason is not None,
        texts_are_sound=all(map(is_carried, _codes(profile, patron, fine))),
    )


def _codes(profile: Profile, patron: Patron | None, fine: Fine) -> Iterator[str]:
    """What readers look things up by; any other text may be printed with blanks in it."""
    yield fine.facts.type
    if (owner := fine.facts.owner) is not None:
        yield from (owner.library_id, owner.library_code)
    if patron is not None:
        yield from (value for kind, value in patron.identifiers if kind == profile.match)


def _sized(profile: Profile, looked: Looked) -> list[Sized[Fine]]:
    due = [fine for fine, refusal in looked.fines if refusal is None]
    if not due or looked.patron is None:
        return []
    lines = [line_of(fine, _LONGEST_ID, Status.CLOSED, _LONGEST_REF) for fine in due]
    patron = patron_of(profile, looked.patron, lines)
    return [
        Sized(patron.patron_id, fine, size_bytes_max(patron, line))
        for fine, line in zip(due, lines, strict=True)
    ]
