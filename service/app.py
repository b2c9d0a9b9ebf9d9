"""Starts the parts of the service, such as intake, export and relay, in one process, and stops them
in a fixed order.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncpg

from .apply.applier import Applier
from .apply.tally import TallyInMetrics
from .database.migrate import migrate, pending
from .database.reach import LoginFailed, why_unusable
from .database.session import Pool, create_pool
from .export.profiles.profile import NO_PROFILES, Profiles
from .export.profiles.reading import overlaps, read_profiles, warnings
from .kafka.topics import INPUTS, OUTPUTS
from .operations.counters import begin_at_zero
from .operations.counts import Counts
from .operations.gauges import Gauges
from .operations.intake_stops import TakeStopped
from .operations.no_profile import CountWithoutProfile
from .operations.purge import Purge
from .operations.reconcile import Reconcile
from .operations.recovery import EndRecovery
from .operations.standing import Standing
from .operations.sweep import Sweep
from .relay.loop import Relay
from .relay.sender import RECORD_FAULTS
from .restore.guard import Guard, IdleCommits
from .runtime.failures import LOGIN_FAILED, TRANSIENT, UNAVAILABLE
from .runtime.health_port import HealthPort
from .runtime.lifecycle import (
    Part,
    Run,
    log_loop_problems,
    run_parts,
    steady,
    stop_on_signals,
    until_available,
)
from .runtime.problems import OperatorError, Unavailable, describe
from .runtime.process import program_version
from .runtime.readiness import SILENT, Readiness
from .runtime.telemetry import Event, Metrics, get_log
from .runtime.waiting import unless_set, wait_any
from .settings import Settings
from .supervisor.member import Parent
from .wiring import (
    WRITERS,
    new_applier,
    new_export_job,
    new_guard,
    new_intake,
    new_topic_watch,
    register_database,
    register_parts,
)

log = get_log(__name__)

CLOSE_SECONDS_MAX = 2
WAITS_FOR_DATABASE = "waits for the database"
EXCHANGED_SECONDS_MAX = 5
FLUSH_POLL_MS = 50


async def run(settings: Settings, parent: Parent | None = None) -> None:
    """Runs the service until SIGTERM or SIGINT, then stops its parts in order. If a part fails, all
    parts end and the error of that part is raised.

    With a `parent`, this process is one of several that a parent process has started: the parent
    then serves the health port, and it kills this process if its stop takes too long.
    """
    stop = asyncio.Event()
    log_loop_problems()
    profiles = _profiles(settings)
    metrics = _metrics(settings, profiles or NO_PROFILES)
    port = HealthPort(metrics)
    readiness = port.readiness
    is_member = parent is not None
    with stop_on_signals(stop, settings.shutdown_seconds_max, ends_at_second=not is_member):
        async with contextlib.AsyncExitStack() as stack:
            # The health port opens first and closes last, so that probes can report what start-up
            # is waiting for.
            readiness.register("started", lambda: WAITS_FOR_DATABASE, SILENT)
            await stack.enter_async_context(
                port.listening(settings.ops_host, settings.ops_port)
                if parent is None
                else parent.informed(readiness, metrics)
            )
            pool = await _open_database(settings, stop, readiness)
            if pool is not None:
                stack.push_async_callback(_close, pool.close)
                guard = await _open_guard(settings, pool, stop, readiness)
                if guard is not None:
                    stack.push_async_callback(_close, guard.close)
                    log.info(Event.STARTED, version=program_version())
                    await _work(
                        _stages(settings, guard, metrics, readiness, profiles),
                        stop,
                        settings,
                        guard,
                    )
    log.info(Event.STOPPED)


async def _close(close: Callable[[], Awaitable[object]]) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(close(), CLOSE_SECONDS_MAX)


async def _work(
    stages: list[list[Part]], stop: asyncio.Event, settings: Settings, guard: Guard
) -> None:
    """Runs all parts until `stop`."""
    try:
        await run_parts(stages, stop, settings.shutdown_seconds_max)
    except Exception:
        # What a part failed at may be an exchanged database, such as one without tables of ours.
        with contextlib.suppress(asyncpg.PostgresError, *UNAVAILABLE):
            async with asyncio.timeout(EXCHANGED_SECONDS_MAX):
                await guard.verify_any()
        raise


def _stages(
    settings: Settings,
    guard: Guard,
    metrics: Metrics,
    readiness: Readiness,
    profiles: Profiles | None,
) -> list[list[Part]]:
    """The parts in the order they stop: no more comes in, what is in hand ends, all goes out."""
    pool = guard.pool
    relay = Relay(guard, settings, guard.process, settings, metrics)
    counting = TallyInMetrics(metrics)
    institutions = profiles or NO_PROFILES

    def applier(part: str) -> Applier:
        return new_applier(settings, guard.writer(part), relay.wake, counting, institutions)

    intake = new_intake(settings, guard, (applier("intake"), applier("intake_beside")), metrics)
    register_parts(readiness, intake, relay)
    topics = {name: settings.topic_prefix + name for name in INPUTS}
    gauges = Gauges(
        pool,
        metrics,
        settings.parked_alarm_seconds,
        settings.sweep_interval_seconds,
        settings.parked_queue_alarm_records,
        institutions,
        topics.values(),
    )
    batch_topic = f"{settings.topic_prefix}export-batch.v1"
    upkeep: dict[str, Run] = {
        "watch": IdleCommits(guard.writer("watch")).run,
        "topic_watch": new_topic_watch(settings, pool, readiness).run,
        "sweep": Sweep(pool, applier("sweep"), settings.sweep_interval_seconds).run,
        "stopped": TakeStopped(applier("stopped")).run,
        "measure": gauges.run,
        "counts": Counts(guard.writer("counts"), metrics, intake.sources).run,
        "standing": Standing(pool, metrics, profiles, topics, settings).run,
        "recovery": EndRecovery(applier("recovery"), institutions, batch_topic).run,
        "purge": Purge(guard.writer("purge"), metrics, settings).run,
        "reconcile": Reconcile(pool, metrics, settings.reconcile_interval_seconds).run,
    }
    if profiles is not None:
        upkeep["no_profile"] = CountWithoutProfile(pool, metrics, profiles).run
        job = new_export_job(settings, applier("export"), profiles, metrics)
        upkeep["export"] = lambda stop: job.run(stop, settings.export_check_seconds)
    return [
        [Part("intake", intake.run), Part("contact", intake.contact.run)],
        [Part(name, steady(name, run)) for name, run in upkeep.items()],
        [Part("relay", _flushed(relay, settings.shutdown_seconds_max // 4))],
    ]


def _flushed(relay: Relay, seconds_max: int) -> Run:
    """The relay's `run`; on a stop it first sends what the other parts have left in the outbox."""

    async def run(stop: asyncio.Event) -> None:
        relay_stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(relay.run(relay_stop))
            stopping = group.create_task(stop.wait())
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            with contextlib.suppress(*TRANSIENT):
                async with asyncio.timeout(seconds_max):
                    await _until_sent(relay, relay_stop)
            relay_stop.set()

    return run


