"""Checks the rules that connect several options of a profile, or several tables of the file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ValidationError

from ...core.money import InvalidAmount, InvalidCurrency, decimals, parse_minor
from ...core.words import CREDIT_TYPE, LibraryPayments
from .file import InstitutionTable, ProfileTable
from .toml_places import Location

Fault = tuple[Location, str]
Table = TypeVar("Table", bound=BaseModel)

# Take the place of options that must be there and are missing or at fault.
_STAND_INS = {
    **dict.fromkeys(("code", "name", "match"), "x"),
    **dict.fromkeys(("id", "institution"), "1"),
    "zone": "UTC",
    "mode": "export_only",
    "currency": "USD",
    "fine_types": ["x"],
}


@dataclass(frozen=True, slots=True)
class _Checked(Generic[Table]):
    """A table, and which of its options break a rule of their own.

    In `table` these options have their defaults or stand-ins. `faulty` has their names, such as
    `credits.included`; rules that depend on one of them are not applied.
    """

    table: Table
    faulty: frozenset[str]

    def is_sound(self, *options: str) -> bool:
        """Whether none of the options breaks a rule of its own."""
        return self.faulty.isdisjoint(options)


def faults_between(data: Mapping[str, object]) -> Iterator[Fault]:
    """Yields each broken rule with its place in the file; yields nothing if the file can be turned
    into profiles.

    `data` is the content of the whole file. An option that breaks a rule of its own is not compared
    with others, because the validation of the file reports it already.
    """
    institution_tables, profile_tables = _tables(data, "institution"), _tables(data, "profile")
    institutions = {n: _checked(InstitutionTable, raw) for n, raw in institution_tables.items()}
    profiles = {n: _checked(ProfileTable, raw) for n, raw in profile_tables.items()}
    yield from _repeated(institutions, "institution", "id", "must be unique")
    yield from _repeated(profiles, "profile", "code", "must be unique over all institutions")
    for n, institution in institutions.items():
        yield from _zone(institution.table.zone, "institution", n, "zone")
    ids = [raw.get("id") for raw in institution_tables.values()]
    for n, profile in profiles.items():
        if profile.is_sound("institution") and profile.table.institution not in ids:
            yield ("profile", n, "institution"), "must be the id of an [[institution]]"
        yield from _of_profile(n, profile)
    yield from _without_credits(profiles)


def _without_credits(profiles: Mapping[int, _Checked[ProfileTable]]) -> Iterator[Fault]:
    """A payment in the library after an export becomes a credit, which has to reach the bursar."""
    with_credits = {
        checked.table.institution
        for checked in profiles.values()
        if checked.table.credits.included or not checked.is_sound("credits", "credits.included")
    }
    if not all(checked.is_sound("institution") for checked in profiles.values()):
        return
    for n, checked in profiles.items():
        makes_credits = checked.table.library_payments is LibraryPayments.CREDIT
        if makes_credits and checked.table.institution not in with_credits:
            rule = 'may be "credit" only if a profile of the institution includes credits'
            yield ("profile", n, "library_payments"), rule


def _tables(data: Mapping[str, object], name: str) -> dict[int, dict[str, object]]:
    tables = data.get(name)
    if not isinstance(tables, list):
        return {}
    return {n: table for n, table in enumerate(tables) if isinstance(table, dict)}


def _checked(model: type[Table], raw: dict[str, object]) -> _Checked[Table]:
    try:
        return _Checked(model.model_validate(raw), frozenset())
    except ValidationError as error:
        faulty = {_option(raw, *fault["loc"]) for fault in error.errors(include_url=False)}
    kept = {
        name: {key: part for key, part in value.items() if f"{name}.{key}" not in faulty}
        if isinstance(value, dict)
        else value
        for name, value in raw.items()
        if name not in faulty
    }
    # An option may be at fault because it belongs to the other kind of table.
    needed = faulty & model.model_fields.keys()
    stand_ins = {name: value for name, value in _STAND_INS.items() if name in needed}
    return _Checked(model.model_validate({**kept, **stand_ins}), frozenset(faulty))


def _option(raw: Mapping[str, object], name: str | int, *within: str | int) -> str:
    """The option at the place of a fault; within a table, the option of that table."""
    is_table = within and isinstance(raw.get(str(name)), dict)
    return f"{name}.{within[0]}" if is_table else str(name)


def _repeated(
    tables: Mapping[int, _Checked[Table]], kind: str, option: str, rule: str
) -> Iterator[Fault]:
    earlier: set[str] = set()
    for n, checked in tables.items():
        if not checked.is_sound(option):
            continue
        value = getattr(checked.table, option)
        if value in earlier:
            yield (kind, n, option), rule
        earlier.add(value)


def _zone(zone: str, *location: str | int) -> Iterator[Fault]:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield location, "must be an IANA time zone"


def _currency(currency: str, n: int) -> Iterator[Fault]:
    try:
        decimals(currency)
    except InvalidCurrency as error:
        yield ("profile", n, "currency"), str(error)


def _of_profile(n: int, checked: _Checked[ProfileTable]) -> Iterator[Fault]:
    table = checked.table
    currency = list(_currency(table.currency, n))
    if not currency and checked.is_sound("currency"):
        yield from _amounts(n, table)
    yield from currency
    has_cron = table.cron is not None or not checked.is_sound("cron")
    has_interval = table.interval_seconds is not None or not checked.is_sound("interval_seconds")
    broken = (
        (
            CREDIT_TYPE in table.fine_types
            and not table.credits.included
            and checked.is_sound("credits", "credits.included"),
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
