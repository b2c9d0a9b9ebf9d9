"""Which fines a profile exports, and why it does not export the others (rules.md, 5). Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import assert_never
from zoneinfo import ZoneInfo

from ..core.words import CREDIT_TYPE, Mode, Status
from .batch import clean
from .profiles.profile import AmountScope, Profile


class Exclusion(StrEnum):
    """Why a fine is not exported now; the reasons that hold it back are in order of precedence.

    The last two are shown to people, and no profile's selection gives them. Manifests do not count
    fines for which an adopted line waits: they belong to a batch that was published before.
    """

    NOT_THIS_PROFILE = "not_this_profile"
    ADOPTED_LINE = "adopted_line"
    TOO_YOUNG = "too_young"
    BELOW_MINIMUM = "below_minimum"
    IN_DISPUTE = "in_dispute"
    NO_IDENTIFIER = "no_identifier"
    NO_PATRON_NAME = "no_patron_name"
    NOT_EXPORTABLE = "not_exportable"
    REFUSED = "refused"
    BAD_TEXT = "bad_text"
    CREDIT_UNCONFIRMED = "credit_unconfirmed"
    WAITS_FOR_FINE = "waits_for_fine"
    NO_PROFILE = "no_profile"
    PAUSED = "paused"

    @property
    def is_held_back(self) -> bool:
        """Whether the fine is held back: the manifest counts it, and reports show it."""
        return self not in _NOT_HELD_BACK

    @property
    def waits(self) -> bool:
        """Whether the fine only has to wait: it becomes due with time, or when its profile is
        resumed.
        """
        return self in (Exclusion.TOO_YOUNG, Exclusion.BELOW_MINIMUM, Exclusion.PAUSED)


_NOT_HELD_BACK = {
    *(Exclusion.NOT_THIS_PROFILE, Exclusion.TOO_YOUNG, Exclusion.BELOW_MINIMUM),
    *(Exclusion.ADOPTED_LINE, Exclusion.NO_PROFILE, Exclusion.PAUSED),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the selection needs to know of an open fine.

    `remaining` is in signed minor units, `created_on` the date in the institution's zone. `refused`
    says that the bursar refused its line and no person has released the fine since. `unconfirmed`
    says that an imported file has made the credit and no person has released it. If it is a credit
    of a fine, `credit_of` is the id of that fine and `credited` the fine's status; otherwise both
    are None. `is_later` says that the fine came into the ledger after the run's cutoff, and
    `line_waits` that an adopted line waits for the fine.
    """

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
    refused: bool = False
    texts_are_sound: bool = True
    unconfirmed: bool = False
    credit_of: str | None = None
    credited: Status | None = None
    is_later: bool = False
    line_waits: bool = False


def local_date(instant: datetime, zone: str) -> date:
    """The calendar date of an aware instant in a zone, by its IANA name."""
    try:
        return instant.astimezone(ZoneInfo(zone)).date()
    except OverflowError:  # within a day of the first or last instant that Python knows
        return instant.date()


def select(
    profile: Profile,
    candidates: Sequence[Candidate],
    cutoff_on: date,
    taken: int = 0,
    in_batch: Collection[str] | None = None,
) -> tuple[tuple[Exclusion | None, ...], int]:
    """The reason why each of a patron's fines is not exported; None for a fine that is.

    A credit is decided after the fines, because it may leave together with its fine: `in_batch` has
    the ids of the fines that the batch has room for, and is None if that is not known yet.

    Also returns what a minimum per patron is compared with: the signed sum of all fines that meet
    every other condition, and of what the run has `taken` of the patron already. Its absolute value
    counts.
    """
    alone = [exclusion_of(profile, candidate, cutoff_on) for candidate in candidates]
    leaving = {
        candidate.fine_id
        for candidate, why in zip(candidates, alone, strict=True)
        if why is None and (in_batch is None or candidate.fine_id in in_batch)
    }
    exclusions = tuple(
        Exclusion.WAITS_FOR_FINE
        if why is None and waits_for_fine(profile, candidate, leaving)
        else why
        for candidate, why in zip(candidates, alone, strict=True)
    )
    pairs = zip(candidates, exclusions, strict=True)
    together = taken + sum(candidate.remaining for candidate, why in pairs if why is None)
    if (
        profile.minimum_amount_scope is AmountScope.PATRON
        and abs(together) < profile.minimum_amount
    ):
        exclusions = tuple(exclusion or Exclusion.BELOW_MINIMUM for exclusion in exclusions)
    return exclusions, together


