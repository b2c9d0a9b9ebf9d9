"""One step of an export run: a commit that looks on for the next batch, or that seals it.

Claim, ledger, bytes, manifest and outbox of a batch are one commit. The way to a batch may be long
where little is due: it is gone in steps, and between two of them the run is not locked.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..apply.applier import Applier
from ..apply.committing import Patience
from ..apply.tally import TallyMetric
from ..core.workspace import View
from ..database import outbox
from ..database.ledger_store import LockedAccounts
from ..database.references import References
from ..database.session import Connection, run_in_thread, statements
from ..runtime.crash import crash_point
from ..runtime.telemetry import Event, Metrics, get_log, observe_since
from . import claims, plan_store
from . import store as export_store
from .encode import encode_batch, encode_manifest
from .manifest import Manifest
from .plan import STEP_FINES_MAX, Plan, claims_of, extend_plan
from .profiles.profile import Profile
from .schedule import is_paused
from .sealing import (
    Built,
    Part,
    advanced,
    between_steps,
    build,
    missed_by,
    references_of,
    seals_empty,
)
from .store import OpenRun

log = get_log(__name__)

SQL = statements("export")
# Longer than an ordinary commit of the intake; it waits for no longer behind a batch that waits.
ACCOUNT_LOCK_MS = 1_000


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


class Steps:
    """The commits of runs. Two exporters at once share a run: each waits for the other's batch."""

    def __init__(
        self,
        applier: Applier,
        topics: ExportTopics,
        metrics: Metrics,
        step_fines_max: int = STEP_FINES_MAX,
        *,
        even_if_paused: bool = False,
    ) -> None:
        self._applier = applier
        self._metrics = metrics
        self._topics = topics
        self._step_fines_max = step_fines_max
        self._even_if_paused = even_if_paused

    async def take(self, profile: Profile, run_id: str) -> Sealed:
        """The next step of the run; nothing is done where another exporter has closed it."""
        started_ns = time.monotonic_ns()
        done = await self._applier.run_in_transaction(
            lambda connection: self._seal_next(connection, profile, run_id)
        )
        self._applier.committed()
        if done.manifest is not None:
            observe_since(self._metrics.batch_seconds, started_ns)
            log.info(
                Event.BATCH_SEALED,
                profile=profile.code,
                batch_number=done.manifest.batch_number,
                fines=done.manifest.count,
                total_minor=done.manifest.total,
                currency=profile.currency,
            )
        return done

    async def is_stopped(self, connection: Connection, profile: Profile) -> bool:
        """Whether a person has paused the profile, and paused ones are not to be run."""
        return not self._even_if_paused and await is_paused(connection, profile)

    async def _seal_next(self, connection: Connection, profile: Profile, run_id: str) -> Sealed:
        """One step towards a batch, or the batch itself, inside one transaction."""
        run = await export_store.lock_run(connection, profile)
        if run is None or run.run_id != run_id:
            return Sealed(None, run_is_over=True)  # another exporter closed it
        if await self.is_stopped(connection, profile):
            return Sealed(None, run_is_over=True)  # it stays open until the profile is resumed
        before = await plan_store.load(connection, run)
        store = self._applier.store
        plan = await extend_plan(connection, store, profile, run, before, self._step_fines_max)
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
        async with short_account_locks(connection):
            locked, view = await self._settled(connection, references_of(claimed.fines))
        due, claimed = await claims.still_due(connection, store, profile, run, claimed, view)
        if not due and not seals_empty(profile, run, claimed):
            return None, advanced(run, claimed, due)
        numbers = await export_store.take_numbers(connection, profile, len(due))
        built = await build(connection, Part(profile, run, claimed, due, numbers), view, locked)
        await self._publish(connection, built)
        await self._applier.write(connection, built.changes, locked.recorded_at)
        crash_point("export_sealed")
        self._applier.tally.add(TallyMetric.BATCHES, (profile.code,))
        if due:
            self._applier.tally.add(TallyMetric.FINES_EXPORTED, (profile.code,), len(due))
        return built.manifest, built.run

    async def _settled(
        self, connection: Connection, named: References
    ) -> tuple[LockedAccounts, View]:
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
        manifest = await run_in_thread(
            connection, built.manifest.count, lambda: encode_manifest(built.manifest, source)
        )
        await outbox.put(connection, self._topics.batch, [document], at)
        await export_store.seal(connection, built.manifest, document, manifest)
        await outbox.put(connection, self._topics.manifest, [manifest], at)
        await export_store.manifest_queued(connection, built.manifest)


@asynccontextmanager
async def short_account_locks(connection: Connection) -> AsyncIterator[None]:
    """Waits for an account for a short time only.

    The accounts of a batch are locked one after another. Behind one that a rival holds, the batch
    would keep all those before it from the intake for as long as the session may wait for a lock.
    """
    before = await connection.fetchval(SQL["lock_wait"])
    await Patience(lock_ms=ACCOUNT_LOCK_MS).apply_to(connection)
    yield
    await connection.fetchval(SQL["set_lock_wait"], before)


async def _keep(connection: Connection, run: OpenRun, plan: Plan) -> None:
    """The run between two steps, for whoever takes the next one."""
    moved, planned = between_steps(run, plan)
    if planned.selected:
        await plan_store.put(connection, moved, planned)
    else:
        await export_store.advance_run(connection, moved, closed=False)
