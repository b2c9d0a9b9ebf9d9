"""`bursar-bridge check`: everything the service will ask for, asked before it starts."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import typer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from service.cli.errors import FAILED, FOREIGN, PLAIN, line_of, settings_or_exit
from service.cli.lists import Listing, sentence, word
from service.cli.restore_check import finding_of
from service.cli.shown import JsonOption
from service.cli.tables import show
from service.database.migrate import pending
from service.database.pool import create_pool
from service.export.profile import Profiles
from service.export.profiles import InvalidProfile, overlaps, read_profiles, warnings
from service.imports.files import alike_sources
from service.kafka.clients import close_client, new_admin, start
from service.kafka.topics import LARGE, check_topics
from service.settings import Settings, unknown_variables
from service.upkeep import quarantined
from service.upkeep.unmet import unmet
from service.wiring import database_limits, kafka_access

SECONDS_MAX = 15


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


CHECKED = Listing(
    "nothing was checked",
    (
        word("subject"),
        word("verdict", colours={"ok": "green", "note": "yellow", "fault": "red"}),
        sentence("finding"),
    ),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One finding about one subject; a note is allowed and yet worth a look."""

    subject: str
    verdict: Verdict
    text: str


def check(as_json: JsonOption = False) -> None:
    """Check settings, profiles, database, migrations, Kafka, topics and limits."""
    settings = settings_or_exit()
    profiles, told = _profiles(settings)
    lines = [*_settings(), *told, *asyncio.run(_services(settings, profiles))]
    rows = [
        {"subject": line.subject, "verdict": line.verdict.value, "finding": line.text}
        for line in lines
    ]
    show(CHECKED, rows, as_json)
    if any(line.verdict is Verdict.FAULT for line in lines):
        raise typer.Exit(FAILED)


def _settings() -> Iterator[Line]:
    strange = unknown_variables(os.environ)
    if not strange:
        yield Line("settings", Verdict.OK, "complete and within bounds")
    for text in strange:
        yield Line("settings", Verdict.FAULT, text)


def _profiles(settings: Settings) -> tuple[Profiles | None, list[Line]]:
    if settings.profiles_file is None:
        text = "BURSAR_PROFILES_FILE is not set: nothing is exported"
        return None, [Line("profiles", Verdict.NOTE, text)]
    try:
        profiles = read_profiles(settings.profiles_file)
    except InvalidProfile as problem:
        return None, [Line("profiles", Verdict.FAULT, str(problem))]
    codes = ", ".join(one.code for one in profiles.profiles)
    read = Line("profiles", Verdict.OK, f"{len(profiles.profiles)} read: {codes}")
    return profiles, [read, *_doubts(profiles)]


def _doubts(profiles: Profiles) -> Iterator[Line]:
    for pair in overlaps(profiles):
        types = ", ".join(sorted(pair.types))
        text = f"{pair.first} and {pair.second} can claim the same fines: {types}"
        yield Line("profiles", Verdict.NOTE, text)
    for warned in warnings(profiles):
        yield Line("profiles", Verdict.NOTE, f"{warned.subject}: {warned.doubt}")


async def _services(settings: Settings, profiles: Profiles | None) -> list[Line]:
    found = await asyncio.gather(
        _asked("database", lambda: _database(settings)), _asked("kafka", lambda: _kafka(settings))
    )
    lines = [line for lines in found for line in lines]
    is_whole = all(line.verdict is Verdict.OK for line in found[0])
    if is_whole:
        lines += await _asked("restore check", lambda: _restored(settings))
        lines += await _asked("quarantine", lambda: _quarantine(settings))
        lines += await _asked("sources", lambda: _sources(settings))
    if profiles is not None and is_whole:
        lines += await _asked("profiles", lambda: _unmet(settings, profiles), Verdict.NOTE)
    return lines


async def _asked(
    subject: str, ask: Callable[[], Awaitable[list[Line]]], otherwise: Verdict = Verdict.FAULT
) -> list[Line]:
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await ask()
    except TimeoutError:
        return [Line(subject, otherwise, f"no answer within {SECONDS_MAX} s")]
    except (*PLAIN, *FOREIGN) as problem:
        return [Line(subject, otherwise, line_of(problem))]


