"""Builds the parts of the process from the settings, and the readiness checks from the parts."""

import os
import socket
from collections.abc import Callable
from uuid import uuid4

from .apply.applier import Applier
from .apply.tally import TallyInDatabase, TallySink
from .consumer.group import Source
from .consumer.loop import Applies, Intake
from .database.intake_stops import in_words, stops
from .database.ledger_read import LedgerReader
from .database.migrate import pending_on
from .database.outbox import Outputs
from .database.reach import reason_of
from .database.session import Pool, Writes
from .export.job import ExportJob
from .export.profiles.profile import NO_PROFILES, Profiles
from .export.publish import ExportTopics
from .kafka.topics import INPUTS, OUTPUTS
from .messages.decode import parse
from .relay.loop import Relay
from .restore.check import RestoreCheck, Scope
from .restore.guard import Guard
from .restore.watch import TopicWatch
from .runtime.failures import DATABASE_FAILURES
from .runtime.readiness import Readiness, Reporting
from .runtime.telemetry import Event, Metrics
from .settings import Settings

# Each part of the process that writes, by its name in the guard.
WRITERS = (
    *("intake", "intake_beside", "intake_offsets", "sweep", "export", "relay", "watch", "counts"),
    *("recovery", "purge", "stopped"),
)
COMMAND = "command"

DATABASE, KAFKA = "database", "kafka"

# How the log tells of each check. A rebalance or a start takes some seconds. While the database or
# the brokers are silent, the checks that fail for the same cause are not logged a second time.
OF_DATABASE = Reporting(patience_seconds=2)
ON_DATABASE = Reporting(patience_seconds=2, needs=(DATABASE,))
OF_GROUP = Reporting(patience_seconds=10, needs=(DATABASE, KAFKA))
# Nothing of the work is wrong, and stopping would endanger more than it saves.
OF_TOPIC_SETTINGS = Reporting(needs=(KAFKA,), each_problem=True, is_advisory=True)
OF_STOPS = Reporting(needs=(DATABASE, "migrations"), each_problem=True, is_advisory=True)
OF_OUTPUTS = Reporting(needs=(KAFKA,), each_problem=True)
OF_TOPICS = Reporting(
    needs=(DATABASE, KAFKA),
    each_problem=True,
    failed=Event.TOPICS_NOT_READ,
    passed=Event.TOPICS_READ,
)


def new_check(settings: Settings) -> RestoreCheck:
    """Returns the restore check for the topics and the consumer group of the settings."""
    return RestoreCheck(settings, scope_of(settings))


def scope_of(settings: Settings) -> Scope:
    """Returns the topics and the consumer group that are compared with the database."""
    prefix = settings.topic_prefix
    return Scope(
        group_id=settings.consumer_group,
        inputs=[prefix + name for name in INPUTS],
        outputs=[prefix + name for name in OUTPUTS],
        seconds_max=settings.restore_check_seconds_max,
    )


def new_guard(settings: Settings, pool: Pool) -> Guard:
    """Returns the guard of this process, which the caller has to open."""
    # A name that no other process has, and by which an operator recognises this one.
    process = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
    return Guard(pool, new_check(settings), process)


def new_applier(
    settings: Settings,
    writer: Writes,
    committed: Callable[[], None],
    counting: TallySink | None = None,
    profiles: Profiles = NO_PROFILES,
) -> Applier:
    """Returns the applier, through which events are written to the ledger. `committed` is called
    after each commit, so that the relay can be woken.

    `counting` adds what was committed to the metrics of this process; without it the counts are
    stored in the database, and a running service adds them to its metrics. `profiles` says how each
    institution treats payments that name only a patron (sums without a line).
    """
    sink = counting or TallyInDatabase()
    outputs = new_outputs(settings)
    store, lump_rules = LedgerReader(parse), profiles.lump_rules
    return Applier(writer, store, outputs, settings, committed, sink, lump_rules)