async def _until_sent(relay: Relay, relay_stop: asyncio.Event) -> None:
    """Waits for an empty outbox; without the lease another instance sends it, so nothing waits."""
    while relay.holds_lease and (await relay.status()).rows_waiting > 0:
        relay.wake()
        await wait_any((relay_stop,), FLUSH_POLL_MS)


def _metrics(settings: Settings, profiles: Profiles) -> Metrics:
    """The metrics of the process, with 0 where nothing is counted yet."""
    metrics = Metrics()
    inputs, outputs = ([settings.topic_prefix + n for n in names] for names in (INPUTS, OUTPUTS))
    begin_at_zero(metrics, inputs, outputs, RECORD_FAULTS.values(), profiles)
    return metrics


def _profiles(settings: Settings) -> Profiles | None:
    """The profiles of the file; logs what is allowed and yet doubtful. Raises InvalidProfile."""
    if settings.profiles_file is None:
        return None
    profiles = read_profiles(settings.profiles_file)
    log.info(Event.PROFILES_READ, profiles=[profile.code for profile in profiles.profiles])
    for pair in overlaps(profiles):
        log.warning(
            Event.PROFILES_OVERLAP, first=pair.first, second=pair.second, types=sorted(pair.types)
        )
    for warning in warnings(profiles):
        log.warning(Event.PROFILES_DOUBTED, subject=warning.subject, doubt=warning.concern)
    return profiles


async def _open_database(
    settings: Settings, stop: asyncio.Event, readiness: Readiness
) -> Pool | None:
    """Waits for the database and migrates it; None: asked to stop meanwhile."""
    url = settings.database_url.get_secret_value()

    async def attempt() -> Pool:
        try:
            await _migrate(url, settings)
            return await create_pool(url, settings)
        except LOGIN_FAILED as problem:
            raise LoginFailed(f"DATABASE_URL: {why_unusable(problem, url)}") from None

    pool = await until_available(
        stop,
        attempt,
        TRANSIENT,
        lambda problem: log.warning(Event.DATABASE_AWAITED, problem=describe(problem)),
    )
    if pool is not None:
        register_database(readiness, pool)
        readiness.unregister("started")
    return pool


async def _migrate(url: str, settings: Settings) -> None:
    if settings.migrate_at_start:
        if applied := await migrate(url):
            log.info(Event.MIGRATED, revisions=applied)
    elif missing := await pending(url):
        names = ", ".join(missing)
        raise OperatorError(f"the database lacks revisions {names}: run `bursar-bridge migrate`")


async def _open_guard(
    settings: Settings, pool: Pool, stop: asyncio.Event, readiness: Readiness
) -> Guard | None:
    """The guard of a database that is not older than Kafka; None: asked to stop meanwhile.

    Nothing is written before. Raises OlderDatabase.
    """
    guard = new_guard(settings, pool)
    reason = "asks whether the database is older than Kafka"

    def note(problem: Exception) -> None:
        nonlocal reason
        is_ours = isinstance(problem, Unavailable)
        reason = str(problem) if is_ours else WAITS_FOR_DATABASE
        log.warning(Event.RESTORE_CHECK_AWAITED, problem=describe(problem))

    readiness.register("restore_check", lambda: reason, SILENT)
    await until_available(stop, lambda: unless_set(guard.open(WRITERS), stop), UNAVAILABLE, note)
    if stop.is_set():
        return None
    readiness.unregister("restore_check")
    return guard
