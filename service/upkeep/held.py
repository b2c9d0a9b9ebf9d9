"""Open fines that are held back, by the selection the runs themselves use; and their release."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.apply import Applier
from service.core.events import ReleaseFine
from service.core.ledger import Fine, FineKey
from service.core.operators import GONE
from service.core.words import Status
from service.database import export_store
from service.database.export_store import OpenRun
from service.database.failed_changes import FailedChange
from service.database.ledger_store import LedgerStore
from service.database.pool import Connection
from service.database.references import references
from service.database.statements import statements
from service.export import claims
from service.export.profile import Profile, Profiles
from service.export.selection import Refusal
from service.upkeep.audit import Said, Subject, Told, Undone, decided, put_action

SQL = statements("operators")
NO_PROFILES = Profiles((), ())

# What a person's word ends; the rest ends where its cause lies.
RELEASABLE = (Refusal.REFUSED, Refusal.NOT_EXPORTABLE)
REMEDIES = {
    Refusal.IN_DISPUTE: "is in dispute: the library restores it (fine-changed, kind restored)",
    Refusal.NO_IDENTIFIER: "the patron has none or several identifiers of the profile's type:"
    " a newer fine-created of the patron brings them",
    Refusal.NO_PATRON_NAME: "the patron has no name: a newer fine-created of the patron brings it",
    Refusal.UNKNOWN_TYPE: "no profile of the institution knows its type: add it to one",
    Refusal.NOT_EXPORTABLE: "waits for a change on which the program failed: see held show, then"
    " parked release or parked discard",
    Refusal.BAD_TEXT: "a code or identifier of it cannot be printed as it is",
}


@dataclass(frozen=True, slots=True)
class HeldFine:
    """An open fine that one profile (None: any) would hold back now; amounts in minor units."""

    fine: Fine
    profile: str | None
    reason: Refusal

    @property
    def told(self) -> str | None:
        """The bursar's own word on a refused line."""
        return self.fine.refused_reason

    @property
    def since(self) -> datetime | None:
        return self.fine.changed_at


async def find(
    connection: Connection,
    store: LedgerStore,
    profiles: Profiles,
    institution_id: str | None = None,
    profile: str | None = None,
) -> list[HeldFine]:
    """What the next runs would count as held back, and what is held in no profile's reach."""
    chosen = [
        one
        for one in profiles.profiles
        if institution_id in (None, one.institution_id) and profile in (None, one.code)
    ]
    rest: dict[FineKey, Fine] = {}
    if profile is None:
        rows = await connection.fetch(SQL["held"], institution_id)
        rest = {fine.facts.key: fine for fine in await store.fines_of(connection, rows)}
    found = []
    for one in chosen:
        async for looked in claims.patrons_of(connection, store, one, await _run(connection, one)):
            for fine, refusal in looked.fines:
                if refusal is None or refusal.is_held_back:
                    rest.pop(fine.facts.key, None)
                if refusal is not None and refusal.is_held_back:
                    found.append(HeldFine(fine, one.code, refusal))
    found += [HeldFine(fine, None, reason_of(fine)) for fine in rest.values()]
    return sorted(found, key=lambda one: (*one.fine.facts.key, one.profile or ""))


def reason_of(fine: Fine) -> Refusal:
    """Without a profile, in the selection's order."""
    if fine.status is Status.IN_DISPUTE:
        return Refusal.IN_DISPUTE
    if not (fine.facts.exportable or fine.released):
        return Refusal.NOT_EXPORTABLE
    return Refusal.REFUSED


async def _run(connection: Connection, profile: Profile) -> OpenRun:
    """The run that would come next, from its first patron on."""
    return replace(await export_store.new_run(connection, profile), after=("", ""))


async def find_fine(connection: Connection, store: LedgerStore, key: FineKey) -> Fine | None:
    rows = await connection.fetch(SQL["fine"], *key)
    return next(iter(await store.fines_of(connection, rows)), None)


async def verdicts(
    connection: Connection, store: LedgerStore, profiles: Profiles, fine: Fine
) -> list[tuple[str, Refusal | None]]:
    """What each profile of the institution would say of it now, beside all the patron has open.

    None: it is due. Nothing at all for a fine that is not open.
    """
    found: list[tuple[str, Refusal | None]] = []
    if not fine.is_open_in_library:
        return found
    patron_ids = [fine.facts.patron_id]
    for profile in profiles.of_institution(fine.facts.institution_id):
        if profile.currency != fine.facts.currency:
            found.append((profile.code, Refusal.NOT_THIS_PROFILE))
            continue
        run = await _run(connection, profile)
        fines = await export_store.open_fines_of_patrons(
            connection, store, profile, run.after, patron_ids
        )
        key, groups = fine.facts.key, [fines] if fines else []
        for looked in await claims.look_at(connection, store, profile, run, groups):
            found += [(profile.code, said) for one, said in looked.fines if one.facts.key == key]
    return found


async def why(
    connection: Connection, store: LedgerStore, profiles: Profiles, fine: Fine
) -> list[tuple[str | None, Refusal]]:
    """The profiles of the institution that hold this fine back, and why."""
    if not fine.is_open_in_library:
        return []
    told = await verdicts(connection, store, profiles, fine)
    held: list[tuple[str | None, Refusal]] = [
        (code, said) for code, said in told if said is not None and said.is_held_back
    ]
    is_due = any(said is None for _, said in told)
    return held if held or is_due or not _is_held(fine) else [(None, reason_of(fine))]


def _is_held(fine: Fine) -> bool:
    return (
        fine.status is Status.IN_DISPUTE
        or fine.refused_reason is not None
        or not (fine.facts.exportable or fine.released)
    )


def subject_of(key: FineKey) -> Subject:
    return {"institution_id": key.institution_id, "fine_id": key.fine_id}


async def release(
    applier: Applier,
    fine: Fine,
    reasons: Sequence[tuple[str | None, Refusal]],
    said: Said,
    failed: Sequence[FailedChange] = (),
) -> Told:
    """Offers a refused or not exportable fine to the next run; tells why any other is held."""
    key = fine.facts.key
    subject = subject_of(key)
    if fine.refused_reason is None and (fine.facts.exportable or fine.released):
        return Told(subject, done=False, outcome=_remedy(fine, reasons))

    async def work(connection: Connection) -> str:
        event = ReleaseFine(key)
        changes = await applier.apply_events(connection, references((event,)), (event,))
        if GONE in changes.outcomes:
            raise Undone("is not open any more")
        if not changes.fines_changed:
            raise Undone("is released already")
        rest = sorted({reason.value for _, reason in reasons if reason not in RELEASABLE})
        rest += ["a change of it has failed"] if failed else []
        outcome = "released" + (f", but still held back: {', '.join(rest)}" if rest else "")
        await put_action(connection, said, "held_release", key.institution_id, subject, outcome)
        return outcome

    return await decided(applier, subject, work)


def _remedy(fine: Fine, reasons: Sequence[tuple[str | None, Refusal]]) -> str:
    if not fine.is_open_in_library:
        return f"is not open: {fine.status}"
    if not reasons:
        return "is not held back"
    return "; ".join(sorted({REMEDIES[reason] for _, reason in reasons}))
