"""Rules between the fields of a profile and between the tables of a file: all that are broken."""

from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...core.money import InvalidAmount, InvalidCurrency, decimals, parse_minor
from ...core.words import CREDIT_TYPE
from ..schedule import is_cron
from .file import ProfileFile, ProfileTable
from .toml_lines import Location

Fault = tuple[Location, str]


def faults_of(file: ProfileFile) -> Iterator[Fault]:
    """Each with its place; none: the file can be turned into profiles."""
    ids = [table.id for table in file.institution]
    codes = [table.code for table in file.profile]
    yield from _repeated(ids, "institution", "id", "must be unique")
    yield from _repeated(codes, "profile", "code", "must be unique over all institutions")
    for n, institution in enumerate(file.institution):
        yield from _zone(institution.zone, "institution", n, "zone")
    for n, profile in enumerate(file.profile):
        if profile.institution not in ids:
            yield ("profile", n, "institution"), "must be the id of an [[institution]]"
        yield from _of_profile(n, profile)


def _repeated(values: Sequence[str], table: str, field: str, rule: str) -> Iterator[Fault]:
    for n, value in enumerate(values):
        if value in values[:n]:
            yield (table, n, field), rule


def _zone(zone: str, *location: str | int) -> Iterator[Fault]:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield location, "must be an IANA time zone"


def _of_profile(n: int, table: ProfileTable) -> Iterator[Fault]:
    try:
        decimals(table.currency)
    except InvalidCurrency as error:
        yield ("profile", n, "currency"), str(error)
    else:
        yield from _amount(table, table.minimum_amount, "profile", n, "minimum_amount")
        credit = table.credits.minimum_amount
        yield from _amount(table, credit, "profile", n, "credits", "minimum_amount")
        if table.overpayment_max is not None:
            yield from _amount(table, table.overpayment_max, "profile", n, "overpayment_max")
    if CREDIT_TYPE in table.fine_types and not table.credits.included:
        rule = "credits are exported by `included = true` in [profile.credits] only"
        yield ("profile", n, "fine_types"), rule
    if table.owners == [] and not table.institution_owned:
        rule = "must name a library, or institution_owned be true: nothing could be exported"
        yield ("profile", n, "owners"), rule
    yield from _schedule(n, table)


def _schedule(n: int, table: ProfileTable) -> Iterator[Fault]:
    if table.cron is not None and table.interval_seconds is not None:
        yield ("profile", n, "cron"), "must not stand beside interval_seconds"
    if table.cron is not None and not is_cron(table.cron):
        yield ("profile", n, "cron"), "must be a cron expression of five fields"
    if table.cron is None and table.cron_zone is not None:
        yield ("profile", n, "cron_zone"), "must stand beside cron"
    if table.cron_zone is not None:
        yield from _zone(table.cron_zone, "profile", n, "cron_zone")


def _amount(table: ProfileTable, text: str, *location: str | int) -> Iterator[Fault]:
    try:
        if parse_minor(text, table.currency) < 0:
            yield location, "must not be negative"
    except InvalidAmount as error:
        yield location, str(error)
