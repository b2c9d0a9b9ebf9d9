"""Decides which fines a profile exports, and why it does not export others (rules.md, 5). Pure."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import assert_never
from zoneinfo import ZoneInfo

from ..core.frozen import dataclass
from ..core.words import CREDIT_TYPE, HeldReason, Mode, Status
from .batch import clean
from .profiles.profile import AmountScope, Profile


class Exclusion(StrEnum):
    """The reasons why a fine is not exported now; those that hold a fine back stand in their order
    of precedence.

    The last two reasons, NO_PROFILE and PAUSED, are only shown to people: the selection of a
    profile never gives them. Manifests do not count fines that wait for an adopted line, because
    the line is already in the manifest of a batch that was published earlier.
    """

    NOT_THIS_PROFILE = "not_this_profile"
    ADOPTED_LINE = HeldReason.ADOPTED_LINE
    TOO_YOUNG = HeldReason.TOO_YOUNG
    BELOW_MINIMUM = HeldReason.BELOW_MINIMUM
    IN_DISPUTE = HeldReason.IN_DISPUTE
    NO_IDENTIFIER = HeldReason.NO_IDENTIFIER
    NO_PATRON_NAME = HeldReason.NO_PATRON_NAME
    NOT_EXPORTABLE = HeldReason.NOT_EXPORTABLE
    REFUSED = HeldReason.REFUSED
    BAD_TEXT = HeldReason.BAD_TEXT
    CREDIT_UNCONFIRMED = HeldReason.CREDIT_UNCONFIRMED
    WAITS_FOR_FINE = HeldReason.WAITS_FOR_FINE
    NO_PROFILE = HeldReason.NO_PROFILE
    PAUSED = HeldReason.PAUSED

    @property
    def is_held_back(self) -> bool:
        """Whether the fine is held back, so that the manifest counts it and reports show it."""
        return self not in _NOT_HELD_BACK

    @property
    def waits(self) -> bool:
        """Whether nobody has to correct anything: the fine is exported when it is old enough, when
        enough is due, or when its profile is resumed.
        """
        return self in (Exclusion.TOO_YOUNG, Exclusion.BELOW_MINIMUM, Exclusion.PAUSED)


_NOT_HELD_BACK = {
    *(Exclusion.NOT_THIS_PROFILE, Exclusion.TOO_YOUNG, Exclusion.BELOW_MINIMUM),
    *(Exclusion.ADOPTED_LINE, Exclusion.NO_PROFILE, Exclusion.PAUSED),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the selection needs to know of an open fine.

    `remaining` is in signed minor units, and `created_on` is the date of creation in the
    institution's time zone. `refused` says that the bursar refused the fine's line and that no
    person has released the fine since. `unconfirmed` says that a person has to release the credit
    before it is exported, and has not done so. For a credit of a fine, `credit_of` is the id of
    that fine and `credited` is its status; for any other fine, both are None. `is_later` says that
    the fine came into the ledger after the run's cutoff, and `line_waits` that an adopted line
    waits for the fine or, if it is a credit, for another credit of its account.
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
    """Returns the calendar date of an aware instant in the time zone with this IANA name."""
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
    """Returns for each of a patron's fines the reason why it is not exported; the reason is None
    for a fine that is exported.

    Credits are decided after the other fines, because a credit may have to leave in the same batch
    as its fine; `in_batch` has the ids of the fines that the batch has room for, and is None if
    that is not known yet.

    Also returns the amount that is compared with a minimum per patron: the signed sum of the
    patron's fines that meet every other condition, and of those that the run has exported already
    (`taken`). Its absolute value counts.
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
    """Returns the reason why the profile does not export a fine, judged by itself; None if it
    exports the fine.

    The function asks first whether the profile includes the fine at all, then whether an adopted
    line waits for it, then its age and amount, and last what holds the fine back. The function does
    not ask whether a credit waits for its fine, because that depends on the other fines.
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
    """Whether a credit is not exported yet because it has to wait for its fine (row 5.17 of
    rules.md).

    `leaving` has the ids of the fines that the same batch exports. A credit whose fine the library
    still collects waits unless the fine is in the same batch; a credit whose fine is Transferred
    waits if the profile does not import payments.
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
    """Returns the patron's identifier of the profile's `match` type; None if the patron has none or
    several of that type.
    """
    values = identifiers_of(profile, identifiers)
    return values[0] if len(values) == 1 else None


def identifiers_of(profile: Profile, identifiers: Sequence[tuple[str, str]]) -> list[str]:
    """Returns the patron's identifiers of the profile's `match` type, except empty ones."""
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
    """Whether a fine of this type, created on this date, is old enough on the date of the run's
    cutoff.
    """
    return (cutoff_on - created_on).days >= minimum_age_days(profile, fine_type)


def minimum_age_days(profile: Profile, fine_type: str) -> int:
    """Returns how many days old a fine of this type must be; credits have a minimum age of their
    own.
    """
    if fine_type == CREDIT_TYPE:
        return profile.credits.minimum_age_days
    return profile.minimum_age_days


def minimum_amount(profile: Profile, candidate: Candidate) -> int:
    """Returns the least absolute amount that the fine must have by itself; 0 if the minimum is
    meant for the sum of a patron's fines.
    """
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
