"""The part of `bursar-bridge check` that reads the profiles file, compares Kafka's topics with what
they must be, and looks whether the database is reachable and has all migrations.
`check_database.py` checks what the database holds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ..database.migrate import pending
from ..database.reach import in_words
from ..kafka.clients import KafkaUnavailable, close_client, new_admin, start
from ..kafka.topic_settings import Concern, Difference, check_topics
from ..kafka.topics import LARGE
from ..settings import Settings
from .check import KAFKA_HOME, Finding, Verdict, fault, note, ok
from .problems import error_texts, is_operator_error

if TYPE_CHECKING:
    from ..export.profiles.profile import Profiles

SECONDS_MAX = 15
OF_TOPICS = ("topics", "limits")  # say nothing of a database whose topics are others


async def findings(settings: Settings, processes: str) -> list[Finding]:
    """Returns all findings of `bursar-bridge check` except those about the settings; those about
    the ledger only if the database is reachable and has all migrations.

    `processes` says how many processes of the service are to work: a number, or `auto`.
    """
    database, kafka, (profiles, results) = await asyncio.gather(
        answer_of("database", lambda: _database(settings)),
        answer_of("kafka", lambda: _kafka(settings)),
        _profiles(settings),
    )
    results += [*database, *kafka]
    if all(finding.verdict is not Verdict.FAULT for finding in (database[0], kafka[0])):
        from . import check_processes

        results += await answer_of(
            "processes", lambda: check_processes.findings(settings, processes)
        )
    if all(finding.verdict is Verdict.OK for finding in database):
        from . import check_database  # with the write path

        # Each of its questions has a limit of its own.
        answers = await answer_of(
            "database", lambda: check_database.findings(settings, profiles), seconds_max=None
        )
        if any(finding.subject == KAFKA_HOME for finding in answers):
            results = [each for each in results if each.subject not in OF_TOPICS]
        results += answers
    return results


async def _profiles(settings: Settings) -> tuple["Profiles | None", list[Finding]]:
    """Reads the profiles, and imports the parser, while the servers answer."""
    if settings.profiles_file is None:
        text = "BURSAR_PROFILES_FILE is not set: nothing is exported"
        return None, [note("profiles", text)]
    from ..export.profiles.reading import InvalidProfile, overlaps, read_profiles, warnings

    try:
        profiles = read_profiles(settings.profiles_file)
    except InvalidProfile as problem:
        return None, [fault("profiles", text) for text in str(problem).splitlines()]
    codes = ", ".join(profile.code for profile in profiles.profiles)
    read = ok("profiles", f"{len(profiles.profiles)} read: {codes}")
    texts = [
        f"{pair.first} and {pair.second} can claim the same fines: {', '.join(sorted(pair.types))}"
        for pair in overlaps(profiles)
    ]
    texts += [f"{warning.subject}: {warning.concern}" for warning in warnings(profiles)]
    return profiles, [read, *(note("profiles", text) for text in texts)]


async def answer_of(
    subject: str,
    question: Callable[[], Awaitable[list[Finding]]],
    otherwise: Callable[[str, str], Finding] = fault,
    *,
    seconds_max: int | None = SECONDS_MAX,
) -> list[Finding]:
    """Returns the findings that the call of `question` yields. If the call fails or takes longer
    than `seconds_max`, returns a finding that `otherwise` makes of the reason, such as a fault.
    """
    try:
        async with asyncio.timeout(seconds_max):
            return await question()
    except TimeoutError:
        return [otherwise(subject, f"no answer within {seconds_max} s")]
    except Exception as problem:
        if not is_operator_error(problem):
            raise
        return [otherwise(subject, text) for text in error_texts(problem)]


async def _database(settings: Settings) -> list[Finding]:
    url = settings.database_url.get_secret_value()
    with in_words(url):
        missing = await pending(url)
    reached = ok("database", "reachable")
    if not missing:
        return [reached, ok("migrations", "all applied")]
    text = f"revisions {', '.join(missing)} are missing"
    if settings.migrate_at_start:
        return [reached, note("migrations", f"{text}: applied at the start")]
    return [reached, fault("migrations", f"{text}: run `bursar-bridge migrate`")]


async def _kafka(settings: Settings) -> list[Finding]:
    try:
        different = await check_topics(settings, settings.topic_prefix, settings.oldest_backup_days)
    except KafkaUnavailable as problem:
        user = f", user {settings.kafka_user}" if settings.kafka_protocol.startswith("SASL") else ""
        return [fault("kafka", f"{problem}{user}")]
    differences = [_difference(each) for each in different] or [ok("topics", "all as they must be")]
    return [ok("kafka", "reachable"), *differences, *await _limits(settings)]


def _difference(difference: Difference) -> Finding:
    """With a topic that endangers only a recovery, the service starts and works."""
    if difference.concern in (Concern.SERVICE, Concern.RIGHT):
        return fault("topics", str(difference))
    if difference.concern is Concern.RECOVERY:
        return note("topics", f"{difference}; else a restored backup may not be recoverable")
    return note("topics", str(difference))


async def _limits(settings: Settings) -> list[Finding]:
    """A record that the producer lets through and the broker refuses blocks its partition."""
    admin = await start(new_admin(settings))
    try:
        accepted = await _bytes_accepted(admin, [settings.topic_prefix + name for name in LARGE])
    finally:
        await close_client(admin)
    ours = settings.relay_request_bytes_max
    small = sorted(name for name, theirs in accepted.items() if theirs <= ours)
    rule = f"max.message.bytes must be above BURSAR_RELAY_REQUEST_BYTES_MAX ({ours})"
    findings = [fault("limits", f"{name}: {rule}") for name in small]
    if accepted and not small:  # of topics that are not there yet nothing is known
        findings.append(ok("limits", "requests fit the topics"))
    return findings


async def _bytes_accepted(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, int]:
    """Each topic's max.message.bytes; a topic whose settings may not be seen is left out."""
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": None})
        for name in topics
    ]
    return {
        name: int(entries[0][1])
        for response in await admin.describe_configs(resources)
        for code, _, _, name, entries in response.resources
        if code == 0 and entries
    }
