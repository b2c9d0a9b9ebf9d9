"""Rules between the fields of a profile and between the tables of a file: all that are broken."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ValidationError

from ...core.money import InvalidAmount, InvalidCurrency, decimals, parse_minor
from ...core.words import CREDIT_TYPE
from .file import InstitutionTable, ProfileFile, ProfileTable
from .toml_lines import Location

Fault = tuple[Location, str]
Table = TypeVar("Table", bound=BaseModel)


def faults_of(file: ProfileFile) -> Iterator[Fault]:
    """Each with its place; none: the file can be turned into profiles."""
    institutions = dict(enumerate(file.institution))
    yield from _between(institutions, dict(enumerate(file.profile)), _ids(institutions.values()))


def faults_of_parts(data: Mapping[str, object]) -> Iterator[Fault]:
    """Of a file some of whose tables break a rule of a single field: what else is broken.

    Tables without such a fault are compared as usual; of the others the zone and the currency are
    looked at, which no table decides by its form alone.
    """
    institutions, profiles = _tables(data, "institution"), _tables(data, "profile")
    sound = _sound(InstitutionTable, institutions)
    ids = {raw.get("id") for raw in institutions.values()}
    sound_profiles = _sound(ProfileTable, profiles)
    yield from _between(sound, sound_profiles, ids)
    for n in institutions.keys() - sound.keys():
        yield from _zone(institutions[n].get("zone"), "institution", n, "zone")
    for n in profiles.keys() - sound_profiles.keys():
        yield from _zone(profiles[n].get("cron_zone"), "profile", n, "cron_zone")
        yield from _currency(profiles[n].get("currency"), n)


def _between(
    institutions: Mapping[int, InstitutionTable],
    profiles: Mapping[int, ProfileTable],
    ids: Collection[object],
) -> Iterator[Fault]:
    known = {n: table.id for n, table in institutions.items()}
    yield from _repeated(known, "institution", "id", "must be unique")
    codes = {n: table.code for n, table in profiles.items()}
    yield from _repeated(codes, "profile", "code", "must be unique over all institutions")
    for n, institution in institutions.items():
        yield from _zone(institution.zone, "institution", n, "zone")
    for n, profile in profiles.items():
        if profile.institution not in ids:
            yield ("profile", n, "institution"), "must be the id of an [[institution]]"
        yield from _of_profile(n, profile)


def _ids(institutions: Iterable[InstitutionTable]) -> set[object]:
    return {table.id for table in institutions}


def _tables(data: Mapping[str, object], name: str) -> dict[int, Mapping[str, object]]:
    tables = data.get(name)
    if not isinstance(tables, list):
        return {}
    return {n: table for n, table in enumerate(tables) if isinstance(table, dict)}


def _sound(model: type[Table], tables: Mapping[int, Mapping[str, object]]) -> dict[int, Table]:
    sound = {}
    for n, table in tables.items():
        with suppress(ValidationError):  # its faults are told by the whole file's validation
            sound[n] = model.model_validate(table)
    return sound


def _repeated(values: Mapping[int, str], table: str, field: str, rule: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for n, value in values.items():
        if value in seen:
            yield (table, n, field), rule
        seen.add(value)


def _zone(zone: object, *location: str | int) -> Iterator[Fault]:
    if not isinstance(zone, str):
        return  # told by the validation of its field
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield location, "must be an IANA time zone"


def _currency(currency: object, n: int) -> Iterator[Fault]:
    if not isinstance(currency, str):
        return  # told by the validation of its field
    try:
        decimals(currency)
    except InvalidCurrency as error:
        yield ("profile", n, "currency"), str(error)


def _of_profile(n: int, table: ProfileTable) -> Iterator[Fault]:
    currency = list(_currency(table.currency, n))
    yield from currency or _amounts(n, table)
    if CREDIT_TYPE in table.fine_types and not table.credits.included:
        rule = "credits are exported by `included = true` in [profile.credits] only"
        yield ("profile", n, "fine_types"), rule
    if table.owners == [] and not table.institution_owned:
        rule = "must name a library, or institution_owned be true: nothing could be exported"
        yield ("profile", n, "owners"), rule
    yield from _schedule(n, table)


def _amounts(n: int, table: ProfileTable) -> Iterator[Fault]:
    yield from _amount(table, table.minimum_amount, "profile", n, "minimum_amount")
    credit = table.credits.minimum_amount
    yield from _amount(table, credit, "profile", n, "credits", "minimum_amount")
    if table.overpayment_max is not None:
        yield from _amount(table, table.overpayment_max, "profile", n, "overpayment_max")


def _schedule(n: int, table: ProfileTable) -> Iterator[Fault]:
    if table.cron is not None and table.interval_seconds is not None:
        yield ("profile", n, "cron"), "must not stand beside interval_seconds"
    if table.cron is not None and not _is_cron(table.cron):
        yield ("profile", n, "cron"), "must be a cron expression of five fields"
    if table.cron is None and table.cron_zone is not None:
        yield ("profile", n, "cron_zone"), "must stand beside cron"
    if table.cron_zone is not None:
        yield from _zone(table.cron_zone, "profile", n, "cron_zone")


def _is_cron(expression: str) -> bool:
    """Whether it has five fields, as in a table of cron."""
    try:
        CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError:
        return False
    return len(expression.split()) == 5


def _amount(table: ProfileTable, text: str, *location: str | int) -> Iterator[Fault]:
    try:
        if parse_minor(text, table.currency) < 0:
            yield location, "must not be negative"
    except InvalidAmount as error:
        yield location, str(error)
