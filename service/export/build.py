"""Builds one batch from its fines: applies the rules, prints the XML, proves it, and makes the
manifest. Pure.

Amounts are in signed minor units of the profile's currency.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..core import rules
from ..core.bursar_ids import bursar_id
from ..core.events import ExportFine
from ..core.ledger import BatchKey, Fine, FineKey, Patron
from ..core.words import Status
from ..core.workspace import Changes, PatronKey, View
from .batch import Batch, BatchLine, BatchPatron, CreditRef, ordered, place_in_patron
from .manifest import Manifest, manifest_of
from .profiles.profile import Profile
from .run import Numbers, OpenRun
from .selection import identifier_of
from .xml.proof import print_proved


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything from which a batch is built.

    `run` is the run as it will be after this batch, and `is_last` says that the run makes no
    further batch. `due` are the fines to be exported, sorted by patron and fine id. `credit_refs`
    has, by fine id, lines of earlier batches: those of the fines that credits of this batch belong
    to.
    """

    profile: Profile
    run: OpenRun
    is_last: bool
    due: Sequence[Fine]
    numbers: Numbers
    credit_refs: Mapping[str, CreditRef]

    @property
    def key(self) -> BatchKey:
        """Returns institution, profile and number of the batch."""
        return BatchKey(self.run.institution_id, self.profile.code, self.numbers.batch_number)


@dataclass(frozen=True, slots=True)
class BuiltBatch:
    """A printed batch: its bytes, its manifest, and the changes of the ledger that export its
    fines.

    `credit_refs` has the exported lines of this batch by fine id; credits in later batches may name
    them.
    """

    manifest: Manifest
    document: bytes
    changes: Changes
    credit_refs: Mapping[str, CreditRef]


def build(draft: Draft, view: View, sealed_at: datetime) -> BuiltBatch:
    """Builds the batch of a draft from the ledger's state in `view`. Raises as `print_batch`."""
    return print_batch(draft, decide(draft, view), view, sealed_at)


def decide(draft: Draft, view: View) -> Changes:
    """Returns how the export of the draft's fines changes the ledger's state in `view`."""
    return rules.fold(view, _exports(draft, _ids_in_printed_order(draft)))


def print_batch(draft: Draft, changes: Changes, view: View, sealed_at: datetime) -> BuiltBatch:
    """Prints a draft's batch and proves the bytes; `changes` are the effects of its export.

    Raises InvalidBatch, UnreadableDocument, NotReadBack or TotalsDiffer if the bytes would not say
    the same as the fines.
    """
    profile, run, numbers = draft.profile, draft.run, draft.numbers
    ids = _ids_of_lines(draft.key, changes)
    statuses = {effect.fine.facts.key: effect.fine.status for effect in changes.transactions}
    refs = {
        fine.facts.fine_id: CreditRef(ids[fine.facts.key], fine.facts.type) for fine in draft.due
    }
    lines = lines_of(draft.due, ids, statuses, {**draft.credit_refs, **refs})
    batch = batch_of(
        profile, run.cutoff, numbers.export_number, numbers.batch_number, lines, view.patrons
    )
    document, totals = print_proved(batch)
    manifest = manifest_of(
        batch,
        document,
        totals,
        run,
        terms=profile.terms,
        is_last=draft.is_last,
        sealed_at=sealed_at,
        previous_sha256=numbers.previous_sha256,
    )
    return BuiltBatch(manifest, document, changes, refs)


def _ids_of_lines(batch: BatchKey, changes: Changes) -> dict[FineKey, str]:
    """The bursar ids of the lines that the changes add to a batch, by the fines of the lines."""
    return {
        FineKey(batch.institution_id, line.fine_id): line.key.bursar_transaction_id
        for line in changes.lines.added
        if line.batch == batch
    }


def _ids_in_printed_order(draft: Draft) -> dict[FineKey, str]:
    """The bursar ids of the fines, which ascend in the order in which the file prints the lines."""
    facts = sorted(
        (fine.facts for fine in draft.due),
        key=lambda each: (each.patron_id, place_in_patron(each.item, each.fine_id)),
    )
    first = draft.numbers.first_line_number
    return {each.key: bursar_id(number) for number, each in enumerate(facts, start=first)}


def _exports(draft: Draft, ids: Mapping[FineKey, str]) -> list[ExportFine]:
    """The exports of a batch: those of credits last, because a credit may go the way of its fine.

    The order of the lines and of their numbers is not changed by this.
    """
    key, profile, cutoff = draft.key, draft.profile, draft.run.cutoff
    return [
        ExportFine(fine.facts.key, key, ids[fine.facts.key], profile.terms, cutoff)
        for fine in sorted(draft.due, key=lambda fine: fine.facts.is_credit)
    ]


def batch_of(
    profile: Profile,
    cutoff: datetime,
    export_number: int,
    batch_number: int,
    lines: Mapping[str, Sequence[BatchLine]],
    patrons: Mapping[PatronKey, Patron],
) -> Batch:
    """Makes a batch of these lines, which are given by patron id, in the order in which they are
    printed.
    """
    return Batch(
        institution_id=profile.institution_id,
        profile=profile.code,
        export_number=export_number,
        batch_number=batch_number,
        cutoff=cutoff,
        currency=profile.currency,
        zone=profile.zone,
        patrons=ordered(
            patron_of(profile, patrons[(profile.institution_id, patron_id)], lines_of_patron)
            for patron_id, lines_of_patron in lines.items()
        ),
        credit_references=profile.credit_references,
    )


def lines_of(
    due: Sequence[Fine],
    ids: Mapping[FineKey, str],
    statuses: Mapping[FineKey, Status],
    refs: Mapping[str, CreditRef],
) -> dict[str, list[BatchLine]]:
    """Returns the exported lines of the fines by patron id; `statuses` are the fines' statuses
    after the export.
    """
    lines: dict[str, list[BatchLine]] = defaultdict(list)
    for fine in due:
        key, credit_of = fine.facts.key, fine.facts.credit_of
        ref = refs.get(credit_of) if credit_of is not None else None
        lines[fine.facts.patron_id].append(line_of(fine, ids[key], statuses[key], ref))
    return lines


def patron_of(profile: Profile, patron: Patron, lines: Sequence[BatchLine]) -> BatchPatron:
    """Returns a patron as the batch prints them; the selection has made sure that they have the
    identifier.
    """
    value = identifier_of(profile, patron.identifiers)
    assert value is not None
    return BatchPatron(patron.patron_id, profile.match, value, patron.name, tuple(lines))


def line_of(fine: Fine, bursar_id: str, status: Status, ref: CreditRef | None) -> BatchLine:
    """Returns the exported line of a fine that has not been exported yet; `status` is its status
    after the export.

    `ref` is the line of the fine that a credit belongs to.
    """
    facts = fine.facts
    return BatchLine(
        bursar_transaction_id=bursar_id,
        fine_id=facts.fine_id,
        type=facts.type,
        amount=fine.remaining,
        status=status,
        last_transaction_at=fine.changed_at or facts.created_at,
        owner=facts.owner,
        comment=facts.comment,
        item=facts.item,
        credit_ref=ref if facts.credit_of is not None else None,
    )
