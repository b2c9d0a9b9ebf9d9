"""Export runs: which profile runs when, and what becomes of a run that cannot go on."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import asyncpg

from ..apply.applier import Applier
from ..apply.tally import Tally, TallyMetric
from ..core.ledger import BatchKey
from ..database import quarantine
from ..database.session import Connection
from ..runtime.telemetry import Event, Metrics, get_log
from . import store as export_store
from .failures import RunFailure, failure_of
from .manifest import Manifest
from .plan import STEP_FINES_MAX
from .profiles.profile import Profile, Profiles
from .schedule import ProfileRuns, Retries, RunProgress, is_due, runs_of_profiles
from .steps import ExportTopics, Steps

log = get_log(__name__)

# Fewer fines than these are not what makes a statement slow.
HALVED_FINES_MIN = 100


class ExportJob:
    """Runs profiles. Two jobs at once share a run: each waits for the other's batch."""

    def __init__(
        self,
        applier: Applier,
        topics: ExportTopics,
        profiles: Profiles,
        metrics: Metrics | None = None,
        step_fines_max: int = STEP_FINES_MAX,
        retries: Retries | None = None,
        even_if_paused: bool = False,
    ) -> None:
        self._applier = applier
        self._writer = applier.writer
        self._topics = topics
        self._profiles = profiles
        self._steps = Steps(
            applier, topics, metrics or Metrics(), step_fines_max, even_if_paused=even_if_paused
        )
        self._retries = retries or Retries()

    async def run(self, stop: asyncio.Event, check_seconds: int = 1) -> None:
        """Profiles with an interval, when they are due by the database's clock."""
        while not stop.is_set():
            await self.run_once(stop)
            try:
                await asyncio.wait_for(stop.wait(), timeout=check_seconds)
            except TimeoutError:
                continue

    async def run_once(self, stop: asyncio.Event | None = None) -> int:
        """Runs what is due; the number of batches sealed."""
        sealed = 0
        for profile, runs in await self._due():
            if stop is not None and stop.is_set():
                break
            sealed += await self._run_due(profile, runs, stop)
        return sealed

    async def _run_due(
        self, profile: Profile, runs: ProfileRuns, stop: asyncio.Event | None
    ) -> int:
        """A profile whose run cannot go on stops neither the others nor the intake."""
        place = runs.open_run

        def sealed(manifest: Manifest) -> None:
            nonlocal place
            place = RunProgress(manifest.run_id, manifest.part)

        try:
            async with self._writer.transaction() as connection:
                run = await export_store.open_due_run(connection, profile, str(uuid4()), runs)
            if run is None:
                return 0  # another exporter was faster
            place = RunProgress(run.run_id, run.parts)
            batches = await self._go_on(profile, run.run_id, sealed, stop)
        except Exception as problem:
            # Rolled back whole: its fines stay Active, and the run is tried again.
            failure = await self.failure_of(problem)
            if failure is None:
                raise
            await self._failed(profile, place, failure)
            return 0
        self._retries.succeeded(profile)
        return batches

    async def _failed(
        self, profile: Profile, place: RunProgress | None, failure: RunFailure
    ) -> None:
        """To be called while the exception is handled."""
        await self._count_failure(profile)
        log.exception(
            Event.RUN_FAILED,
            profile=profile.code,
            reason=failure.reason,
            retry_in_ms=self._retries.failed(profile, place, is_temporary=failure.is_temporary),
        )

    async def _count_failure(self, profile: Profile) -> None:
        tally = Tally()
        tally.add(TallyMetric.RUN_FAILURES, (profile.code,))
        await self._applier.counting.count(self._writer, tally)

    async def failure_of(self, problem: Exception) -> RunFailure | None:
        """Why the run of one profile cannot go on; None if other profiles could not run either."""
        failure = failure_of(problem)
        if failure is not None and failure.is_temporary and not await self._applier.answers():
            return None
        return failure

    async def _due(self) -> list[tuple[Profile, ProfileRuns]]:
        """What died in a run goes on at once; the rest when its schedule says so.

        A profile whose last attempt failed is due when its time to wait is over; a paused one is
        not due.
        """
        profiles = self._profiles.profiles
        async with self._writer.transaction() as connection:
            runs_of, now = await runs_of_profiles(connection, [profile.key for profile in profiles])
        return [
            (profile, runs)
            for profile in profiles
            if not (runs := runs_of[profile.key]).is_paused
            if not self._retries.is_waiting(profile, runs.open_run)
            if runs.open_run is not None or is_due(profile, runs.last_cutoff, runs.since, now)
        ]

    async def run_profile(
        self,
        profile: Profile,
        sealed: Callable[[Manifest], None] = lambda _: None,
        stop: asyncio.Event | None = None,
        passed: Callable[[int], None] = lambda _: None,
    ) -> int:
        """One run, or the rest of the one that is open: every eligible fine, in batches. No batch
        of a paused profile.

        The number of batches sealed; `sealed` sees each manifest, and nothing keeps it: it names
        every line. `passed` gets the number of open fines that each commit has passed.
        """
        async with self._writer.transaction() as connection:
            if await self._steps.is_stopped(connection, profile):
                return 0
            run = await export_store.open_run(connection, profile, str(uuid4()))
        try:
            return await self._go_on(profile, run.run_id, sealed, stop, passed)
        except Exception as problem:
            if await self.failure_of(problem) is not None:
                await self._count_failure(profile)
            raise

    async def _go_on(
        self,
        profile: Profile,
        run_id: str,
        sealed: Callable[[Manifest], None],
        stop: asyncio.Event | None,
        passed: Callable[[int], None] = lambda _: None,
    ) -> int:
        batches = 0
        over = False
        while not over and not (stop is not None and stop.is_set()):
            try:
                step = await self._steps.take(profile, run_id)
            except asyncpg.QueryCanceledError:
                if profile.limits.fines_max < 2 * HALVED_FINES_MIN:
                    raise
                profile = _with_smaller_batches(profile)
                continue
            over = step.run_is_over
            passed(step.fines)
            if step.manifest is not None:
                batches += 1
                sealed(step.manifest)
        return batches

    async def resend(self, key: BatchKey) -> bool:
        """The stored bytes again, with the same ce_id; False for a batch unknown here.

        Earlier copies of them leave the quarantine in the same commit.
        """
        queued = await self._applier.run_in_transaction(
            lambda connection: self._queue_again(connection, key)
        )
        if queued:
            self._applier.committed()
        return queued

    async def _queue_again(self, connection: Connection, key: BatchKey) -> bool:
        stored = await export_store.sealed_messages(connection, key)
        if stored is None:
            return False
        document, manifest = stored
        parts = ((self._topics.batch, document), (self._topics.manifest, manifest))
        now = await export_store.clock(connection)
        await quarantine.queue_batch_again(connection, key, parts, now)
        return True


def _with_smaller_batches(profile: Profile) -> Profile:
    """For the rest of a run whose batch was too much for a statement's time limit."""
    fines_max = profile.limits.fines_max // 2
    log.warning(Event.BATCH_HALVED, profile=profile.code, fines_max=fines_max)
    return replace(profile, limits=replace(profile.limits, fines_max=fines_max))
