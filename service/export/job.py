"""Export runs: claim, ledger, bytes, manifest and outbox of a batch are one commit.

The way to a batch may be long where little is due: it is gone in steps, each a commit of its own.
Between two of them the run is not locked.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from service.apply import Applier
from service.core.books import View
from service.core.ledger import BatchKey
from service.crash import crash_point
from service.database import export_store, outbox, plan_store, quarantine
from service.database.export_store import OpenRun, ProfileRuns
from service.database.ledger_store import Locked
from service.database.pool import Connection
from service.database.references import References
from service.export import claims
from service.export.batch import InvalidBatch
from service.export.manifest import Manifest, TotalsDiffer
from service.export.plan import STEP_FINES_MAX, Plan, claims_of, look_on
from service.export.profile import Profile, Profiles
from service.export.proof import NotReadBack
from service.export.retries import Retries
from service.export.schedule import is_due
from service.export.sealing import (
    Built,
    Part,
    advanced,
    between_steps,
    build,
    missed_by,
    references_of,
    seals_empty,
)
from service.export.xml_stream import RefusedDocument
from service.isolation import is_of_a_record
from service.messages import encode_batch, encode_manifest
from service.telemetry import Event, Metrics, get_log

log = get_log(__name__)

# The bytes of a batch are not what its fines say: nothing of it leaves the house.
UNSOUND = (InvalidBatch, NotReadBack, RefusedDocument, TotalsDiffer)


@dataclass(frozen=True, slots=True)
class ExportTopics:
    batch: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one commit of a run left behind; `manifest` None: there is no batch yet, or none left.

    `fines` is how many open fines the run has passed with it.
    """

    manifest: Manifest | None
    run_is_over: bool
    fines: int = 0


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
    ) -> None:
        self._applier = applier
        self._writer = applier.writer
        self._topics = topics
        self._profiles = profiles
        self._metrics = metrics or Metrics()
        self._step_fines_max = step_fines_max
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
        """A profile whose batch cannot be sealed stops neither the others nor the intake."""
        async with self._writer.transaction() as connection:
            run = await export_store.open_due_run(connection, profile, str(uuid4()), runs)
        if run is None:
            return 0  # another exporter was faster
        try:
            batches = await self._go_on(profile, run.run_id, self._count, stop)
        except Exception as problem:
            # Not only an unsound batch: whatever is no fault of the database or its surroundings.
            if not isinstance(problem, UNSOUND) and not is_of_a_record(problem):
                raise
            # Rolled back whole: its fines stay Active, and the run is tried again.
            self._metrics.run_failures.labels(profile.code).inc()
            wait_ms = self._retries.failed(profile)
            log.exception(Event.RUN_FAILED, profile=profile.code, retry_in_ms=wait_ms)
            return 0
        self._retries.succeeded(profile)
        self._metrics.run_ended.labels(profile.code).set_to_current_time()
        return batches

    def _count(self, manifest: Manifest) -> None:
        profile = manifest.profile
        self._metrics.batches.labels(profile).inc()
        self._metrics.exported.labels(profile).inc(manifest.count)
        for reason, fines in manifest.held_back:
            self._metrics.held_back.labels(profile, reason.value).set(fines)

    async def _due(self) -> list[tuple[Profile, ProfileRuns]]:
        """What died in a run goes on at once; the rest when its schedule says so.

        A profile whose last attempt failed is due when its time to wait is over.
        """
        codes = [(one.institution_id, one.code) for one in self._profiles.profiles]
        async with self._writer.transaction() as connection:
            seen = await export_store.seen(connection, codes)
        return [
            (profile, own)
            for profile in self._profiles.profiles
            if not self._retries.is_waiting(profile)
            if (own := seen.runs[(profile.institution_id, profile.code)]).is_open
            or is_due(profile, own.last_cutoff, own.since, seen.clock)
        ]

    async def run_profile(
        self,
        profile: Profile,
        sealed: Callable[[Manifest], None] = lambda _: None,
        stop: asyncio.Event | None = None,
        passed: Callable[[int], None] = lambda _: None,
    ) -> int:
        """One run, or the rest of the one that is open: every eligible fine, in batches.

        The number of batches sealed; `sealed` sees each manifest, and nothing keeps it: it names
        every line. `passed` gets the number of open fines that each commit has passed.
        """
        async with self._writer.transaction() as connection:
            run = await export_store.open_run(connection, profile, str(uuid4()))
        return await self._go_on(profile, run.run_id, sealed, stop, passed)

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
            step = await self._step(profile, run_id)
            over = step.run_is_over
            passed(step.fines)
            if step.manifest is not None:
                batches += 1
                sealed(step.manifest)
        return batches

    async def _step(self, profile: Profile, run_id: str) -> Sealed:
        done = await self._applier.retried(
            lambda connection: self._seal_next(connection, profile, run_id)
        )
        self._applier.committed()
        if done.manifest is not None:
            log.info(
                Event.BATCH_SEALED,
                profile=profile.code,
                batch_number=done.manifest.batch_number,
                fines=done.manifest.count,
                total_minor=done.manifest.total,
                currency=profile.currency,
            )
        return done

    async def _seal_next(self, connection: Connection, profile: Profile, run_id: str) -> Sealed:
        """One step towards a batch, or the batch itself, inside one transaction."""
        run = await export_store.lock_run(connection, profile)
        if run is None or run.run_id != run_id:
            return Sealed(None, run_is_over=True)  # another exporter closed it
        before = await plan_store.load(connection, run)
        store = self._applier.store
        plan = await look_on(connection, store, profile, run, before, self._step_fines_max)
        if not plan.is_complete:
            await _keep(connection, run, plan)
            return Sealed(None, run_is_over=False, fines=plan.fines)
        manifest, after = await self._seal(connection, profile, run, plan)
        await export_store.advance_run(connection, after, closed=plan.last)
        if before.selected or plan.last:
            await plan_store.drop(connection, run)
        return Sealed(manifest, run_is_over=plan.last, fines=plan.fines)

    async def _seal(
        self, connection: Connection, profile: Profile, run: OpenRun, plan: Plan
    ) -> tuple[Manifest | None, OpenRun]:
        """Accounts, rules, counters, bytes, outbox of one batch; and the run behind it."""
        store = self._applier.store
        claimed = await claims_of(connection, store, profile, plan)
        crash_point("export_selected")
        locked, view = await self._settled(connection, references_of(claimed.fines))
        due, claimed = await claims.still_due(connection, store, profile, run, claimed, view)
        if not due and not seals_empty(profile, run, claimed):
            return None, advanced(run, claimed, due)
        numbers = await export_store.take_numbers(connection, profile, len(due))
        built = await build(connection, Part(profile, run, claimed, due, numbers), view, locked)
        await self._publish(connection, built)
        await self._applier.write(connection, built.changes, locked.recorded_at)
        crash_point("export_sealed")
        return built.manifest, built.run

    async def _settled(self, connection: Connection, named: References) -> tuple[Locked, View]:
        """Under the locks, with nothing parked that is older than the export and could go on.

        A change and its fine that were decided at the same instant missed each other; the sweep
        may not have come by yet, and what was paid at the desk must not go to the bursar.
        """
        store = self._applier.store
        locked = await store.lock(connection, named)
        view = await store.view(connection, named, locked)
        lanes = missed_by(view)
        if not lanes:
            return locked, view
        await self._applier.apply_events(connection, named, (), lanes)
        locked = await store.lock(connection, named)
        return locked, await store.view(connection, named, locked)

    async def _publish(self, connection: Connection, built: Built) -> None:
        source, at = self._applier.outputs.ce_source, built.manifest.sealed_at
        document = encode_batch(built.manifest, built.document, source)
        manifest = encode_manifest(built.manifest, source)
        await outbox.put(connection, self._topics.batch, [document], at)
        await export_store.seal(connection, built.manifest, document, manifest)
        await outbox.put(connection, self._topics.manifest, [manifest], at)
        await export_store.manifest_queued(connection, built.manifest)

    async def resend(self, key: BatchKey) -> bool:
        """The stored bytes again, with the same ce_id; False for a batch unknown here.

        Earlier copies of them leave the quarantine in the same commit.
        """
        queued = await self._applier.retried(lambda connection: self._queue_again(connection, key))
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


async def _keep(connection: Connection, run: OpenRun, plan: Plan) -> None:
    """The run between two steps, for whoever takes the next one."""
    moved, planned = between_steps(run, plan)
    if planned.selected:
        await plan_store.put(connection, moved, planned)
    else:
        await export_store.advance_run(connection, moved, closed=False)
