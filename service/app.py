"""The composition root: what the process is made of, in which order it starts and stops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from .apply.applier import Applier
from .apply.tally import TallyInMetrics
from .database.migrate import migrate, pending
from .database.reach import why_unusable
from .database.session import Pool, create_pool
from .export.profiles.profile import NO_PROFILES, Profiles
from .export.profiles.reading import overlaps, read_profiles, warnings
from .operations.counts import Counts
from .operations.gauges import Gauges
from .operations.reconcile import Reconcile
from .operations.sweep import Sweep
from .operations.unclaimed import CountUnclaimed
from .relay.loop import Relay
from .restore.guard import Guard, IdleCommits
from .runtime.failures import LOGIN_FAILED, TRANSIENT, UNAVAILABLE
from .runtime.health_port import HealthPort
from .runtime.lifecycle import Part, Run, run_parts, steady, stop_on_signals
from .runtime.problems import OperatorError, Unavailable, describe
from .runtime.process import program_version
from .runtime.readiness import SILENT
from .runtime.telemetry import Event, Metrics, get_log
from .runtime.waiting import unless_set, wait_any
from .settings import Settings
from .wiring import (
    WRITERS,
    new_applier,
    new_export_job,
    new_guard,
    new_intake,
    new_relay,
    new_standing,
    register_database,
    register_parts,
)

log = get_log(__name__)

POOL_CLOSE_SECONDS_MAX = 2
DATABASE_PAUSE_MS = 1_000
EXCHANGED_SECONDS_MAX = 5
FLUSH_LOOK_MS = 50


class DatabaseRefused(OperatorError):
    """The database answers and will not have us."""


@dataclass(frozen=True, slots=True)
class Process:
    """What every part of the process shares."""

    settings: Settings
    guard: Guard
    metrics: Metrics
    port: HealthPort


async def run(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT, then stops in order. Raises what brought it down."""
    stop = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(_loop_problem)
    profiles = _profiles(settings)
    metrics = Metrics()
    port = HealthPort(metrics)
    with stop_on_signals(stop, settings.shutdown_seconds_max):
        async with _listening(port, settings), _database(settings, stop, port) as pool:
            if pool is not None:
                async with _guarded(settings, pool, stop, port) as guard:
                    if guard is not None:
                        process = Process(settings, guard, metrics, port)
                        log.info(Event.STARTED, version=program_version())
                        await _work(process, profiles, stop)
    log.info(Event.STOPPED)


async def _work(process: Process, profiles: Profiles | None, stop: asyncio.Event) -> None:
    """All parts until `stop`. What one of them failed at may be an exchanged database."""
    try:
        stages = _stages(process, profiles)
        await run_parts(stages, stop, process.settings.shutdown_seconds_max)
    except Exception:
        await _tell_if_exchanged(process.guard)
        raise


