"""Why a fine is not exported now, in words and numbers for people. No values of a patron."""

from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property

from ..core.ledger import Fine
from ..core.money import format_minor
from ..core.words import CREDIT_TYPE
from .evaluation import Evaluation, candidate_of, unsound_codes
from .profiles.profile import AmountScope, FineGroup, Profile
from .run import OpenRun
from .selection import (
    Candidate,
    Exclusion,
    identifiers_of,
    local_date,
    minimum_age_days,
    minimum_amount,
    together,
)

DUE = "due: the next run takes it"
_WORDS = {
    Exclusion.IN_DISPUTE: "in dispute until the library restores it",
    Exclusion.NO_PATRON_NAME: "the patron has no name",
    Exclusion.PAUSED: "due, but the profile is paused",
}


def group_of(candidate: Candidate) -> FineGroup:
    return FineGroup(
        candidate.institution_id,
        candidate.type,
        candidate.currency,
        candidate.library_code,
        candidate.user_group,
    )


def mismatches(profile: Profile, group: FineGroup) -> Iterator[str]:
    """What of a fine is not the profile's."""
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
    return "owned by the institution" if library_code is None else f"owned by {library_code}"


def _owners(profile: Profile) -> str:
    libraries = "any library" if profile.owners is None else _list(profile.owners)
    if not profile.institution_owned:
        return f"fines of {libraries}"
    return f"fines of {libraries or 'no library'} and of the institution"


def _list(words: "frozenset[str] | tuple[str, ...]") -> str:
    return ", ".join(sorted(words))


class Explanation:
    """One patron's open fines as a profile's selection has judged them."""

    def __init__(self, profile: Profile, run: OpenRun, evaluation: Evaluation) -> None:
        self._profile = profile
        self._run = run
        self._looked = evaluation
        self._cutoff_on = local_date(run.cutoff, profile.zone)

    def candidate(self, fine: Fine) -> Candidate:
        return candidate_of(self._profile, self._looked.patron, fine)

    def words(self, fine: Fine, exclusion: Exclusion | None) -> str:
        """The rule's two values: what the fine has, and what the profile asks for."""
        candidate = self.candidate(fine)
        match exclusion:
            case Exclusion.TOO_YOUNG:
                return self._due_from(candidate)
            case Exclusion.BELOW_MINIMUM:
                return self._of_minimum(candidate)
            case Exclusion.NO_IDENTIFIER:
                return _identifiers(self._profile, candidate)
            case Exclusion.NOT_EXPORTABLE:
                return _not_exportable(fine)
            case Exclusion.REFUSED:
                return f"refused by the bursar: {fine.refused_reason}"
            case Exclusion.BAD_TEXT:
                codes = unsound_codes(self._profile, self._looked.patron, fine)
                return f"{', '.join(codes)}: cannot be printed as it is"
            case None:
                return DUE
            case _:
                found = _WORDS.get(exclusion)
                return found or "; ".join(mismatches(self._profile, group_of(candidate)))

    def _due_from(self, candidate: Candidate) -> str:
        days = minimum_age_days(self._profile, candidate)
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
            f"{format_minor(abs(self._together), currency)} of "
            f"{format_minor(profile.minimum_amount, currency)} minimum, "
            "all of the patron's fines that are due together"
        )

    @cached_property
    def _together(self) -> int:
        """Of the patron's fines that pass everything else; once for all of them."""
        candidates = [
            candidate_of(
                self._profile, self._looked.patron, fine, waits=why is Exclusion.NOT_EXPORTABLE
            )
            for fine, why in self._looked.fines
        ]
        is_at_mark = self._looked.patron_id == self._run.after[0]
        taken = self._run.taken if is_at_mark else 0
        return together(self._profile, candidates, self._cutoff_on, taken)


def _not_exportable(fine: Fine) -> str:
    if fine.facts.exportable or fine.released:
        return "a change of it has failed and waits in `parked list`"
    return "created as not exportable; `held release` offers it to the next run"


def _identifiers(profile: Profile, candidate: Candidate) -> str:
    count = len(identifiers_of(profile, candidate.identifiers))
    if count > 1:
        return f"{count} identifiers of type {profile.match}, the profile needs one"
    if any(kind == profile.match for kind, _ in candidate.identifiers):
        return f"the identifier of type {profile.match} is empty"
    return f"no identifier of type {profile.match}"
