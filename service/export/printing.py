"""From the fines of a claim to the batch that prints them. Pure; amounts in minor units."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from ..core.ledger import Fine, FineKey, Patron
from ..core.words import Status
from .batch import Batch, BatchLine, BatchPatron, CreditRef, ordered
from .profiles.profile import Profile
from .selection import identifier_of


def numbered(due: Sequence[Fine], first_bursar_id: int) -> dict[FineKey, str]:
    """Bursar ids in the order of claim."""
    return {fine.facts.key: str(number) for number, fine in enumerate(due, start=first_bursar_id)}


def batch_of(
    profile: Profile,
    cutoff: datetime,
    export_number: int,
    batch_number: int,
    lines: Mapping[str, Sequence[BatchLine]],
    patrons: Mapping[tuple[str, str], Patron],
) -> Batch:
    """The batch of `lines`, which come by patron id, in the order the format wants."""
    printed = [
        patron_of(profile, patrons[(profile.institution_id, patron_id)], own)
        for patron_id, own in lines.items()
    ]
    return Batch(
        institution_id=profile.institution_id,
        profile=profile.code,
        export_number=export_number,
        batch_number=batch_number,
        cutoff=cutoff,
        currency=profile.currency,
        zone=profile.zone,
        patrons=ordered(printed),
        credit_references=profile.credit_references,
    )


def lines_of(
    due: Sequence[Fine],
    ids: Mapping[FineKey, str],
    statuses: Mapping[FineKey, Status],
    refs: Mapping[str, CreditRef],
) -> dict[str, list[BatchLine]]:
    """The lines of the claimed fines by patron id; `statuses` are those after the export."""
    lines: dict[str, list[BatchLine]] = defaultdict(list)
    for fine in due:
        key, credit_of = fine.facts.key, fine.facts.credit_of
        ref = refs.get(credit_of) if credit_of is not None else None
        lines[fine.facts.patron_id].append(line_of(fine, ids[key], statuses[key], ref))
    return lines


def patron_of(profile: Profile, patron: Patron, lines: Sequence[BatchLine]) -> BatchPatron:
    """A patron as the batch prints him; selection has seen that the identifier is there."""
    value = identifier_of(profile, patron.identifiers)
    assert value is not None
    return BatchPatron(patron.patron_id, profile.match, value, patron.name, tuple(lines))


def line_of(fine: Fine, bursar_id: str, status: Status, ref: CreditRef | None) -> BatchLine:
    """The line of `fine`, as it is before its export; `status` is the one after it."""
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
