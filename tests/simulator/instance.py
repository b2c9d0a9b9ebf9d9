"""An instance of the service: its parts as `service/app.py` has them, on simulated ports."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from service.apply.applier import Applier
from service.apply.poll import Poll, Report
from service.apply.tally import TallyInMetrics
from service.core.events import WaitQueue
from service.database.session import Pool, create_pool
from service.export.failures import RunFailed
from service.export.job import ExportJob
from service.export.profiles.profile import NO_PROFILES, Profile, Profiles
from service.export.publish import ExportTopics
from service.export.schedule import ExportsAreOff, Retries
from service.operations.recovery import EndRecovery
from service.operations.sweep import FAILED_FIRST_MS, FAILED_MAX_MS, Sweep
from service.relay.loop import Relay, RelayPauses
from service.restore.guard import Guard, IdleCommits
from service.runtime.failures import TRANSIENT, UNAVAILABLE
from service.runtime.lifecycle import Part, run_parts, until_available
from service.runtime.telemetry import Metrics
from service.runtime.waiting import Postponed, unless_set
from service.settings import Settings
from service.wiring import WRITERS, new_applier, new_guard, new_intake
from tests.simulator.process import Process, close

PREFIX = "library."
SESSION_SECONDS = 6
SWEEP_SECONDS = 8
BAD_MAX = 12  # bad records in a row; more than those of a load have ever been
IDLE_SECONDS_MAX = 5  # of a session in a transaction
PAUSES = RelayPauses(lease_retry_ms=4_000, status_seconds=30)
Place = tuple[str, int, int]


class Followed:
    """The write path of an intake; `places` are the records of its latest poll, in their order, and
    `is_applying` says whether it is at work on them.
    """

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self.places: tuple[Place, ...] = ()
        self.is_applying = False

    async def apply(self, poll: Poll) -> Report:
        self.places = tuple(
            (record.origin.topic, record.origin.partition, record.origin.offset)
            for record in poll.records
        )
        self.is_applying = True
        try:
            return await self._applier.apply(poll)
        finally:
            self.is_applying = False


@dataclass(eq=False, slots=True)
class Instance(Process):
    """A process of the service. `runs` are the profiles of which runs are asked for."""

    profiles: Profiles = NO_PROFILES
    intakes: tuple[Followed, ...] = ()
    runs: asyncio.Queue[Profile] = field(default_factory=asyncio.Queue)

    @property
    def places(self) -> tuple[Place, ...]:
        """The records of the latest polls, in their order."""
        return tuple(place for intake in self.intakes for place in intake.places)

    @property
    def has_poll_in_hand(self) -> bool:
        """Whether the intake is at work on a poll, and has not moved its offsets so far."""
        if not any(intake.is_applying for intake in self.intakes):
            return False
        return not any(session.open.advances for session in self.link.sessions)

    async def work(self) -> None:
        """Runs until `stop` is set."""
        url = self.settings.database_url.get_secret_value()
        pool = await until_available(
            self.stop,
            lambda: create_pool(url, self.settings, self.link.connect),
            TRANSIENT,
            _ignore,
        )
        if pool is None:
            return
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(close, pool.close)
            guard = new_guard(self.settings, pool)
            await until_available(
                self.stop,
                lambda: unless_set(guard.open(WRITERS), self.stop),
                UNAVAILABLE,
                _ignore,
            )
            if not self.stop.is_set():
                stack.push_async_callback(close, guard.close)
                stages = self._stages(pool, guard)
                await run_parts(stages, self.stop, self.settings.shutdown_seconds_max)

    def _stages(self, pool: Pool, guard: Guard) -> list[list[Part]]:
        settings, metrics = self.settings, Metrics()
        relay = Relay(guard, settings, guard.process, settings, metrics, PAUSES)

        def applier(part: str) -> Applier:
            writer, counting = guard.writer(part), TallyInMetrics(metrics)
            return new_applier(settings, writer, relay.wake, counting, self.profiles)

        appliers = Followed(applier("intake")), Followed(applier("intake_beside"))
        self.intakes = appliers
        intake = new_intake(settings, guard, appliers, metrics)
        topics = ExportTopics(
            f"{settings.topic_prefix}export-batch.v1", f"{settings.topic_prefix}export-manifest.v1"
        )
        recovery = EndRecovery(applier("recovery"), self.profiles, topics.batch)
        # Their clocks are given, because a default would be the clock of the world outside.
        retries = Retries(time.monotonic_ns)
        failed: Postponed[WaitQueue] = Postponed(FAILED_FIRST_MS, FAILED_MAX_MS, time.monotonic_ns)
        job = ExportJob(applier("export"), topics, self.profiles, metrics, retries=retries)
        sweep = Sweep(pool, applier("sweep"), settings.sweep_interval_seconds, failed)
        watch = IdleCommits(guard.writer("watch"))
        self.is_up = True
        return [
            [
                Part("intake", intake.run)
            ],  # without its contact, which only says that brokers are silent
            [
                Part("sweep", _steady(sweep.run)),
                Part("watch", _steady(watch.run)),
                Part("recovery", _steady(recovery.run)),
                Part("export", _steady(partial(self._export, job))),
            ],
            [Part("relay", relay.run)],
        ]

    async def _export(self, job: ExportJob, stop: asyncio.Event) -> None:
        """Runs the profiles that are asked for, as a schedule or a command would."""
        while (profile := await unless_set(self.runs.get(), stop)) is not None:
            try:
                await job.run_profile(profile, stop=stop)
            except (RunFailed, ExportsAreOff):
                _ignore()
            finally:
                self.runs.task_done()


def _steady(
    run: Callable[[asyncio.Event], Awaitable[object]],
) -> Callable[[asyncio.Event], Awaitable[object]]:
    return lambda stop: until_available(stop, lambda: run(stop), UNAVAILABLE, _ignore)


def _ignore(_: object = None) -> None:
    """It is tried again."""


def settings_for(url: str, random: Random) -> Settings:
    """Short waits, polls and pages."""
    return Settings.model_validate(
        {
            "DATABASE_URL": url,
            "KAFKA_BOOTSTRAP_SERVERS": "simulated:9092",
            "topic_prefix": PREFIX,
            "kafka_session_timeout_ms": SESSION_SECONDS * 1_000,
            "kafka_request_timeout_ms": 5_000,
            "kafka_metadata_max_age_ms": 1_000,
            "poll_records_max": random.choice((3, 8, 30)),
            "poll_wait_ms": 1_000,
            "bad_records_in_a_row_max": BAD_MAX,
            "relay_idle_ms": 4_000,
            "database_connections_max": 4,
            "relay_page_rows_max": random.choice((2, 20)),
            "sweep_interval_seconds": SWEEP_SECONDS,
            "database_idle_in_transaction_ms_max": IDLE_SECONDS_MAX * 1_000,
        }
    )
