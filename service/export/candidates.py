"""Collects what the selection needs to know of an open fine from the fine, its patron and other
tables. Pure.
"""

from ..core.frozen import dataclass
from ..core.ledger import Fine, Patron
from ..core.words import Status
from .batch import clean
from .profiles.profile import Profile
from .selection import Candidate, local_date


@dataclass(frozen=True, slots=True)
class SetApart:
    """The ids of fines whose export is prevented or delayed by something outside their own rows.

    The fines `failed` have a change that failed with an internal error, so that nobody knows what
    they owe. The set `later` has fines that came into the ledger after the run's cutoff, whatever
    their `created_at` is; fines that the profile does not export anyway, for their type or age, are
    left out of it. The fines `awaited` are not exported until an adopted line has been taken or
    dropped.
    """

    failed: frozenset[str]
    later: frozenset[str]
    awaited: frozenset[str]


NOTHING_APART = SetApart(frozenset(), frozenset(), frozenset())


def candidate_of(
    profile: Profile,
    patron: Patron | None,
    fine: Fine,
    apart: SetApart = NOTHING_APART,
    credited_fine: Fine | None = None,
) -> Candidate:
    """Returns what the selection needs to know of a fine.

    `patron` is None if the database has no such patron any more. `apart` says what other tables
    have on the fine, such as a change that has failed and on which a person has to decide first.
    `credited_fine` is the fine that `fine` belongs to, if `fine` is a credit.
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
        texts_are_sound=_has_plain_codes(patron, fine) or not unsound_codes(profile, patron, fine),
        unconfirmed=fine.amendment.unconfirmed,
        credit_of=None if credited_fine is None else credited_fine.facts.fine_id,
        credited=None if credited_fine is None else credited_fine.status,
    )


def unsound_codes(profile: Profile, patron: Patron | None, fine: Fine) -> list[str]:
    """Names the codes of a fine and its patron that the XML could not print unchanged.

    Codes must be unchanged because the bursar's programs search by them; other texts may be printed
    with blanks in place of some characters.
    """
    codes = [("type", fine.facts.type)]
    if (owner := fine.facts.owner) is not None:
        codes += (("library_id", owner.library_id), ("library_code", owner.library_code))
    identifiers = patron.identifiers if patron else ()
    codes += (
        (f"identifier of type {kind}", code) for kind, code in identifiers if kind == profile.match
    )
    return list(dict.fromkeys(name for name, code in codes if clean(code) != code))


def _has_plain_codes(patron: Patron | None, fine: Fine) -> bool:
    """Whether one look tells that all codes can be printed, as it does for nearly every fine."""
    owner = fine.facts.owner
    codes = [fine.facts.type]
    if owner is not None:
        codes += (owner.library_id, owner.library_code)
    if patron is not None:
        codes += [code for _, code in patron.identifiers]
    return "".join(codes).isprintable()
