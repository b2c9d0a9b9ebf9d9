"""Explains for people why a fine is not exported now, without names or ids of its patron."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from ..core.ledger import Fine
from ..core.money import format_minor
from ..core.words import CREDIT_TYPE
from .candidates import candidate_of, unsound_codes
from .evaluation import Evaluation
from .profiles.profile import AmountScope, FineGroup, Profile
from .selection import (
    Candidate,
    Exclusion,
    identifiers_of,
    minimum_age_days,
    minimum_amount,
)

DUE = "due: the next run takes it"
# Of these no value is shown. The type checker names a reason that is neither here nor in `words`.
_WORDS: dict[
    Literal[
        Exclusion.IN_DISPUTE,
        Exclusion.NO_PATRON_NAME,
        Exclusion.CREDIT_UNCONFIRMED,
        Exclusion.ADOPTED_LINE,
        Exclusion.PAUSED,
    ],
    str,
] = {
    Exclusion.IN_DISPUTE: "in dispute until the library restores it",
    Exclusion.NO_PATRON_NAME: "the patron has no name",
    Exclusion.CREDIT_UNCONFIRMED: "a credit that an imported file has made, or that a"
    " change has made which may have come before the export that a recovery adopted; `held"
    " release` offers it to the next run",
    Exclusion.ADOPTED_LINE: "a line of it, or of another credit of its account, that was published"
    " before the database was restored waits for its fine; `recovered lines` shows it",
    Exclusion.PAUSED: "due, but the profile is paused",
}


def group_of(candidate: Candidate) -> FineGroup:
    """Returns the properties of a fine that decide which profile exports it."""
    return FineGroup(
        candidate.institution_id,
        candidate.type,
        candidate.currency,
        candidate.library_code,
        candidate.user_group,
    )


def mismatches(profile: Profile, group: FineGroup) -> Iterator[str]:
    """Yields, in words, each property of a fine because of which the profile does not export it."""
    if group.currency != profile.currency:
        yield f"{group.currency}, the profile takes {profile.currency}"
    if not profile.includes_type(group.type):
        if group.type == CREDIT_TYPE:
            yield "a credit, the profile includes no credits"
        else:
            yield f"type {group.type}, the profile takes {_list(profile.fine_types)}"
    if not profile.includes_owner(group.library_code):
        yield f"{owner_in_words(group.library_code)}, the profile takes {_owners(profile)}"
    if not profile.includes_group(group.user_group):
        groups = _list(profile.user_groups or ())
        yield f"user group {group.user_group or 'unknown'}, the profile takes {groups}"


def owner_in_words(library_code: str | None) -> str:
    """Says in words which library owns a fine; None stands for the institution itself."""
    return "owned by the institution" if library_code is None else f"owned by {library_code}"


def _owners(profile: Profile) -> str:
    libraries = "any library" if profile.owners is None else _list(profile.owners)
    if not profile.institution_owned:
        return f"fines of {libraries}"
    return f"fines of {libraries or 'no library'} and of the institution"


def _list(words: "frozenset[str] | tuple[str, ...]") -> str:
    return ", ".join(sorted(words))


class Explanation:
    """Explains in words what the evaluation of one patron's open fines has found."""

    def __init__(self, profile: Profile, evaluation: Evaluation) -> None:
        self._profile = profile
        self._evaluation = evaluation

    def words(self, fine: Fine, exclusion: Exclusion | None) -> str:
        """Says why the fine is not exported: which property of the fine the profile does not
        accept.
        """
        candidate = candidate_of(self._profile, self._evaluation.patron, fine)
        match exclusion:
            case Exclusion.TOO_YOUNG:
                return self._due_from(fine, candidate)
            case Exclusion.BELOW_MINIMUM:
                return self._of_minimum(candidate)
            case Exclusion.NO_IDENTIFIER:
                return _identifiers(self._profile, candidate)
            case Exclusion.NOT_EXPORTABLE:
                return _not_exportable(fine)
            case Exclusion.REFUSED:
                return f"refused by the bursar: {fine.refused_reason}"
            case Exclusion.BAD_TEXT:
                codes = unsound_codes(self._profile, self._evaluation.patron, fine)
                return f"{', '.join(codes)}: cannot be printed as it is"
            case Exclusion.NOT_THIS_PROFILE | Exclusion.NO_PROFILE:
                return "; ".join(mismatches(self._profile, group_of(candidate)))
            case Exclusion.WAITS_FOR_FINE:
                return _waits_for(self._evaluation.credited[fine.facts.fine_id])
            case None:
                return DUE
            case _:
                return _WORDS[exclusion]

    def _due_from(self, fine: Fine, candidate: Candidate) -> str:
        if fine.facts.fine_id in self._evaluation.later:
            return "came after the cutoff of the run: the next run may take it"
        days = minimum_age_days(self._profile, candidate.type)
        try:
            due_on = candidate.created_on + timedelta(days=days)
        except OverflowError:  # a date that no calendar has
            return f"due {days} days after creation"
        return f"due from {due_on} ({days} {'day' if days == 1 else 'days'} after creation)"

    def _of_minimum(self, candidate: Candidate) -> str:
        profile, currency = self._profile, candidate.currency
        alone = minimum_amount(profile, candidate)
        if abs(candidate.remaining) < alone:
            return (
                f"{format_minor(abs(candidate.remaining), currency)} of "
                f"{format_minor(alone, currency)} minimum"
            )
        assert profile.minimum_amount_scope is AmountScope.PATRON
        return (
            f"{format_minor(abs(self._evaluation.together), currency)} of "
            f"{format_minor(profile.minimum_amount, currency)} minimum, "
            "all of the patron's fines that are due together"
        )


def _not_exportable(fine: Fine) -> str:
    if fine.facts.exportable or fine.released:
        return "a change of it has failed and waits in `parked list`"
    return "created as not exportable; `held release` offers it to the next run"


def _waits_for(fine: Fine) -> str:
    text = f"a credit of fine {fine.facts.fine_id}, which is {fine.status}: it waits"
    if fine.is_open_in_library:
        return f"{text} until that fine is exported"
    return f"{text} for a profile that imports payments"


def _identifiers(profile: Profile, candidate: Candidate) -> str:
    count = len(identifiers_of(profile, candidate.identifiers))
    if count > 1:
        return f"{count} identifiers of type {profile.match}, the profile needs one"
    if any(kind == profile.match for kind, _ in candidate.identifiers):
        return f"the identifier of type {profile.match} is empty"
    return f"no identifier of type {profile.match}"
