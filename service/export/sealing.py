"""One batch of a run as it will be sealed, or as a preview shows it; nothing is written here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core import rules
from ..core.events import ExportFine
from ..core.ledger import BatchKey, Fine, FineKey
from ..core.words import Wait
from ..core.workspace import Changes, View
from ..database.ledger_store import LockedAccounts
from ..database.references import References
from ..database.session import Connection, run_in_thread
from ..runtime.crash import crash_point
from . import store as export_store
from .batch import CreditRef
from .claims import Claims
from .manifest import Manifest, Run, manifest_of
from .plan import Plan, claims_of_nothing
from .printing import batch_of, lines_of, numbered
from .profiles.profile import EmptyRun, Profile
from .store import Numbers, OpenRun
from .xml.proof import prove
from .xml.xsd import bursar_export_schema


@dataclass(frozen=True, slots=True)
class Part:
    """What one batch is made of. `earlier` are lines of this run that are not in the database."""

    profile: Profile
    run: OpenRun
    claimed: Claims
    due: Sequence[Fine]
    numbers: Numbers
    earlier: Mapping[str, CreditRef] = field(default_factory=dict)

    def with_due(self, due: Sequence[Fine]) -> "Part":
        """The same batch with only these of its fines."""
        return replace(self, due=due)


@dataclass(frozen=True, slots=True)
class Built:
    """The bytes, their manifest, what the ledger has to take in, and the run after it."""

    manifest: Manifest
    document: bytes
    changes: Changes
    run: OpenRun
    lines: Mapping[str, CreditRef]


async def build(connection: Connection, part: Part, view: View, locked: LockedAccounts) -> Built:
    """Rules, bytes, proof and manifest. Raises what `prove` and `manifest_of` raise.

    Beside the event loop: thousands of fines take seconds on a busy machine.
    """
    refs = await refs_of(connection, part)
    built = await run_in_thread(
        connection, len(part.due), lambda: built_of(part, view, locked, refs)
    )
    crash_point("export_rendered")
    return built


def built_of(
    part: Part, view: View, locked: LockedAccounts, refs: Mapping[str, CreditRef]
) -> Built:
    """The same; `refs` are the lines of earlier batches that credits refer to. Pure."""
    profile, run, numbers = part.profile, part.run, part.numbers
    ids = numbered(part.due, numbers.first_bursar_id)
    changes = rules.fold(view, _exports(part, ids))
    statuses = {one.fine.facts.key: one.fine.status for one in changes.transactions}
    here = {f.facts.fine_id: CreditRef(ids[f.facts.key], f.facts.type) for f in part.due}
    lines = lines_of(part.due, ids, statuses, {**refs, **here})
    export_number, batch_number = numbers.export_number, numbers.batch_number
    batch = batch_of(profile, run.cutoff, export_number, batch_number, lines, view.patrons)
    proof = prove(batch, bursar_export_schema())
    after = replace(advanced(run, part.claimed, part.due), parts=run.parts + 1)
    closing = _closing(part, after, locked)
    manifest = manifest_of(batch, proof.document, proof.totals, closing)
    return Built(manifest, proof.document, changes, after, here)


def _exports(part: Part, ids: Mapping[FineKey, str]) -> list[ExportFine]:
    profile, run = part.profile, part.run
    key = BatchKey(run.institution_id, profile.code, part.numbers.batch_number)
    return [
        ExportFine(fine.facts.key, key, ids[fine.facts.key], profile.terms, run.cutoff)
        for fine in part.due
    ]


def _closing(part: Part, after: OpenRun, locked: LockedAccounts) -> Run:
    """What the manifest says of the run; `after`: the run behind this batch."""
    previous = part.numbers.previous_sha256
    return Run(
        run_id=after.run_id,
        part=after.parts,
        last=part.claimed.last,
        mode=part.profile.mode,
        sealed_at=locked.recorded_at,
        previous_sha256=None if previous is None else previous.hex(),
        held_back=after.held_back,
    )


async def refs_of(connection: Connection, part: Part) -> Mapping[str, CreditRef]:
    """The live lines that credits of the batch refer to, in batches before this one."""
    meant = {
        FineKey(fine.facts.institution_id, fine.facts.credit_of)
        for fine in part.due
        if fine.facts.credit_of is not None
    }
    return {**await export_store.credit_refs(connection, meant), **part.earlier}


def advanced(run: OpenRun, claimed: Claims, due: Sequence[Fine]) -> OpenRun:
    """The run behind this claim: its mark, what it took of the patron there, who was held back."""
    after = max(run.after, claimed.after)
    own = sum(fine.remaining for fine in due if fine.facts.patron_id == after[0])
    taken = own + (run.taken if run.after[0] == after[0] else 0)
    held_back = dict(Counter(run.held_back) + Counter(claimed.held_back))
    return replace(run, after=after, taken=taken, held_back=held_back)


def between_steps(run: OpenRun, plan: Plan) -> tuple[OpenRun, Plan]:
    """The run and its plan after a step that did not complete the batch.

    The mark moves only where nothing is selected: a run of an older release goes on behind it.
    """
    if plan.selected:
        return run, plan
    moved = advanced(run, claims_of_nothing(plan), ())
    return moved, Plan(moved.after)


def seals_empty(profile: Profile, run: OpenRun, claimed: Claims) -> bool:
    """An empty batch ends a run whose earlier batch said that more would come."""
    if not claimed.last:
        return False
    return run.parts > 0 or profile.empty_run is EmptyRun.EMPTY_BATCH


def missed_by(view: View) -> list[FineKey]:
    """The fines that are known and yet waited for: a rival decided on them at the same instant."""
    waited_for = {
        FineKey(item.event.key.institution_id, item.fine_id)
        for item in view.parked.values()
        if item.wait is Wait.UNKNOWN_FINE and item.fine_id is not None
    }
    return sorted(waited_for & view.fines.keys())


def settled(view: View, lanes: Sequence[FineKey]) -> View:
    """The same ledger once what waits in these lanes was tried; nothing is written."""
    done = rules.fold(view, (), lanes)
    changed = {fine.facts.key: fine for fine in done.fines.added + done.fines.changed}
    gone = set(done.parked.removed)
    return replace(
        view,
        accounts={**view.accounts, **{one.key: one for one in done.accounts.written}},
        fines={**view.fines, **changed},
        parked={key: item for key, item in view.parked.items() if key not in gone},
    )


def references_of(fines: Sequence[Fine]) -> References:
    """What has to be locked and read to export them."""
    named = References(fines={fine.facts.key for fine in fines})
    named.patrons = {(fine.facts.institution_id, fine.facts.patron_id) for fine in fines}
    named.loans = {
        (fine.facts.institution_id, fine.facts.loan_id)
        for fine in fines
        if fine.facts.loan_id is not None
    }
    return named
