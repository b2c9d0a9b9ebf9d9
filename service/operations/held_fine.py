"""Shows for one fine which profiles would export it and what holds it back, and lets an operator
release it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
from ..database.failed_records import FailedChange, failed_changes
from ..database.ledger_read import LedgerReader
from ..database.references import references_of
from ..database.session import Connection, statements
from ..export.profiles.profile import Profiles
from ..export.reasons import DUE, mismatches
from ..export.schedule import pauses
from ..export.selection import Exclusion
from .held import Judgement, held_by_itself, is_held_by_itself, judge, with_causes
from .no_profile import group_of, in_words

SQL = statements("operators")

# What a person's decision ends; any other reason ends where its cause is.
RELEASABLE = (Exclusion.REFUSED, Exclusion.NOT_EXPORTABLE, Exclusion.CREDIT_UNCONFIRMED)
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
    Exclusion.ADOPTED_LINE: "a line that was published before the database was restored waits for"
    " it: see recovered lines, then recovered take or recovered drop",
    Exclusion.WAITS_FOR_FINE: "is a credit that waits for its fine: see held show of that fine",
}


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that decides whether one fine is exported now: the judgement of each profile, and
    changes of the fine on which the program failed.

    `judgements` has one entry for each profile of the fine's institution, and none if the fine is
    not open. `held_back` has the judgements that hold the fine back; if none does and the fine is
    held back all the same, it has one entry without a profile.
    """

    fine: Fine
    judgements: list[Judgement]
    held_back: list[Judgement]
    failed_changes: Sequence[FailedChange]


def subject_of(key: FineKey) -> Subject:
    """Returns the names and values by which a recorded operator decision refers to a fine."""
    return {"institution_id": key.institution_id, "fine_id": key.fine_id}


async def find_fine(connection: Connection, store: LedgerReader, key: FineKey) -> Fine | None:
    """Returns the fine as the ledger has it now; None if the fine is not known."""
    rows = await connection.fetch(SQL["fine"], *key)
    return next(iter(await store.fines_of(connection, rows)), None)


async def examine(
    connection: Connection, store: LedgerReader, profiles: Profiles, key: FineKey
) -> Examination | None:
    """Examines a fine together with the other open fines of its patron, since some rules look at
    all of them; returns None if the fine is not known.
    """
    fine = await find_fine(connection, store, key)
    if fine is None:
        return None
    failed = await failed_changes(connection, key)
    if not fine.is_open_in_library:
        return Examination(fine, [], [], failed)
    judgements = await _judgements(connection, store, profiles, fine)
    held_back = await _held_back(connection, profiles, fine, judgements)
    return Examination(fine, judgements, held_back, failed)


async def _judgements(
    connection: Connection, store: LedgerReader, profiles: Profiles, fine: Fine
) -> list[Judgement]:
    paused = await pauses(connection)
    facts = fine.facts
    patron_key = (facts.institution_id, facts.patron_id)
    patron = (await store.patrons(connection, {patron_key})).get(patron_key)
    group = group_of(fine, patron.user_group if patron else "")
    judgements = []
    for profile in profiles.of_institution(facts.institution_id):
        # A fine that is closed between two statements is in no evaluation any more.
        judgement = Judgement(fine, profile.code, None, DUE)
        if not profile.includes(group):
            words = "; ".join(mismatches(profile, group))
            judgement = Judgement(fine, profile.code, Exclusion.NOT_THIS_PROFILE, words)
        else:
            judged = judge(connection, store, profile, paused, facts.patron_id)
            async for other, reason, explanation in judged:
                if other.facts.key == facts.key:
                    words = explanation.words(other, reason)
                    judgement = Judgement(other, profile.code, reason, words)
        judgements.append(judgement)
    return await with_causes(connection, judgements)


async def _held_back(
    connection: Connection, profiles: Profiles, fine: Fine, judgements: list[Judgement]
) -> list[Judgement]:
    held_back = [judgement for judgement in judgements if judgement.is_held_back]
    if held_back or any(judgement.reason is None for judgement in judgements):
        return held_back
    if is_held_by_itself(fine):
        return await with_causes(connection, [held_by_itself(fine)])
    if all(judgement.reason is Exclusion.NOT_THIS_PROFILE for judgement in judgements):
        words = in_words(profiles, fine.facts.institution_id)
        return [Judgement(fine, None, Exclusion.NO_PROFILE, words)]
    return []


async def release(
    applier: Applier, profiles: Profiles, key: FineKey, justification: Justification
) -> DecisionResult:
    """Lets the next run export a fine that the bursar refused, that came as not exportable, or that
    is an unconfirmed credit; the release is one commit.

    For any other fine nothing is done, and the result says what holds it back.
    """
    subject = subject_of(key)
    async with applier.writer.pool.acquire() as connection:
        examination = await examine(connection, applier.store, profiles, key)
    if examination is None:
        return DecisionResult(subject, done=False, outcome="is not known")
    fine = examination.fine
    reasons = {judgement.reason for judgement in examination.held_back if judgement.reason}
    is_exportable = fine.facts.exportable or fine.released
    if fine.refused_reason is None and is_exportable and not fine.amendment.unconfirmed:
        return DecisionResult(subject, done=False, outcome=_remedy(fine, reasons))

    async def work(connection: Connection) -> str:
        event = ReleaseFine(key)
        changes = await applier.apply_events(connection, references_of((event,)), (event,))
        if GONE in changes.outcomes:
            raise DecisionNotPossible("is not open any more")
        if not changes.fines.changed:
            raise DecisionNotPossible("is released already")
        rest = sorted(reason.value for reason in reasons.difference(RELEASABLE))
        rest += ["a change of it has failed"] if examination.failed_changes else []
        return "released" + (f", but still held back: {', '.join(rest)}" if rest else "")

    decision = Decision("held_release", key.institution_id, subject, justification)
    return await carry_out(applier, decision, work)


def _remedy(fine: Fine, reasons: set[Exclusion]) -> str:
    if not fine.is_open_in_library:
        return f"is not open: {fine.status}"
    return "; ".join(sorted(REMEDIES[reason] for reason in reasons)) or "is not held back"