def exclusion_of(profile: Profile, candidate: Candidate, cutoff_on: date) -> Exclusion | None:
    """The reason why a fine, by itself, is not exported by the profile; None if it is.

    Whether the profile includes the fine at all comes first, then whether an adopted line waits for
    it, then what holds the fine back. That a credit waits for its fine is not decided here.
    """
    if not _is_included(profile, candidate):
        return Exclusion.NOT_THIS_PROFILE
    if candidate.line_waits:
        return Exclusion.ADOPTED_LINE
    if candidate.is_later or not is_of_age(
        profile, candidate.type, candidate.created_on, cutoff_on
    ):
        return Exclusion.TOO_YOUNG
    if abs(candidate.remaining) < minimum_amount(profile, candidate):
        return Exclusion.BELOW_MINIMUM
    return _held_back(profile, candidate)


def waits_for_fine(profile: Profile, credit: Candidate, leaving: Collection[str]) -> bool:
    """Whether a credit has to wait for its fine (row 5.17).

    `leaving` has the ids of the fines that the same batch exports. A credit of a fine that the
    library still collects waits unless the fine leaves with it; a credit of a fine that is
    Transferred waits for a profile that imports payments.
    """
    match credit.credited:
        case Status.ACTIVE | Status.IN_DISPUTE:
            return credit.credit_of not in leaving
        case Status.TRANSFERRED:
            return profile.mode is Mode.EXPORT_ONLY
        case Status.CLOSED | None:
            return False
        case _:
            assert_never(credit.credited)


def identifier_of(profile: Profile, identifiers: Sequence[tuple[str, str]]) -> str | None:
    """The only identifier of the type that the profile matches by; None for none or several."""
    values = identifiers_of(profile, identifiers)
    return values[0] if len(values) == 1 else None


def identifiers_of(profile: Profile, identifiers: Sequence[tuple[str, str]]) -> list[str]:
    """All identifiers of the type that the profile matches by, without empty ones."""
    return [value for kind, value in identifiers if kind == profile.match and _has_text(value)]


def _is_included(profile: Profile, candidate: Candidate) -> bool:
    return (
        candidate.institution_id == profile.institution_id
        and candidate.remaining != 0
        and candidate.currency == profile.currency
        and profile.includes_type(candidate.type)
        and profile.includes_owner(candidate.library_code)
        and profile.includes_group(candidate.user_group)
    )


def is_of_age(profile: Profile, fine_type: str, created_on: date, cutoff_on: date) -> bool:
    """Whether a fine of this type and date is old enough on the date of the run's cutoff."""
    return (cutoff_on - created_on).days >= minimum_age_days(profile, fine_type)


def minimum_age_days(profile: Profile, fine_type: str) -> int:
    """How many days old a fine must be; credits have a minimum of their own."""
    if fine_type == CREDIT_TYPE:
        return profile.credits.minimum_age_days
    return profile.minimum_age_days


def minimum_amount(profile: Profile, candidate: Candidate) -> int:
    """The absolute amount that the fine alone must have; 0 if the patron's fines count together."""
    if candidate.type == CREDIT_TYPE:
        return profile.credits.minimum_amount
    return profile.minimum_amount if profile.minimum_amount_scope is AmountScope.FINE else 0


def _held_back(profile: Profile, candidate: Candidate) -> Exclusion | None:
    if candidate.in_dispute:
        return Exclusion.IN_DISPUTE
    if identifier_of(profile, candidate.identifiers) is None:
        return Exclusion.NO_IDENTIFIER
    if not _has_text(candidate.patron_name):
        return Exclusion.NO_PATRON_NAME
    if not candidate.exportable:
        return Exclusion.NOT_EXPORTABLE
    if candidate.refused:  # by the terms of its export; the profile may have others now
        return Exclusion.REFUSED
    if not candidate.texts_are_sound:
        return Exclusion.BAD_TEXT
    if candidate.unconfirmed:
        return Exclusion.CREDIT_UNCONFIRMED
    return None


def _has_text(text: str) -> bool:
    return bool(clean(text).strip())
