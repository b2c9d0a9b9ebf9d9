"""The fines that the credits of a run are credits of: a credit goes the way of its fine."""

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
    """The fines that the credits of the groups name, as far as they are in no group themselves.

    Those that are `known` need not be read. Fines that earlier batches of a preview export are as
    they are after that.
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
    """The fines of a patron's credits, by the ids of the credits.

    They are among the patron's own `fines` that are evaluated, or among `others`.
    """
    named = [fine for fine in fines if fine.facts.credit_of is not None]
    if not named:
        return {}
    here = {fine.facts.key: fine for fine in fines}
    pairs = ((credit, credited(credit, here) or credited(credit, others)) for credit in named)
    return {credit.facts.fine_id: fine for credit, fine in pairs if fine is not None}
