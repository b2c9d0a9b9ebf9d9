"""Reads and checks the configuration file of institutions and profiles.

If the file has an unknown option or a value that is not allowed, none of the file is used.
InvalidProfile names the file, the line, the field and the rule, never the wrong value.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any
from unicodedata import normalize

from pydantic import BaseModel, ValidationError

from ...core.money import decimals, parse_minor
from ...core.terms import Terms
from ...core.words import ProfileCode
from ...runtime.problems import OperatorError
from ...settings import rule_of
from ..batch import Limits
from .file import ProfileFile, ProfileTable
from .profile import (
    Concern,
    Credits,
    Institution,
    Overlap,
    Profile,
    Profiles,
    ProfileWarning,
)
from .rules import Fault, faults_between
from .toml_places import Location, number_of, numbers_of

_SIXTEEN_BIT_MAX = 65_535


class InvalidProfile(OperatorError):
    """The file of profiles has faults that must be corrected before the service starts. The text
    has a line for each fault.

    `field` and `rule` are those of the first fault in the file.
    """

    def __init__(self, path: Path, *faults: tuple[int, str, str]) -> None:
        in_order = sorted(faults, key=lambda fault: fault[0])
        super().__init__(
            "\n".join(f"{path}, line {number}: {field}: {rule}" for number, field, rule in in_order)
        )
        self.path = path
        _, self.field, self.rule = in_order[0]


def read_profiles(path: Path) -> Profiles:
    """Reads the institutions and profiles of a file. Raises InvalidProfile."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidProfile(path, (1, "file", error.strerror or "cannot be read")) from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidProfile(path, (number, "file", "must be UTF-8")) from None
    return parse_profiles(text, path)


def parse_profiles(text: str, path: Path) -> Profiles:
    """Reads institutions and profiles from `text`; messages name `path` as the file. Raises
    InvalidProfile.
    """
    text = normalize("NFC", text)  # as the texts of events, which its words are compared with
    numbers = numbers_of(text)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidProfile(path, (_toml_line(error, text), "file", "must be TOML")) from None
    except RecursionError:
        raise InvalidProfile(path, (1, "file", "is nested too deep")) from None
    try:
        file = ProfileFile.model_validate(data)
        faults = list(faults_between(data))
    except ValidationError as error:
        faults = list(dict.fromkeys((*_faults(error), *faults_between(data))))
    if not faults:
        return _profiles(file)
    raise InvalidProfile(
        path, *((number_of(numbers, location), _field(location), rule) for location, rule in faults)
    )


def overlaps(profiles: Profiles) -> list[Overlap]:
    """Returns the pairs of profiles that can export the same fine.

    Two profiles with different minimum ages or amounts can export the same fine, because a fine
    grows older and its amount changes.
    """
    pairs = []
    for first, second in combinations(profiles.profiles, 2):
        types = first.types & second.types
        if types and _share_account(first, second) and _share_owner(first, second):
            pairs.append(Overlap(first.code, second.code, types))
    return pairs


def warnings(profiles: Profiles) -> list[ProfileWarning]:
    """Returns what is allowed but may be a mistake: some bursar systems cannot read it, or some
    fines are never exported.
    """
    return [
        *(
            ProfileWarning(Concern.THREE_DECIMALS, profile.code)
            for profile in profiles.profiles
            if decimals(profile.currency) > 2
        ),
        *(
            ProfileWarning(Concern.LARGE_INSTITUTION_ID, institution.id)
            for institution in profiles.institutions
            if int(institution.id) > _SIXTEEN_BIT_MAX
        ),
        *(
            ProfileWarning(Concern.NO_PROFILE, institution.id)
            for institution in profiles.institutions
            if not profiles.of_institution(institution.id)
        ),
    ]


def _share_account(first: Profile, second: Profile) -> bool:
    return (
        first.institution_id == second.institution_id
        and first.currency == second.currency
        and _intersect(first.user_groups, second.user_groups)
    )


def _share_owner(first: Profile, second: Profile) -> bool:
    return (first.institution_owned and second.institution_owned) or _intersect(
        first.owners, second.owners
    )


def _intersect(first: frozenset[str] | None, second: frozenset[str] | None) -> bool:
    """Whether two sets have a common element; None is the set of everything."""
    if first is None or second is None:
        return bool(first is None or first) and bool(second is None or second)
    return bool(first & second)


def _profiles(file: ProfileFile) -> Profiles:
    """The values of a file without faults."""
    institutions = {
        table.id: Institution(**_same_options(table, Institution)) for table in file.institution
    }
    profiles = (_profile(table, institutions[table.institution]) for table in file.profile)
    return Profiles(tuple(institutions.values()), tuple(profiles))


def _profile(table: ProfileTable, institution: Institution) -> Profile:
    """The value of a table. Options whose name and meaning are the same need no line here."""

    def minor(amount: str) -> int:
        return parse_minor(amount, table.currency)

    maximum = table.overpayment_max
    terms = Terms(
        profile=ProfileCode(table.code),
        lost=table.lost_fines,
        refused=table.refused_lines,
        labels=tuple(table.labels.items()),
        overpayment_max=None if maximum is None else minor(maximum),
        **_same_options(table, Terms, "labels", "overpayment_max"),
    )
    amounts = ("minimum_amount", "credits")
    return Profile(
        institution_id=institution.id,
        zone=institution.zone,
        cron_zone=table.cron_zone or institution.zone,
        minimum_amount=minor(table.minimum_amount),
        credits=replace(
            Credits(**_same_options(table.credits, Credits)),
            minimum_amount=minor(table.credits.minimum_amount),
        ),
        limits=Limits(table.fines_max, table.bytes_max),
        terms=terms,
        **_same_options(table, Profile, *amounts, "cron_zone"),
    )


def _same_options(table: BaseModel, value: type, *converted: str) -> dict[str, Any]:
    """The options of a table that the value has as well, without those that are converted."""
    names = {field.name for field in fields(value)}.difference(converted)
    return {
        name: frozenset(option) if isinstance(option, list) else option
        for name, option in table
        if name in names
    }


def _faults(error: ValidationError) -> Iterator[Fault]:
    """The place and the rule of each fault; the texts of the library quote rules, never values."""
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        location = tuple(part for part in fault["loc"] if part != "[key]")
        match fault["type"]:
            case "missing":
                yield location, "must be there"
            case "extra_forbidden":
                yield location, "is not an option"
            case kind if kind in _SORTS:
                yield location, _SORTS[kind]
            case _:
                yield location, rule_of(fault["msg"])


# The types in the words of TOML; the library uses those of Python.
_SORTS = {
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "list_type": "must be a list; a table is written [[profile]], [[institution]]",
    "dict_type": "must be a table",
    "too_short": "must have at least 1 item",
    "model_type": "must be a table",
}


def _field(location: Location) -> str:
    """The names of a location without the numbers of tables: `profile.credits.minimum_amount`."""
    return ".".join(part for part in location if isinstance(part, str)) or "file"


def _toml_line(error: tomllib.TOMLDecodeError, text: str) -> int:
    # The line is only in the message: "... (at line 3, column 5)" or "(at end of document)".
    place = str(error).rpartition("(at line ")[2].partition(",")[0]
    return int(place) if place.isdigit() else text.count("\n") + 1
