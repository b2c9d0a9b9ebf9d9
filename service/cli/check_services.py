"""What `bursar-bridge check` asks of the database and of Kafka."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ..database.migrate import pending
from ..database.reach import in_words
from ..export.profiles.profile import Profiles
from ..kafka.clients import KafkaUnavailable, close_client, new_admin, start
from ..kafka.topics import LARGE, check_topics
from ..settings import Settings
from .check import Line, Verdict
from .explained import is_operators, lines_of

SECONDS_MAX = 15


async def findings(settings: Settings, profiles: Profiles | None) -> list[Line]:
    answers = await asyncio.gather(
        _asked("database", lambda: _database(settings)), _asked("kafka", lambda: _kafka(settings))
    )
    lines = [line for lines in answers for line in lines]
    is_whole = all(line.verdict is Verdict.OK for line in answers[0])
    if not is_whole:
        return lines
    from . import check_database, check_fines, check_standing  # with the write path

    lines += await _asked("restore check", lambda: check_database.restored(settings))
    lines += await _asked("quarantine", lambda: check_database.quarantine(settings))
    lines += await _asked("sources", lambda: check_database.sources(settings))
    expected = partial(check_standing.standing_lines, settings, profiles)
    lines += await _asked("standing", expected, Verdict.NOTE)
    if profiles is not None:
        lines += await _asked("profiles", partial(check_fines.paused, settings, profiles))
        fines = partial(check_fines.open_fines, settings, profiles)
        lines += await _asked("fines", fines, Verdict.NOTE)
        words = partial(check_database.unmet_words, settings, profiles)
        lines += await _asked("profiles", words, Verdict.NOTE)
    return lines


async def _asked(
    subject: str, ask: Callable[[], Awaitable[list[Line]]], otherwise: Verdict = Verdict.FAULT
) -> list[Line]:
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await ask()
    except TimeoutError:
        return [Line(subject, otherwise, f"no answer within {SECONDS_MAX} s")]
    except Exception as problem:
        if not is_operators(problem):
            raise
        return [Line(subject, otherwise, line) for line in lines_of(problem)]


async def _database(settings: Settings) -> list[Line]:
    url = settings.database_url.get_secret_value()
    with in_words(url):
        missing = await pending(url)
    reached = Line("database", Verdict.OK, "reachable")
    if not missing:
        return [reached, Line("migrations", Verdict.OK, "all applied")]
    text = f"revisions {', '.join(missing)} are missing"
    if settings.migrate_at_start:
        return [reached, Line("migrations", Verdict.NOTE, f"{text}: applied at the start")]
    return [reached, Line("migrations", Verdict.FAULT, f"{text}: run `bursar-bridge migrate`")]


async def _kafka(settings: Settings) -> list[Line]:
    try:
        found = await check_topics(settings, settings.topic_prefix)
    except KafkaUnavailable as problem:
        user = f", user {settings.kafka_user}" if settings.kafka_protocol.startswith("SASL") else ""
        return [Line("kafka", Verdict.FAULT, f"{problem}{user}")]
    differences = [
        Line("topics", Verdict.FAULT, f"{difference.topic}: {difference.rule}")
        for difference in found
    ] or [Line("topics", Verdict.OK, "all as they must be")]
    return [Line("kafka", Verdict.OK, "reachable"), *differences, *await _limits(settings)]


async def _limits(settings: Settings) -> list[Line]:
    """A record that the producer lets through and the broker refuses blocks its partition."""
    admin = await start(new_admin(settings))
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
