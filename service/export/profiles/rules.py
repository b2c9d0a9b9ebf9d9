"""The rules between the options of a profile, and between the tables of a file."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ValidationError

from ...core.money import InvalidAmount, InvalidCurrency, decimals, parse_minor
from ...core.words import CREDIT_TYPE
from .file import InstitutionTable, ProfileTable
from .toml_places import Location

Fault = tuple[Location, str]
Table = TypeVar("Table", bound=BaseModel)


def faults_between(data: Mapping[str, object]) -> Iterator[Fault]:
    """Yields each broken rule with its place; none if the file can be turned into profiles.

    `data` is the whole file. Tables that break a rule of a single field are left out of the
    comparisons. Of these tables only zones and currencies are checked, because the model of a
    table does not check them.
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


def _tables(data: Mapping[str, object], name: str) -> dict[int, Mapping[str, object]]:
    tables = data.get(name)
    if not isinstance(tables, list):
        return {}
    return {n: table for n, table in enumerate(tables) if isinstance(table, dict)}


def _sound(model: type[Table], tables: Mapping[int, Mapping[str, object]]) -> dict[int, Table]:
    sound = {}
    for n, table in tables.items():
        with suppress(ValidationError):  # the validation of the whole file reports its faults
            sound[n] = model.model_validate(table)
    return sound


def _repeated(values: Mapping[int, str], table: str, field: str, rule: str) -> Iterator[Fault]:
    earlier: set[str] = set()
    for n, value in values.items():
        if value in earlier:
            yield (table, n, field), rule
        earlier.add(value)


def _zone(zone: object, *location: str | int) -> Iterator[Fault]:
    if not isinstance(zone, str):
        return  # the validation of its field reports this
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield location, "must be an IANA time zone"


def _currency(currency: object, n: int) -> Iterator[Fault]:
    if not isinstance(currency, str):
        return  # the validation of its field reports this
    try:
        decimals(currency)
    except InvalidCurrency as error:
        yield ("profile", n, "currency"), str(error)


def _of_profile(n: int, table: ProfileTable) -> Iterator[Fault]:
    currency = list(_currency(table.currency, n))
    yield from currency or _amounts(n, table)
    has_cron, has_interval = table.cron is not None, table.interval_seconds is not None
    broken = (
        (
            CREDIT_TYPE in table.fine_types and not table.credits.included,
            "fine_types",
            "credits are exported by `included = true` in [profile.credits] only",
        ),
        (
            table.owners == [] and not table.institution_owned,
            "owners",
            "must name a library, or institution_owned be true: nothing could be exported",
        ),
        (has_cron and has_interval, "cron", "must not stand beside interval_seconds"),
        (
            table.cron is not None and not _is_cron(table.cron),
            "cron",
            "must be a cron expression of five fields",
        ),
        (not has_cron and table.cron_zone is not None, "cron_zone", "must stand beside cron"),
    )
    yield from ((("profile", n, field), rule) for is_broken, field, rule in broken if is_broken)
    if table.cron_zone is not None:
        yield from _zone(table.cron_zone, "profile", n, "cron_zone")


def _amounts(n: int, table: ProfileTable) -> Iterator[Fault]:
    texts = {
        ("minimum_amount",): table.minimum_amount,
        ("credits", "minimum_amount"): table.credits.minimum_amount,
        ("overpayment_max",): table.overpayment_max,
    }
    for place, text in texts.items():
        if text is not None:
            yield from _amount(table, text, "profile", n, *place)


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
