"""What each profile of its institution makes of one open fine."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.ledger import Fine, FineKey
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, statements
from ..export.profiles.profile import FineGroup, Profile, Profiles
from ..export.reasons import DUE, Explanation, mismatches
from ..export.schedule import pauses
from ..export.selection import Exclusion
from .held import patrons, run_of, standing
from .held_causes import with_causes
from .held_fine import HeldFine, is_held_by_itself, without_profile
from .unclaimed import group_of, in_words

SQL = statements("operators")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` None: the fine is due in the profile's next run. `profile` None: of no profile."""

    profile: str | None
    reason: Exclusion | None
    in_words: str


async def find_fine(connection: Connection, store: LedgerReader, key: FineKey) -> Fine | None:
    rows = await connection.fetch(SQL["fine"], *key)
    return next(iter(await store.fines_of(connection, rows)), None)


async def verdicts(
    connection: Connection, store: LedgerReader, profiles: Profiles, fine: Fine
) -> list[Verdict]:
    """Beside all that the patron has open. Nothing at all for a fine that is not open."""
    if not fine.is_open_in_library:
        return []
    paused = await pauses(connection)
    group = await _group(connection, store, fine)
    found = []
    for profile in profiles.of_institution(fine.facts.institution_id):
        if profile.includes(group):
            is_paused = (profile.institution_id, profile.code) in paused
            found.append(await _verdict(connection, store, profile, fine, is_paused=is_paused))
        else:
            words = "; ".join(mismatches(profile, group))
            found.append(Verdict(profile.code, Exclusion.NOT_THIS_PROFILE, words))
    return found


async def _group(connection: Connection, store: LedgerReader, fine: Fine) -> FineGroup:
    key = (fine.facts.institution_id, fine.facts.patron_id)
    patron = (await store.patrons(connection, {key})).get(key)
    return group_of(fine, patron.user_group if patron else "")


async def _verdict(
    connection: Connection, store: LedgerReader, profile: Profile, fine: Fine, *, is_paused: bool
) -> Verdict:
    run = await run_of(connection, profile)
    key = fine.facts.key
    async for evaluation in patrons(connection, store, profile, run, fine.facts.patron_id):
        explanation = Explanation(profile, run, evaluation)
        for other, exclusion in evaluation.fines:
            if other.facts.key == key:
                reason = standing(profile, other, exclusion, is_paused=is_paused)
                return await _told(connection, profile, other, reason, explanation)
    return Verdict(profile.code, None, DUE)  # not open any more: closed between two statements


async def _told(
    connection: Connection,
    profile: Profile,
    fine: Fine,
    reason: Exclusion | None,
    explanation: Explanation,
) -> Verdict:
    words = explanation.words(fine, reason)
    if reason is None:
        return Verdict(profile.code, None, words)
    (held,) = await with_causes(connection, [HeldFine(fine, profile.code, reason, words)])
    return Verdict(profile.code, reason, held.in_words)


async def why(
    connection: Connection,
    profiles: Profiles,
    fine: Fine,
    judged: Sequence[Verdict],
) -> list[Verdict]:
    """Those that hold the fine back; one without a profile where none would count it."""
    if not fine.is_open_in_library:
        return []
    held = [one for one in judged if one.reason is not None and one.reason.is_held_back]
    if held or any(one.reason is None for one in judged):
        return held
    if is_held_by_itself(fine):
        (own,) = await with_causes(connection, [without_profile(fine)])
        return [Verdict(None, own.reason, own.in_words)]
    if all(one.reason is Exclusion.NOT_THIS_PROFILE for one in judged):
        institution_id = fine.facts.institution_id
        return [Verdict(None, Exclusion.NO_PROFILE, in_words(profiles, institution_id))]
    return []
