"""Describes the tables of the TOML file of profiles: the name, type and limits of every option."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ...core.shares import LumpRule
from ...core.terms import DEFAULT_LOST_TYPES
from ...core.words import (
    ImportCredits,
    Kind,
    LibraryPayments,
    LostRule,
    Mode,
    Overpayment,
    RefusedRule,
)
from .profile import AmountScope, EmptyRun

AGE_DAYS_MAX = 3_650
FINES_MAX = 1_000  # a common fine takes 1.5 kB, one with every text at its longest 40 kB
FINES_MAX_MAX = 10_000
BYTES_MAX = 8_000_000  # far below the relay's limit for a record (tests/unit/test_export_limits.py)
BYTES_MAX_MIN = 100_000
INTERVAL_SECONDS_MAX = 366 * 24 * 3_600


def _matching(pattern: str, rule: str) -> AfterValidator:
    """A check by a regular expression; its error is the rule in words."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(rule)
        return text

    return AfterValidator(check)


# Texts may have any characters except control characters.
_SingleRow = _matching(r"[^\x00-\x1f\x7f-\x9f]*", "must be one line, without control characters")
_CODE = "must have 1 to 40 letters, digits or underscores"
Word = Annotated[str, Field(min_length=1, max_length=100), _SingleRow]
Text = Annotated[str, Field(min_length=1, max_length=300), _SingleRow]
Label = Annotated[str, Field(min_length=1, max_length=60), _SingleRow]
Code = Annotated[str, _matching(r"[A-Za-z0-9_]{1,40}", _CODE)]
InstitutionNumber = Annotated[
    str, _matching(r"[1-9][0-9]{0,9}", "must have 1 to 10 digits, the first one not 0")
]
AgeDays = Annotated[int, Field(ge=0, le=AGE_DAYS_MAX)]
# A strict model does not accept a text for an enum, but TOML has no other way to write it.
AsText = Field(strict=False)


class _Table(BaseModel):
    """A table whose options have exactly their types; other options are not allowed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class InstitutionTable(_Table):
    """A table `[[institution]]` in the file of institutions and profiles."""

    id: InstitutionNumber
    zone: Word
    name: Text | None = None
    lump_payments: Annotated[LumpRule, AsText] = LumpRule.HOLD


class CreditsTable(_Table):
    """A table `[profile.credits]`: whether and when credits are exported."""

    included: bool = False
    minimum_age_days: AgeDays = 0
    minimum_amount: str = "0"


class ProfileTable(_Table):
    """A table `[[profile]]`; docs/reference/profiles.md describes the options."""

    code: Code
    name: Text
    institution: InstitutionNumber
    mode: Annotated[Mode, AsText]
    currency: str
    fine_types: Annotated[list[Word], Field(min_length=1)]
    user_groups: Annotated[list[Word], Field(min_length=1)] | None = None
    owners: list[Word] | None = None
    institution_owned: bool = True
    match: Code
    minimum_age_days: AgeDays = 0
    minimum_amount: str = "0"
    minimum_amount_scope: Annotated[AmountScope, AsText] = AmountScope.FINE
    credits: CreditsTable = CreditsTable()
    interval_seconds: Annotated[int, Field(ge=1, le=INTERVAL_SECONDS_MAX)] | None = None
    cron: Annotated[str, Field(max_length=100)] | None = None
    cron_zone: Word | None = None
    fines_max: Annotated[int, Field(ge=1, le=FINES_MAX_MAX)] = FINES_MAX
    bytes_max: Annotated[int, Field(ge=BYTES_MAX_MIN, le=BYTES_MAX)] = BYTES_MAX
    lost_types: list[Word] = sorted(DEFAULT_LOST_TYPES)
    lost_fines: Annotated[LostRule, AsText] = LostRule.CLOSE
    close_paid_lost_loan: bool = False
    overpayment: Annotated[Overpayment, AsText] = Overpayment.CREDIT
    overpayment_max: str | None = None
    refused_lines: Annotated[RefusedRule, AsText] = RefusedRule.HOLD
    library_payments: Annotated[LibraryPayments, AsText] = LibraryPayments.REJECT
    import_credits: Annotated[ImportCredits, AsText] = ImportCredits.CONFIRM
    labels: dict[Annotated[Kind, AsText], Label] = {}
    empty_run: Annotated[EmptyRun, AsText] = EmptyRun.NOTHING
    credit_references: bool = True


class ProfileFile(_Table):
    """A whole configuration file."""

    institution: list[InstitutionTable] = []
    profile: list[ProfileTable] = []