async def _database(settings: Settings) -> list[Line]:
    missing = await pending(settings.database_url.get_secret_value())
    reached = Line("database", Verdict.OK, "reachable")
    if not missing:
        return [reached, Line("migrations", Verdict.OK, "all applied")]
    text = f"revisions {', '.join(missing)} are missing"
    if settings.migrate_at_start:
        return [reached, Line("migrations", Verdict.NOTE, f"{text}: applied at the start")]
    return [reached, Line("migrations", Verdict.FAULT, f"{text}: run `bursar-bridge migrate`")]


async def _restored(settings: Settings) -> list[Line]:
    line = await finding_of(settings)
    if line is not None:
        return [Line("restore check", Verdict.FAULT, line)]
    return [Line("restore check", Verdict.OK, "Kafka knows nothing that this database does not")]


async def _quarantine(settings: Settings) -> list[Line]:
    """The service starts with records in quarantine, and none of them is sent by itself."""
    url = settings.database_url.get_secret_value()
    async with (
        await create_pool(url, database_limits(settings)) as pool,
        pool.acquire() as connection,
    ):
        records = await quarantined.count(connection)
    if records == 0:
        return [Line("quarantine", Verdict.OK, "empty")]
    what = f"{records} {'record' if records == 1 else 'records'} that the broker refused"
    way = "`bursar-bridge quarantined list`; mend the cause, then `quarantined release`"
    return [Line("quarantine", Verdict.NOTE, f"{what}: {way}")]


async def _sources(settings: Settings) -> list[Line]:
    """Sources are told apart by each letter: the same payment under two of them counts twice."""
    url = settings.database_url.get_secret_value()
    async with (
        await create_pool(url, database_limits(settings)) as pool,
        pool.acquire() as connection,
    ):
        alike = await alike_sources(connection)
    if not alike:
        return [Line("sources", Verdict.OK, "none differ only in their spelling")]
    return [
        Line(
            "sources",
            Verdict.NOTE,
            f"institution {pair.institution_id}, {pair.record}s: the sources "
            f"{', '.join(pair.sources)} differ only in upper and lower case or blanks; "
            f"if they are one system, what it sends under both counts twice",
        )
        for pair in alike
    ]


async def _unmet(settings: Settings, profiles: Profiles) -> list[Line]:
    """A word that no fine has is allowed, and as a rule a slip of the pen: nothing is exported."""
    async with (
        await create_pool(
            settings.database_url.get_secret_value(), database_limits(settings)
        ) as pool,
        pool.acquire() as connection,
    ):
        found = await unmet(connection, profiles)
    return [
        Line(
            "profiles", Verdict.NOTE, f"{one.profile}: {one.option}: nothing has {one.word} so far"
        )
        for one in found
    ]


async def _kafka(settings: Settings) -> list[Line]:
    found = await check_topics(kafka_access(settings), settings.topic_prefix)
    differences = [Line("topics", Verdict.FAULT, f"{one.topic}: {one.rule}") for one in found] or [
        Line("topics", Verdict.OK, "all as they must be")
    ]
    return [Line("kafka", Verdict.OK, "reachable"), *differences, *await _limits(settings)]


async def _limits(settings: Settings) -> list[Line]:
    """A record that the producer lets through and the broker refuses blocks its partition."""
    admin = await start(new_admin(kafka_access(settings)))
    try:
        accepted = await _bytes_accepted(admin, [settings.topic_prefix + name for name in LARGE])
    finally:
        await close_client(admin)
    ours = settings.relay_request_bytes_max
    small = sorted(name for name, theirs in accepted.items() if theirs <= ours)
    rule = f"max.message.bytes must be above BURSAR_RELAY_REQUEST_BYTES_MAX ({ours})"
    found = [Line("limits", Verdict.FAULT, f"{name}: {rule}") for name in small]
    if accepted and not small:  # of topics that are not there yet nothing is known
        found.append(Line("limits", Verdict.OK, "requests fit the topics"))
    return found


async def _bytes_accepted(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, int]:
    """Each topic's max.message.bytes; a topic whose settings may not be seen is left out."""
    asked = [
        ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": None})
        for name in topics
    ]
    return {
        name: int(entries[0][1])
        for response in await admin.describe_configs(asked)
        for code, _, _, name, entries in response.resources
        if code == 0 and entries
    }
