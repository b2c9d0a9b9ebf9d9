"""The release of open fines that are held back: one decision, one commit."""

from collections.abc import Sequence

from ..apply.applier import Applier
from ..apply.operator_actions import (
    Decision,
    DecisionNotPossible,
    DecisionResult,
    Justification,
    Subject,
    carry_out,
)
from ..core.events import ReleaseFine
from ..core.ledger import Fine, FineKey
from ..core.outcomes import GONE
from ..database.failed_records import FailedChange
from ..database.references import references_of
from ..database.session import Connection
from ..export.selection import Exclusion
from .held_verdicts import Verdict

# What a person's decision ends; the rest ends where its cause lies.
RELEASABLE = (Exclusion.REFUSED, Exclusion.NOT_EXPORTABLE)
REMEDIES = {
    Exclusion.IN_DISPUTE: "is in dispute: the library restores it (fine-changed, kind restored)",
    Exclusion.NO_IDENTIFIER: "the patron has none or several identifiers of the profile's type:"
    " a newer fine-created of the patron brings them",
    Exclusion.NO_PATRON_NAME: "the patron has no name:"
    " a newer fine-created of the patron brings it",
    Exclusion.NO_PROFILE: "no profile of the institution takes it: add its type, currency, owner or"
    " user group to one",
    Exclusion.NOT_EXPORTABLE: "waits for a change on which the program failed: see held show, then"
    " parked release or parked discard",
    Exclusion.BAD_TEXT: "a code or identifier of it cannot be printed as it is",
}


def subject_of(key: FineKey) -> Subject:
    return {"institution_id": key.institution_id, "fine_id": key.fine_id}


async def release(
    applier: Applier,
    fine: Fine,
    reasons: Sequence[Verdict],
    justification: Justification,
    failed: Sequence[FailedChange] = (),
) -> DecisionResult:
    """Offers a refused or not exportable fine to the next run; tells why any other is held."""
    key = fine.facts.key
    subject = subject_of(key)
    if fine.refused_reason is None and (fine.facts.exportable or fine.released):
        return DecisionResult(subject, done=False, outcome=_remedy(fine, reasons))

    async def work(connection: Connection) -> str:
        event = ReleaseFine(key)
        changes = await applier.apply_events(connection, references_of((event,)), (event,))
        if GONE in changes.outcomes:
            raise DecisionNotPossible("is not open any more")
        if not changes.fines.changed:
            raise DecisionNotPossible("is released already")
        rest = sorted(
            {one.reason.value for one in reasons if one.reason and one.reason not in RELEASABLE}
        )
        rest += ["a change of it has failed"] if failed else []
        return "released" + (f", but still held back: {', '.join(rest)}" if rest else "")

    decision = Decision("held_release", key.institution_id, subject, justification)
    return await carry_out(applier, decision, work)


def _remedy(fine: Fine, reasons: Sequence[Verdict]) -> str:
    if not fine.is_open_in_library:
        return f"is not open: {fine.status}"
    if not reasons:
        return "is not held back"
    return "; ".join(sorted({REMEDIES[one.reason] for one in reasons if one.reason}))
