"""An export profile and its institution as values. Pure; amounts in minor units."""

from dataclasses import dataclass
from enum import StrEnum

from ...core.shares import LumpRule
from ...core.terms import Terms
from ...core.words import CREDIT_TYPE, Mode, ProfileCode
from ..batch import Limits


class AmountScope(StrEnum):
    """What the minimum amount is compared with."""

    FINE = "fine"
    PATRON = "patron"


class EmptyRun(StrEnum):
    """What a run with nothing to export leaves behind."""

    NOTHING = "nothing"
    EMPTY_BATCH = "empty_batch"


@dataclass(frozen=True, slots=True)
class Institution:
    """An institution; `zone` is the IANA name of the zone in which its dates are meant.

    `lump_payments` is what happens with payments that name a patron and neither a fine nor a line.
    """

    id: str
    zone: str
    name: str | None = None
    lump_payments: LumpRule = LumpRule.HOLD


@dataclass(frozen=True, slots=True)
class Credits:
    """Whether and when credits are exported; `minimum_amount` is absolute and for each credit."""

    included: bool = False
    minimum_age_days: int = 0
    minimum_amount: int = 0


@dataclass(frozen=True, slots=True)
class FineGroup:
    """What decides which profile exports a fine.

    `library_code` is None if the institution itself owns the fine.
    """

    institution_id: str
    type: str
    currency: str
    library_code: str | None
    user_group: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What an institution exports, to whom it belongs, when, and in batches of which size.

    `zone` and `cron_zone` are IANA names. `user_groups` and `owners` are None if the profile takes
    any. `terms` is the part of the profile that a fine keeps from its export on.
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
        """Whether the profile imports payments as well."""
        return self.terms.mode

    @property
    def key(self) -> tuple[str, str]:
        """The institution id and the code, by which tables name a profile."""
        return self.institution_id, self.code

    @property
    def types(self) -> frozenset[str]:
        """The types of fines that it exports; credits have an option of their own."""
        credit = {CREDIT_TYPE}
        return self.fine_types | credit if self.credits.included else self.fine_types - credit

    def includes(self, group: "FineGroup") -> bool:
        """Whether it exports such fines at all, as soon as they are due and not held back."""
        return (
            group.institution_id == self.institution_id
            and group.currency == self.currency
            and self.includes_type(group.type)
            and self.includes_owner(group.library_code)
            and self.includes_group(group.user_group)
        )

    def includes_type(self, kind: str) -> bool:
        """Whether it exports fines of this type."""
        return kind in self.types

    def includes_owner(self, library_code: str | None) -> bool:
        """Whether it exports fines of this library; None stands for the institution itself."""
        if library_code is None:
            return self.institution_owned
        return self.owners is None or library_code in self.owners

    def includes_group(self, user_group: str) -> bool:
        """Whether it exports fines of patrons of this group."""
        return self.user_groups is None or user_group in self.user_groups


@dataclass(frozen=True, slots=True)
class Profiles:
    """The institutions and profiles of a configuration file, in its order."""

    institutions: tuple[Institution, ...]
    profiles: tuple[Profile, ...]

    @property
    def lump_rules(self) -> dict[str, LumpRule]:
        """The setting `lump_payments` of each institution, by its id."""
        return {each.id: each.lump_payments for each in self.institutions}

    def institution(self, institution_id: str) -> Institution | None:
        """The institution with this id; None if the file has none."""
        return next((each for each in self.institutions if each.id == institution_id), None)

    def profile(self, code: str) -> Profile | None:
        """The profile with this code; None if the file has none."""
        return next((profile for profile in self.profiles if profile.code == code), None)

    def including(self, group: FineGroup) -> tuple[Profile, ...]:
        """The profiles that export such fines."""
        return tuple(profile for profile in self.profiles if profile.includes(group))

    def of_institution(self, institution_id: str) -> tuple[Profile, ...]:
        """The profiles of an institution, in the order of the file."""
        return tuple(each for each in self.profiles if each.institution_id == institution_id)


NO_PROFILES = Profiles((), ())


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two profiles that export the same types of fines: whichever runs first takes a fine."""

    first: ProfileCode
    second: ProfileCode
    types: frozenset[str]


class Concern(StrEnum):
    """Why a valid configuration may be a mistake."""

    THREE_DECIMALS = "some bursar systems round to two decimals"
    LARGE_INSTITUTION_ID = "some bursar systems hold an institution id in 16 bit"
    NO_PROFILE = "nothing exports this institution's fines"


@dataclass(frozen=True, slots=True)
class ProfileWarning:
    """A concern about a profile, by its code, or about an institution, by its id."""

    concern: Concern
    subject: str
