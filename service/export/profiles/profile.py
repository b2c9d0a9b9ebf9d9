"""An export profile and its institution as values. Pure; amounts are in minor units."""

from dataclasses import dataclass
from enum import StrEnum

from ...core.shares import LumpRule
from ...core.terms import Terms
from ...core.words import CREDIT_TYPE, Mode, ProfileCode
from ..batch import Limits


class AmountScope(StrEnum):
    """Whether a minimum amount is meant for each fine or for the sum of a patron's fines."""

    FINE = "fine"
    PATRON = "patron"


class EmptyRun(StrEnum):
    """Whether a run with nothing to export seals nothing, or a batch without fines."""

    NOTHING = "nothing"
    EMPTY_BATCH = "empty_batch"


@dataclass(frozen=True, slots=True)
class Institution:
    """An institution; `zone` is the IANA name of the time zone by which the dates of its fines
    count.

    `lump_payments` says how the service applies a payment that names a patron but neither a fine
    nor a bursar transaction id.
    """

    id: str
    zone: str
    name: str | None = None
    lump_payments: LumpRule = LumpRule.HOLD


@dataclass(frozen=True, slots=True)
class Credits:
    """Whether and when credits are exported; `minimum_amount` is the least absolute amount of a
    single credit.
    """

    included: bool = False
    minimum_age_days: int = 0
    minimum_amount: int = 0


@dataclass(frozen=True, slots=True)
class FineGroup:
    """The properties of a fine that decide which profile exports it.

    `library_code` is None if the institution itself owns the fine.
    """

    institution_id: str
    type: str
    currency: str
    library_code: str | None
    user_group: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Says which fines of an institution are exported, when, and in batches of which size.

    `zone` and `cron_zone` are IANA names of time zones. `user_groups` and `owners` are None if the
    profile exports fines of any user group or owner. `terms` has the rules of the profile that a
    fine keeps from its export on.
    """

    code: ProfileCode
    name: str
    institution_id: str
    zone: str
    currency: str
    fine_types: frozenset[str]
    user_groups: frozenset[str] | None
    owners: frozenset[str] | None
    institution_owned: bool
    match: str
    minimum_age_days: int
    minimum_amount: int
    minimum_amount_scope: AmountScope
    credits: Credits
    interval_seconds: int | None
    cron: str | None  # five fields, meant in `cron_zone`
    cron_zone: str
    limits: Limits
    terms: Terms
    empty_run: EmptyRun
    credit_references: bool

    @property
    def mode(self) -> Mode:
        """Returns the profile's mode: whether it only exports, or imports payments as well."""
        return self.terms.mode

    @property
    def key(self) -> tuple[str, str]:
        """Returns institution id and profile code, by which tables of the database name the
        profile.
        """
        return self.institution_id, self.code

    @property
    def types(self) -> frozenset[str]:
        """Returns the types of fines that the profile exports; credits are among them only if
        `credits.included` is set.
        """
        credit = {CREDIT_TYPE}
        return self.fine_types | credit if self.credits.included else self.fine_types - credit

    def includes(self, group: "FineGroup") -> bool:
        """Whether the profile exports such fines at all, once they are due and not held back."""
        return (
            group.institution_id == self.institution_id
            and group.currency == self.currency
            and self.includes_type(group.type)
            and self.includes_owner(group.library_code)
            and self.includes_group(group.user_group)
        )

    def includes_type(self, kind: str) -> bool:
        """Whether the profile exports fines of this type."""
        return kind in self.types

    def includes_owner(self, library_code: str | None) -> bool:
        """Whether the profile exports fines of this library; None stands for fines of the
        institution itself.
        """
        if library_code is None:
            return self.institution_owned
        return self.owners is None or library_code in self.owners

    def includes_group(self, user_group: str) -> bool:
        """Whether the profile exports fines of patrons of this user group."""
        return self.user_groups is None or user_group in self.user_groups


@dataclass(frozen=True, slots=True)
class Profiles:
    """The institutions and profiles of a configuration file, in the order of the file."""

    institutions: tuple[Institution, ...]
    profiles: tuple[Profile, ...]

    @property
    def lump_rules(self) -> dict[str, LumpRule]:
        """Returns the setting `lump_payments` of each institution, by the institution's id."""
        return {each.id: each.lump_payments for each in self.institutions}

    def institution(self, institution_id: str) -> Institution | None:
        """Returns the institution with this id; None if the file has no such institution."""
        return next((each for each in self.institutions if each.id == institution_id), None)

    def profile(self, code: str) -> Profile | None:
        """Returns the profile with this code; None if the file has no such profile."""
        return next((profile for profile in self.profiles if profile.code == code), None)

    def including(self, group: FineGroup) -> tuple[Profile, ...]:
        """Returns the profiles that export fines with these properties."""
        return tuple(profile for profile in self.profiles if profile.includes(group))

    def of_institution(self, institution_id: str) -> tuple[Profile, ...]:
        """Returns the profiles of an institution, in the order of the file."""
        return tuple(each for each in self.profiles if each.institution_id == institution_id)


NO_PROFILES = Profiles((), ())


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two profiles that can export the same fine; the one that runs first exports it."""

    first: ProfileCode
    second: ProfileCode
    types: frozenset[str]


class Concern(StrEnum):
    """The reasons why a valid configuration may still be a mistake."""

    THREE_DECIMALS = "some bursar systems round to two decimals"
    LARGE_INSTITUTION_ID = "some bursar systems hold an institution id in 16 bit"
    NO_PROFILE = "nothing exports this institution's fines"


@dataclass(frozen=True, slots=True)
class ProfileWarning:
    """A concern about the profile or institution whose code or id is `subject`."""

    concern: Concern
    subject: str
