"""Runs the export: decides which profile is run when, commits its steps, and retries failed runs.

A run reads the open fines of a profile in steps, and each step is one commit of the database. Each
step adds fines to the plan of the next batch (plan.py). The step that completes a plan also seals
the batch (seal.py), and after its commit the relay sends the batch from the outbox to Kafka.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import uuid4

import asyncpg

from ..apply.applier import Applier
from ..apply.tally import Tally, TallyMetric
from ..core.ledger import BatchKey
from ..database.adopted_lines import recovery_is_open
from ..database.session import Connection
from ..runtime.telemetry import Event, Metrics, get_log, observe_since
from ..runtime.waiting import wait_any
from . import store as export_store
from .failures import RunFailed, RunFailure, failure_of
from .manifest import Manifest
from .plan import STEP_FINES_MAX, Passed, drop_plan, extend_plan, keep_plan, load_plan
from .profiles.profile import Profile, Profiles
from .publish import ExportTopics, publish_again
from .schedule import (
    ProfileRuns,
    Retries,
    RunProgress,
    is_due,
    is_paused,
    require_no_recovery,
    runs_of_profiles,
)
from .seal import seal

log = get_log(__name__)

# A batch of fewer fines is not what makes a statement slow.
HALVED_FINES_MIN = 100


@dataclass(frozen=True, slots=True)
class _StepResult:
    """What one commit of a run did: it passed some open fines, and perhaps sealed a batch."""

    run_is_over: bool
    passed: Passed = field(default_factory=Counter)
    manifest: Manifest | None = None


class ExportJob:
    """Runs profiles. If two jobs run the same profile, both work on the same run, one commit after
    the other.
    """

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
        self._metrics = metrics or Metrics()
        self._step_fines_max = step_fines_max
        self._retries = retries or Retries()
        self._even_if_paused = even_if_paused

    async def run(self, stop: asyncio.Event, check_seconds: int = 1) -> None:
        """Runs each profile when it is due by the database's clock, until `stop` is set."""
        while not stop.is_set():
            await self.run_once(stop)
            await wait_any((stop,), milliseconds=check_seconds * 1_000)

    async def run_once(self, stop: asyncio.Event | None = None) -> int:
        """Runs the profiles that are due now; returns the number of batches that were sealed."""
        sealed = 0
        for profile, runs in await self._due():
            if stop is not None and stop.is_set():
                break
            sealed += await self._run_due(profile, runs, stop)
        return sealed

    async def _due(self) -> list[tuple[Profile, ProfileRuns]]:
        """An interrupted run is due at once, any other profile when its schedule says so.

        A profile whose last attempt failed is due when its time to wait is over. A paused profile
        is not due, and none is before a recovery has ended.
        """
        profiles = self._profiles.profiles
        async with self._writer.transaction() as connection:
            if await recovery_is_open(connection):
                return []
            runs_of, now = await runs_of_profiles(connection, [profile.key for profile in profiles])
        return [
            (profile, runs)
            for profile in profiles
            if not (runs := runs_of[profile.key]).is_paused
            if not self._retries.is_waiting(profile, runs.open_run)
            if runs.open_run is not None or is_due(profile, runs.last_cutoff, runs.since, now)
        ]

    async def _run_due(
        self, profile: Profile, runs: ProfileRuns, stop: asyncio.Event | None
    ) -> int:
        """Runs the profile. A run that cannot go on stops neither other profiles nor the intake."""
        progress = runs.open_run

        def sealed(manifest: Manifest) -> None:
            nonlocal progress
            progress = RunProgress(manifest.run_id, manifest.part)

        try:
            async with self._writer.transaction() as connection:
                run = await export_store.open_due_run(connection, profile, str(uuid4()), runs)
            if run is None:
                return 0  # another exporter was faster
            progress = RunProgress(run.run_id, run.parts)
            batches = await self._go_on(profile, run.run_id, sealed, stop)
        except Exception as problem:
            # The commit was rolled back: its fines stay Active, and the run is tried again.
            failure = await self._failure_of(problem)
            if failure is None:
                raise
            await self._count_failure(profile)
            wait_ms = self._retries.failed(profile, progress, is_temporary=failure.is_temporary)
            log.exception(
                Event.RUN_FAILED,
                profile=profile.code,
                reason=failure.reason,
                retry_in_ms=wait_ms,
            )
            return 0
        self._retries.succeeded(profile)
        return batches

    async def _failure_of(self, problem: Exception) -> RunFailure | None:
        """Why the run of one profile cannot go on; None if other profiles could not run either."""
        failure = failure_of(problem)
        if failure is not None and failure.is_temporary and not await self._applier.answers():
            return None
        return failure

    async def _count_failure(self, profile: Profile) -> None:
        tally = Tally()
        tally.add(TallyMetric.RUN_FAILURES, (profile.code,))
        await self._applier.tally_sink.count(self._writer, tally)

    async def run_profile(
        self,
        profile: Profile,
        sealed: Callable[[Manifest], None] = lambda _: None,
        stop: asyncio.Event | None = None,
        passed: Callable[[Passed], None] = lambda _: None,
    ) -> int:
        """Continues the open run of the profile, or begins a new one, until all open fines have
        been looked at, `stop` is set, a person pauses the profile, or another process ends the run.

        Returns the number of batches sealed. `sealed` is called with the manifest of each batch;
        the job does not keep the manifests, because each lists all fines of its batch. `passed` is
        called after each commit with the number of open fines that it looked at, by the reason why
        they are not exported (see Plan).

        Raises RunFailed if only this profile's run has failed, and ExportsAreOff while a recovery
        is not finished. An error that would stop the runs of other profiles, too, is raised as it
        is.
        """
        async with self._writer.transaction() as connection:
            await require_no_recovery(connection)
            if await self._is_stopped(connection, profile):
                return 0
            run = await export_store.open_run(connection, profile, str(uuid4()))
        try:
            return await self._go_on(profile, run.run_id, sealed, stop, passed)
        except Exception as problem:
            failure = await self._failure_of(problem)
            if failure is None:
                raise
            await self._count_failure(profile)
            raise RunFailed(failure) from problem

    async def _go_on(
        self,
        profile: Profile,
        run_id: str,
        sealed: Callable[[Manifest], None],
        stop: asyncio.Event | None,
        passed: Callable[[Passed], None] = lambda _: None,
    ) -> int:
        batches = 0
        is_over = False
        while not is_over and not (stop is not None and stop.is_set()):
            try:
                step = await self._take_step(profile, run_id)
            except asyncpg.QueryCanceledError:
                if profile.limits.fines_max < 2 * HALVED_FINES_MIN:
                    raise
                profile = _with_smaller_batches(profile)
                continue
            is_over = step.run_is_over
            passed(step.passed)
            if step.manifest is not None:
                batches += 1
                sealed(step.manifest)
        return batches

    async def _take_step(self, profile: Profile, run_id: str) -> _StepResult:
        started_ns = time.monotonic_ns()
        step = await self._applier.run_in_transaction(
            lambda connection: self._step(connection, profile, run_id)
        )
        self._applier.committed()
        if (manifest := step.manifest) is not None:
            observe_since(self._metrics.batch_seconds, started_ns)
            log.info(
                Event.BATCH_SEALED,
                profile=profile.code,
                batch_number=manifest.batch_number,
                fines=manifest.count,
                total_minor=manifest.total,
                currency=profile.currency,
            )
        return step

    async def _step(self, connection: Connection, profile: Profile, run_id: str) -> _StepResult:
        """Extends the plan of the next batch, and seals the batch if the plan is complete.

        The run is over if it has passed every fine, if another exporter has ended it, or if the
        profile is paused: then it stays open until the profile is resumed.
        """
        run = await export_store.lock_run(connection, profile)
        if run is None or run.run_id != run_id or await self._is_stopped(connection, profile):
            return _StepResult(run_is_over=True)
        kept = await load_plan(connection, run)
        store = self._applier.store
        plan = await extend_plan(connection, store, profile, run, kept, self._step_fines_max)
        if not plan.is_complete:
            await keep_plan(connection, run, plan)
            return _StepResult(run_is_over=False, passed=plan.passed)
        manifest, after = await seal(connection, self._applier, self._topics, profile, run, plan)
        await export_store.advance_run(connection, after, closed=plan.is_last)
        if kept.selected or plan.is_last:
            await drop_plan(connection, run)
        return _StepResult(plan.is_last, plan.passed, manifest)

    async def _is_stopped(self, connection: Connection, profile: Profile) -> bool:
        """Whether a recovery has begun, or a person has paused the profile, and this job does not
        run paused profiles.
        """
        if await recovery_is_open(connection):
            return True
        return not self._even_if_paused and await is_paused(connection, profile)

    async def resend(self, key: BatchKey) -> bool:
        """Puts the stored records of a batch into the outbox again, with the same `ce_id` as
        before.

        Returns False if there is no such batch. Copies of the batch's records that are in the
        quarantine are removed from it.
        """
        queued = await self._applier.run_in_transaction(
            lambda connection: publish_again(connection, self._topics, key)
        )
        if queued:
            self._applier.committed()
        return queued


def _with_smaller_batches(profile: Profile) -> Profile:
    """The profile for the rest of a run whose batch was too much for a statement's time limit."""
    fines_max = profile.limits.fines_max // 2
    log.warning(Event.BATCH_HALVED, profile=profile.code, fines_max=fines_max)
    return replace(profile, limits=replace(profile.limits, fines_max=fines_max))
