"""Which fines a profile exports, which it holds back and why (rules.md, 5). Pure; fails closed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from ..core.words import CREDIT_TYPE
from .batch import clean
from .profiles.profile import AmountScope, Profile


class Exclusion(StrEnum):
    """Why a fine is not exported now; the held-back ones in order of precedence.

    The last two are no profile's selection: people are shown them. A manifest counts a fine of a
    type that no profile names as `unknown_type`; for people it is one that no profile takes.
    """

    NOT_THIS_PROFILE = "not_this_profile"
    TOO_YOUNG = "too_young"
    BELOW_MINIMUM = "below_minimum"
    IN_DISPUTE = "in_dispute"
    NO_IDENTIFIER = "no_identifier"
    NO_PATRON_NAME = "no_patron_name"
    NOT_EXPORTABLE = "not_exportable"
    REFUSED = "refused"
    BAD_TEXT = "bad_text"
    UNKNOWN_TYPE = "unknown_type"
    NO_PROFILE = "no_profile"
    PAUSED = "paused"

    @property
    def is_held_back(self) -> bool:
        """Counted in the manifest and shown in a report; the others are just not due here."""
        return self not in _NOT_DUE and self not in _NO_RUNS

    @property
    def waits(self) -> bool:
        """Nothing is wrong with the fine: it becomes due by itself, or with its profile."""
        return self in (Exclusion.TOO_YOUNG, Exclusion.BELOW_MINIMUM, Exclusion.PAUSED)


_NOT_DUE = frozenset({Exclusion.NOT_THIS_PROFILE, Exclusion.TOO_YOUNG, Exclusion.BELOW_MINIMUM})
_NO_RUNS = frozenset({Exclusion.NO_PROFILE, Exclusion.PAUSED})


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open fine. `remaining` signed minor units; `created_on` in the institution's zone."""

    institution_id: str
    fine_id: str
    type: str
    remaining: int
    currency: str
    created_on: date
    library_code: str | None  # None: owned by the institution
    user_group: str
    identifiers: tuple[tuple[str, str], ...]
    patron_name: str
    in_dispute: bool = False
    exportable: bool = True
    refused: bool = False  # the bursar refused its line and nobody released it
    texts_are_sound: bool = True


def local_date(instant: datetime, zone: str) -> date:
    """The calendar date of an aware instant where the institution is."""
    try:
        return instant.astimezone(ZoneInfo(zone)).date()
    except OverflowError:  # within a day of the first or last instant there is
        return instant.date()


def select(
    profile: Profile, candidates: Sequence[Candidate], cutoff_on: date, taken: int = 0
) -> tuple[Exclusion | None, ...]:
    """One patron's fines, each with its exclusion, or None if it is exported.

    A minimum per patron counts the absolute signed sum of all that passes the rest, and what
    this run already `taken` of him.
    """
    exclusions = tuple(exclusion_of(profile, candidate, cutoff_on) for candidate in candidates)
    if profile.minimum_amount_scope is AmountScope.FINE:
        return exclusions
    if abs(_together(candidates, exclusions, taken)) >= profile.minimum_amount:
        return exclusions
    return tuple(exclusion or Exclusion.BELOW_MINIMUM for exclusion in exclusions)


def together(
    profile: Profile, candidates: Sequence[Candidate], cutoff_on: date, taken: int = 0
) -> int:
    """What a minimum per patron is compared with: the signed sum of all that passes the rest."""
    exclusions = [exclusion_of(profile, candidate, cutoff_on) for candidate in candidates]
    return _together(candidates, exclusions, taken)


def _together(
    candidates: Sequence[Candidate], exclusions: Sequence[Exclusion | None], taken: int
) -> int:
    pairs = zip(candidates, exclusions, strict=True)
    return taken + sum(candidate.remaining for candidate, exclusion in pairs if exclusion is None)


def exclusion_of(profile: Profile, candidate: Candidate, cutoff_on: date) -> Exclusion | None:
    """A fine by itself: whether it is the profile's at all comes first, then what holds it back."""
    if not _is_claimed(profile, candidate):
        return Exclusion.NOT_THIS_PROFILE
    if (cutoff_on - candidate.created_on).days < minimum_age_days(profile, candidate):
        return Exclusion.TOO_YOUNG
    if abs(candidate.remaining) < minimum_amount(profile, candidate):
        return Exclusion.BELOW_MINIMUM
    return _held_back(profile, candidate)


def identifier_of(profile: Profile, identifiers: Sequence[tuple[str, str]]) -> str | None:
    """The one value of the profile's match type, as it came; None for none, empty or several."""
    values = identifiers_of(profile, identifiers)
    return values[0] if len(values) == 1 else None


def identifiers_of(profile: Profile, identifiers: Sequence[tuple[str, str]]) -> list[str]:
    """All values of the profile's match type that are not empty."""
    return [value for kind, value in identifiers if kind == profile.match and _is_said(value)]


def _is_claimed(profile: Profile, candidate: Candidate) -> bool:
    return (
        candidate.institution_id == profile.institution_id
        and candidate.remaining != 0
        and candidate.currency == profile.currency
        and _is_type_claimed(profile, candidate.type)
        and profile.includes_owner(candidate.library_code)
        and profile.includes_group(candidate.user_group)
    )


def _is_type_claimed(profile: Profile, kind: str) -> bool:
    # A type that no profile of the institution knows would otherwise go unseen by all of them.
    return profile.includes_type(kind) or kind not in profile.known_types


def minimum_age_days(profile: Profile, candidate: Candidate) -> int:
    if candidate.type == CREDIT_TYPE:
        return profile.credits.minimum_age_days
    return profile.minimum_age_days


def minimum_amount(profile: Profile, candidate: Candidate) -> int:
    """What the fine alone must have; 0 where the patron's fines count together."""
    if candidate.type == CREDIT_TYPE:
        return profile.credits.minimum_amount
    return profile.minimum_amount if profile.minimum_amount_scope is AmountScope.FINE else 0


def _held_back(profile: Profile, candidate: Candidate) -> Exclusion | None:
    if candidate.in_dispute:
        return Exclusion.IN_DISPUTE
    if identifier_of(profile, candidate.identifiers) is None:
        return Exclusion.NO_IDENTIFIER
    if not _is_said(candidate.patron_name):
        return Exclusion.NO_PATRON_NAME
    if not candidate.exportable:
        return Exclusion.NOT_EXPORTABLE
    if candidate.refused:  # under the rule of its export: the profile may say otherwise by now
        return Exclusion.REFUSED
    if not candidate.texts_are_sound:
        return Exclusion.BAD_TEXT
    if candidate.type not in profile.known_types:
        return Exclusion.UNKNOWN_TYPE
    return None


def _is_said(text: str) -> bool:
    return bool(clean(text).strip())