def new_outputs(settings: Settings) -> Outputs:
    """Returns the names of the topics to which the service publishes ledger events, rejected
    records and operators' decisions.
    """
    prefix = settings.topic_prefix
    return Outputs(
        balance_changed=f"{prefix}balance-changed.v1",
        loan_closed=f"{prefix}loan-closed.v1",
        rejected=f"{prefix}rejected.v1",
        operator_action=f"{prefix}operator-action.v1",
        ce_source=settings.ce_source,
    )


def new_export_job(
    settings: Settings,
    applier: Applier,
    profiles: Profiles,
    metrics: Metrics | None = None,
    *,
    even_if_paused: bool = False,
) -> ExportJob:
    """Returns the export of all profiles; with `even_if_paused` it also runs profiles that are
    paused.
    """
    prefix = settings.topic_prefix
    topics = ExportTopics(f"{prefix}export-batch.v1", f"{prefix}export-manifest.v1")
    return ExportJob(applier, topics, profiles, metrics, even_if_paused=even_if_paused)


def new_intake(
    settings: Settings, guard: Guard, appliers: tuple[Applies, Applies], metrics: Metrics
) -> Intake:
    """Returns the intake, which joins the consumer group when it runs.

    It applies polls of disjoint partitions with the two `appliers` beside each other.
    """
    source = Source(
        group_id=settings.consumer_group,
        contracts={settings.topic_prefix + name: name for name in INPUTS},
        start_at_latest=settings.start_at == "latest",
    )
    applier, second = appliers
    return Intake(guard, settings, source, parse, applier, settings, metrics, second=second)


def register_database(readiness: Readiness, pool: Pool) -> None:
    """Registers three readiness checks: `database` passes if the database answers, `migrations` if
    it has all schema revisions of this release, and `stopped_topics` if no input topic is stopped
    because of bad records.

    The process stays ready while `stopped_topics` fails, because each instance still processes all
    other records.
    """

    async def reachable() -> str | None:
        try:
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT 1")
        except DATABASE_FAILURES as problem:
            return reason_of(problem)
        return None

    async def migrated() -> str | None:
        async with pool.acquire() as connection:
            missing = await pending_on(connection)
        return f"revisions {', '.join(missing)} are missing" if missing else None

    async def stopped() -> str | None:
        async with pool.acquire() as connection:
            return in_words(await stops(connection))

    readiness.register(DATABASE, reachable, OF_DATABASE)
    readiness.register("migrations", migrated, ON_DATABASE)
    readiness.register("stopped_topics", stopped, OF_STOPS)


def register_parts(readiness: Readiness, intake: Intake, relay: Relay) -> None:
    """Registers the readiness checks of the intake and the relay.

    `kafka` passes while a broker answers. `intake` passes while partitions are assigned and their
    offsets are loaded. `commits` passes while records can be committed. `topics` passes while
    records come from every partition of every input topic. `relay` passes while the outbox can be
    read, even if another instance sends its records. `output_topics` passes while no record in the
    outbox has to wait because its topic takes no records.
    """

    async def relay_works() -> str | None:
        await relay.status()
        return None

    readiness.register(KAFKA, intake.contact.problem)
    readiness.register("intake", intake.group_problem, OF_GROUP)
    readiness.register("commits", intake.commits.problem, OF_GROUP)
    readiness.register("topics", intake.topics_problem, OF_TOPICS)
    readiness.register("relay", relay_works, ON_DATABASE)
    readiness.register("output_topics", relay.topics_problem, OF_OUTPUTS)


def new_topic_watch(settings: Settings, pool: Pool, readiness: Readiness) -> TopicWatch:
    """Returns the part that checks whether the topics still allow a recovery, and registers its
    readiness check `topic_settings`. The process stays ready while `topic_settings` fails.
    """
    watch = TopicWatch(pool, new_check(settings), settings)
    readiness.register("topic_settings", watch.problem, OF_TOPIC_SETTINGS)
    return watch