def _stages(process: Process, profiles: Profiles | None) -> list[list[Part]]:
    """In the order they stop: no more comes in, what is in hand ends, all of it goes out."""
    settings, guard = process.settings, process.guard
    pool = guard.pool
    relay = new_relay(settings, guard, process.metrics)

    counting = TallyInMetrics(process.metrics)

    def applier(part: str) -> Applier:
        return new_applier(settings, guard.writer(part), relay.wake, counting)

    intake = new_intake(settings, guard, applier("intake"), process.metrics)
    register_parts(process.port.readiness, intake, relay)
    sweep = Sweep(pool, applier("sweep"), settings.sweep_interval_seconds)
    gauges = Gauges(
        pool,
        process.metrics,
        settings.parked_alarm_seconds,
        settings.sweep_interval_seconds,
        settings.parked_queue_alarm_records,
        profiles or NO_PROFILES,
    )
    reconcile = Reconcile(pool, process.metrics, settings.reconcile_interval_seconds)
    counts = Counts(guard.writer("counts"), process.metrics, intake.sources)
    standing = new_standing(settings, pool, profiles, process.metrics)
    upkeep = [
        Part("watch", steady("watch", IdleCommits(guard.writer("watch")).run)),
        Part("sweep", steady("sweep", sweep.run)),
        Part("measure", steady("measure", gauges.run)),
        Part("counts", steady("counts", counts.run)),
        Part("standing", steady("standing", standing.run)),
        Part("reconcile", steady("reconcile", reconcile.run)),
    ]
    if profiles is not None:
        unclaimed = CountUnclaimed(pool, process.metrics, profiles)
        upkeep.append(Part("unclaimed", steady("unclaimed", unclaimed.run)))
        job = new_export_job(settings, applier("export"), profiles, process.metrics)
        seconds = settings.export_check_seconds
        upkeep.append(Part("export", steady("export", lambda stop: job.run(stop, seconds))))
    sending = _flushed(relay, settings.shutdown_seconds_max // 4)
    reading = [Part("intake", intake.run), Part("contact", intake.contact.run)]
    return [reading, upkeep, [Part("relay", sending)]]


def _flushed(relay: Relay, seconds_max: int) -> Run:
    """The relay, which on a stop first sends what the parts before it left in the outbox."""

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
    """Without the lease another instance sends, and it is nothing to wait for."""
    while relay.holds_lease and (await relay.status()).rows_waiting > 0:
        relay.wake()
        await wait_any((relay_stop,), FLUSH_LOOK_MS)


def _profiles(settings: Settings) -> Profiles | None:
    """Raises InvalidProfile; what is allowed and yet doubtful is logged."""
    if settings.profiles_file is None:
        return None
    profiles = read_profiles(settings.profiles_file)
    log.info(Event.PROFILES_READ, profiles=[one.code for one in profiles.profiles])
    for pair in overlaps(profiles):
        log.warning(
            Event.PROFILES_OVERLAP, first=pair.first, second=pair.second, types=sorted(pair.types)
        )
    for warning in warnings(profiles):
        log.warning(Event.PROFILES_DOUBTED, subject=warning.subject, doubt=warning.concern)
    return profiles


@contextlib.asynccontextmanager
async def _listening(port: HealthPort, settings: Settings) -> AsyncIterator[None]:
    """Before anything else and until the end: whoever waits for us sees what we wait for."""
    port.readiness.register("started", _not_yet, SILENT)
    async with port.listening(settings.ops_host, settings.ops_port):
        yield


async def _not_yet() -> str | None:
    return "waits for the database"


@contextlib.asynccontextmanager
async def _database(
    settings: Settings, stop: asyncio.Event, port: HealthPort
) -> AsyncIterator[Pool | None]:
    """The pool over a migrated database, waited for; None: asked to stop meanwhile."""
    pool = await _open_database(settings, stop)
    if pool is None:
        yield None
        return
    register_database(port.readiness, pool)
    port.readiness.unregister("started")
    try:
        yield pool
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), POOL_CLOSE_SECONDS_MAX)


async def _open_database(settings: Settings, stop: asyncio.Event) -> Pool | None:
    url = settings.database_url.get_secret_value()
    while not stop.is_set():
        try:
            await _migrate(url, settings.migrate_at_start)
            return await create_pool(url, settings)
        except LOGIN_FAILED as problem:
            raise DatabaseRefused(f"DATABASE_URL: {why_unusable(problem, url)}") from None
        except TRANSIENT as problem:
            log.warning(Event.DATABASE_AWAITED, problem=describe(problem))
            await wait_any((stop,), DATABASE_PAUSE_MS)
    return None


async def _migrate(url: str, wanted: bool) -> None:
    if wanted:
        if applied := await migrate(url):
            log.info(Event.MIGRATED, revisions=applied)
    elif missing := await pending(url):
        names = ", ".join(missing)
        raise OperatorError(f"the database lacks revisions {names}: run `bursar-bridge migrate`")


@contextlib.asynccontextmanager
async def _guarded(
    settings: Settings, pool: Pool, stop: asyncio.Event, port: HealthPort
) -> AsyncIterator[Guard | None]:
    """The guard of a database that is not older than Kafka; None: asked to stop meanwhile.

    Nothing is written before. Raises OlderDatabase.
    """
    guard = new_guard(settings, pool)
    problem = "asks whether the database is older than Kafka"

    async def waiting() -> str | None:
        return problem

    port.readiness.register("restore_check", waiting, SILENT)
    while not stop.is_set():
        try:
            if await unless_set(_opened(guard), stop) is None:
                break
        except UNAVAILABLE as away:
            problem = str(away) if isinstance(away, Unavailable) else "waits for the database"
            log.warning(Event.RESTORE_CHECK_AWAITED, problem=describe(away))
            await wait_any((stop,), DATABASE_PAUSE_MS)
        else:
            port.readiness.unregister("restore_check")
            break
    if stop.is_set():
        yield None
        return
    try:
        yield guard
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POOL_CLOSE_SECONDS_MAX):
                await guard.close()


async def _tell_if_exchanged(guard: Guard) -> None:
    """Raises OlderDatabase if this is another database, such as one without our tables."""
    with contextlib.suppress(asyncpg.PostgresError, *UNAVAILABLE):
        async with asyncio.timeout(EXCHANGED_SECONDS_MAX):
            await guard.verify_any()


async def _opened(guard: Guard) -> bool:
    await guard.open(WRITERS)
    return True


def _loop_problem(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """The default would print the exception's text, which may quote a value."""
    problem = context.get("exception")
    told = describe(problem) if isinstance(problem, BaseException) else None
    log.error(Event.LOOP_PROBLEM, problem=told, where=str(context.get("message", ""))[:100])
