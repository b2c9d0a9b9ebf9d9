"""An export profile and its institution as values. Pure; amounts in minor units."""

from dataclasses import dataclass
from enum import StrEnum

from ...core.terms import Terms
from ...core.words import (
    CREDIT_TYPE,
    Kind,
    LostRule,
    Mode,
    Overpayment,
    ProfileCode,
    RefusedRule,
)
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
    """`zone` is an IANA name: dates of the institution are meant there."""

    id: str
    zone: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Credits:
    """`minimum_amount` is absolute and per credit."""

    included: bool = False
    minimum_age_days: int = 0
    minimum_amount: int = 0


@dataclass(frozen=True, slots=True)
class FineGroup:
    """What decides whose a fine is. `library_code` None: owned by the institution."""

    institution_id: str
    type: str
    currency: str
    library_code: str | None
    user_group: str


@dataclass(frozen=True, slots=True)
class Profile:
    """`user_groups` and `owners` None: any. `known_types`: of all profiles of the institution."""

    code: ProfileCode
    name: str
    institution_id: str
    zone: str
    mode: Mode
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
    lost: LostRule
    lost_types: frozenset[str]
    close_paid_lost_loan: bool
    overpayment: Overpayment
    overpayment_max: int | None  # None: the larger of ten times the outstanding and 100 units
    refused: RefusedRule
    labels: tuple[tuple[Kind, str], ...]
    empty_run: EmptyRun
    credit_references: bool
    known_types: frozenset[str]

    @property
    def key(self) -> tuple[str, str]:
        """The institution id and the code, by which tables name a profile."""
        return self.institution_id, self.code

    @property
    def terms(self) -> Terms:
        """What a fine keeps of its profile from its export on."""
        return Terms(
            profile=self.code,
            mode=self.mode,
            lost=self.lost,
            lost_types=self.lost_types,
            close_paid_lost_loan=self.close_paid_lost_loan,
            overpayment=self.overpayment,
            refused=self.refused,
            labels=self.labels,
            overpayment_max=self.overpayment_max,
        )

    @property
    def types(self) -> frozenset[str]:
        """What it exports; whether credits go along has a setting of its own."""
        own = self.fine_types - {CREDIT_TYPE}
        return own | {CREDIT_TYPE} if self.credits.included else own

    def includes(self, group: "FineGroup") -> bool:
        """Whether it exports such fines at all, once they are due and nothing holds them back."""
        return (
            group.institution_id == self.institution_id
            and group.currency == self.currency
            and self.includes_type(group.type)
            and self.includes_owner(group.library_code)
            and self.includes_group(group.user_group)
        )

    def includes_type(self, kind: str) -> bool:
        return kind in self.types

    def includes_owner(self, library_code: str | None) -> bool:
        """None: owned by the institution."""
        if library_code is None:
            return self.institution_owned
        return self.owners is None or library_code in self.owners

    def includes_group(self, user_group: str) -> bool:
        return self.user_groups is None or user_group in self.user_groups


@dataclass(frozen=True, slots=True)
class Profiles:
    """Everything one configuration file says, in its order."""

    institutions: tuple[Institution, ...]
    profiles: tuple[Profile, ...]

    def institution(self, institution_id: str) -> Institution | None:
        return next((one for one in self.institutions if one.id == institution_id), None)

    def profile(self, code: str) -> Profile | None:
        return next((one for one in self.profiles if one.code == code), None)

    def including(self, group: FineGroup) -> tuple[Profile, ...]:
        return tuple(profile for profile in self.profiles if profile.includes(group))

    def of_institution(self, institution_id: str) -> tuple[Profile, ...]:
        return tuple(one for one in self.profiles if one.institution_id == institution_id)


NO_PROFILES = Profiles((), ())


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two profiles that can claim the same fine: whichever runs first takes it."""

    first: ProfileCode
    second: ProfileCode
    types: frozenset[str]


class Concern(StrEnum):
    """What a sound configuration should be asked about at start."""

    THREE_DECIMALS = "some bursar systems round to two decimals"
    LARGE_INSTITUTION_ID = "some bursar systems hold an institution id in 16 bit"
    NO_PROFILE = "nothing exports this institution's fines"


@dataclass(frozen=True, slots=True)
class ProfileWarning:
    """`subject` is a profile's code or an institution's id."""

    concern: Concern
    subject: str
