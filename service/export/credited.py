"""Finds the fines that the credits of a run belong to, because a credit is exported in the same way
as its fine.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ..core.credits import credited, key_of_credited
from ..core.ledger import Fine, FineKey
from ..database.ledger_read import LedgerReader
from ..database.session import Connection
from .run import OpenRun


async def fines_of_credits(
    connection: Connection,
    store: LedgerReader,
    run: OpenRun,
    groups: Sequence[Sequence[Fine]],
    known: Mapping[FineKey, Fine] = MappingProxyType({}),
) -> Mapping[FineKey, Fine]:
    """Returns, by their keys, the fines that credits of these groups belong to and that are not in
    the groups themselves.

    Fines in `known` are not read again, and all of them are part of the result, even those that no
    credit belongs to. In a preview, fines that its earlier batches would have exported are returned
    in their state after that export.
    """
    here = {fine.facts.key for group in groups for fine in group}
    named = {
        key
        for group in groups
        for fine in group
        if (key := key_of_credited(fine)) is not None and key not in here
    }
    unread = named - known.keys() - run.exported.keys()
    read = await store.fines_by_key(connection, unread) if unread else {}
    return {**known, **read, **run.exported}


def credited_fines_of(fines: Sequence[Fine], others: Mapping[FineKey, Fine]) -> dict[str, Fine]:
    """Returns the fine that each credit of a patron belongs to, by the id of the credit.

    The fine that a credit belongs to is either among the patron's own `fines` or among `others`.
    """
    named = [fine for fine in fines if fine.facts.credit_of is not None]
    if not named:
        return {}
    here = {fine.facts.key: fine for fine in fines}
    pairs = ((credit, credited(credit, here) or credited(credit, others)) for credit in named)
    return {credit.facts.fine_id: fine for credit, fine in pairs if fine is not None}
