"""Export runs: claim, ledger, bytes, manifest and outbox of a batch are one commit."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

import structlog

from service.apply import Applier
from service.core import rules
from service.core.books import View
from service.core.events import ExportFine
from service.core.ledger import BatchKey, Fine, FineKey
from service.crash import crash_point
from service.database import export_store, outbox
from service.database.export_store import OpenRun
from service.database.ledger_store import Locked
from service.database.pool import Connection, Pool
from service.database.references import References
from service.export import claims
from service.export.batch import CreditRef
from service.export.claims import Claims
from service.export.manifest import Manifest, Run, manifest_of
from service.export.printing import batch_of, lines_of, numbered
from service.export.profile import EmptyRun, Profile, Profiles
from service.export.proof import Proof, prove
from service.export.schedule import is_due
from service.export.selection import Refusal
from service.export.xsd import bursar_export_schema
from service.messages import encode_batch, encode_manifest

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ExportTopics:
    batch: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one commit of a run left behind; `manifest` None: nothing was left to seal."""

    manifest: Manifest | None
    run_is_over: bool


class ExportJob:
    """Runs profiles. Two jobs at once share a run: each waits for the other's batch."""

    def __init__(
        self, pool: Pool, applier: Applier, topics: ExportTopics, profiles: Profiles
    ) -> None:
        self._pool = pool
        self._applier = applier
        self._topics = topics
        self._profiles = profiles
        self._schema = bursar_export_schema()

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
        for profile in await self._due():
            if stop is not None and stop.is_set():
                break
            sealed += len(await self.run_profile(profile, stop=stop))
        return sealed

    async def _due(self) -> list[Profile]:
        """What died in a run goes on at once; the rest when its schedule says so."""
        codes = [(one.institution_id, one.code) for one in self._profiles.profiles]
        async with self._pool.acquire() as connection:
            seen = await export_store.seen(connection, codes)
        return [
            profile
            for profile in self._profiles.profiles
            if (own := seen.runs[profile.code]).is_open
            or is_due(profile, own.last_cutoff, own.since, seen.clock)
        ]

    async def run_profile(
        self,
        profile: Profile,
        sealed: Callable[[Manifest], None] = lambda _: None,
        stop: asyncio.Event | None = None,
    ) -> list[Manifest]:
        """One run, or the rest of the one that is open: every eligible fine, in batches."""
        async with self._pool.acquire() as connection:
            run = await export_store.open_run(connection, profile, str(uuid4()))
        manifests = []
        over = False
        while not over and not (stop is not None and stop.is_set()):
            step = await self._step(profile, run.run_id)
            over = step.run_is_over
            if step.manifest is not None:
                manifests.append(step.manifest)
                sealed(step.manifest)
        return manifests

    async def _step(self, profile: Profile, run_id: str) -> Sealed:
        done = await self._applier.retried(
            lambda connection: self._seal_next(connection, profile, run_id)
        )
        self._applier.committed()
        if done.manifest is not None:
            log.info(
                "batch_sealed",
                profile=profile.code,
                batch_number=done.manifest.batch_number,
                fines=done.manifest.count,
                total=done.manifest.total,
                currency=profile.currency,
            )
        return done

    async def _seal_next(self, connection: Connection, profile: Profile, run_id: str) -> Sealed:
        """One batch, inside one transaction: run, accounts, rules, counters, bytes, outbox."""
        run = await export_store.lock_run(connection, profile)
        if run is None or run.run_id != run_id:
            return Sealed(None, run_is_over=True)  # another exporter closed it
        store = self._applier.store
        claimed = await claims.claims_of(connection, store, profile, run)
        crash_point("export_selected")
        named = References(fines={fine.facts.key for fine in claimed.fines})
        named.patrons = {(run.institution_id, f.facts.patron_id) for f in claimed.fines}
        named.loans = _loans(claimed.fines)
        locked = await store.lock(connection, named)
        view = await store.view(connection, named, locked)
        due = await claims.still_due(connection, store, profile, run, claimed)
        after = replace(run, after=max(run.after, claimed.after), held_back=_added(run, claimed))
        if not due and not _seals_empty(profile, run, claimed):
            await export_store.advance_run(connection, after, closed=claimed.last)
            return Sealed(None, run_is_over=claimed.last)
        after = replace(after, parts=run.parts + 1)
        manifest = await self._seal(connection, profile, after, claimed, due, view, locked)
        await export_store.advance_run(connection, after, closed=claimed.last)
        return Sealed(manifest, run_is_over=claimed.last)

    async def _seal(
        self,
        connection: Connection,
        profile: Profile,
        run: OpenRun,
        claimed: Claims,
        due: Sequence[Fine],
        view: View,
        locked: Locked,
    ) -> Manifest:
        numbers = await export_store.take_numbers(connection, profile, len(due))
        ids = numbered(due, numbers.first_bursar_id)
        key = BatchKey(run.institution_id, profile.code, numbers.batch_number)
        events = [
            ExportFine(fine.facts.key, key, ids[fine.facts.key], profile.terms, run.cutoff)
            for fine in due
        ]
        changes = rules.fold(view, events)
        statuses = {t.fine.facts.key: t.fine.status for t in changes.transactions}
        lines = lines_of(due, ids, statuses, await self._refs(connection, due, ids))
        export_number, batch_number = numbers.export_number, numbers.batch_number
        batch = batch_of(profile, run.cutoff, export_number, batch_number, lines, view.patrons)
        proof = await asyncio.to_thread(prove, batch, self._schema)
        crash_point("export_rendered")
        previous = numbers.previous_sha256
        closing = Run(
            run_id=run.run_id,
            part=run.parts,
            last=claimed.last,
            mode=profile.mode,
            sealed_at=locked.recorded_at,
            previous_sha256=None if previous is None else previous.hex(),
            held_back=run.held_back,
        )
        manifest = manifest_of(batch, proof.document, proof.totals, closing)
        await self._publish(connection, manifest, proof)
        await self._applier.write(connection, changes, locked.recorded_at)
        crash_point("export_sealed")
        return manifest

    async def _publish(self, connection: Connection, manifest: Manifest, proof: Proof) -> None:
        source = self._applier.outputs.ce_source
        as_message = encode_manifest(manifest, source)
        assert as_message.value is not None
        at = manifest.sealed_at
        batch_message = encode_batch(manifest, proof.document, source)
        await outbox.put(connection, self._topics.batch, [batch_message], at)
        await export_store.seal(connection, manifest, proof.document, as_message.value)
        await outbox.put(connection, self._topics.manifest, [as_message], at)

    async def _refs(
        self, connection: Connection, due: Sequence[Fine], ids: Mapping[FineKey, str]
    ) -> Mapping[str, CreditRef]:
        """The live lines that credits refer to: in this batch, or sealed before."""
        meant = {
            FineKey(f.facts.institution_id, f.facts.credit_of)
            for f in due
            if f.facts.credit_of is not None
        }
        here = {
            f.facts.fine_id: CreditRef(ids[f.facts.key], f.facts.type)
            for f in due
            if f.facts.key in meant
        }
        return {**await export_store.credit_refs(connection, meant), **here}


def _seals_empty(profile: Profile, run: OpenRun, claimed: Claims) -> bool:
    """An empty batch ends a run whose earlier batch said that more would come."""
    if not claimed.last:
        return False
    return run.parts > 0 or profile.empty_run is EmptyRun.EMPTY_BATCH


def _added(run: OpenRun, claimed: Claims) -> dict[Refusal, int]:
    return dict(Counter(run.held_back) + Counter(claimed.held_back))


def _loans(fines: Sequence[Fine]) -> set[tuple[str, str]]:
    return {
        (fine.facts.institution_id, fine.facts.loan_id)
        for fine in fines
        if fine.facts.loan_id is not None
    }
