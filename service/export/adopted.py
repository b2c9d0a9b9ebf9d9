"""Prints batches again that a recovery has adopted from their manifests alone: the database that
was lost had not published their XML yet.

The bytes that are printed again are used only if they have the SHA-256 that the manifest names,
because the bursar may have been told of the batch that was sealed. If the fines' texts have changed
since, such as a patron's name, the bytes are others, and a person decides what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import asyncpg

from ..core.ledger import BatchKey, Fine, FineKey, Patron
from ..core.words import Status
from ..core.workspace import PatronKey
from ..database import outbox
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, run_in_thread, statements
from . import store as export_store
from .batch import CreditRef
from .build import batch_of, lines_of
from .profiles.profile import Profile
from .publish import SealedBefore, encode_batch
from .selection import identifier_of
from .xml.write import render

SQL = statements("recovery")


async def printable(connection: Connection) -> list[BatchKey]:
    """Returns the adopted batches without XML whose lines have all been taken by their fines."""
    return [BatchKey(*row.values()) for row in await connection.fetch(SQL["printable"])]


async def print_again(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    key: BatchKey,
    topic: str,
    ce_source: str,
) -> bool | None:
    """Prints the XML of an adopted batch again in the caller's transaction and puts it into the
    outbox.

    Returns whether the bytes have the SHA-256 of the manifest. Bytes with another SHA-256 are
    neither stored nor sent. Returns None if another instance has printed the batch already.
    """
    sealed = await connection.fetchrow(SQL["lock_unprinted"], *key)
    if sealed is None:
        return None
    document = await _document(connection, store, profile, key, sealed)
    if document is None or sha256(document).digest() != sealed["sha256"]:
        await connection.execute(SQL["set_document"], *key, "differs")
        return False
    before = SealedBefore(
        *key,
        sealed["sealed_at"],
        sealed["currency"],
        sealed["fine_count"],
        sealed["total"],
        sealed["sha256"].hex(),
        sealed["file_name"],
    )
    message = encode_batch(before, document, ce_source)
    await outbox.put(connection, topic, [message], sealed["sealed_at"])
    packed = outbox.pack_headers(message.headers)
    await connection.execute(SQL["put_bytes"], *key, document, packed)
    await connection.execute(SQL["set_document"], *key, "rendered")
    return True


async def _document(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    key: BatchKey,
    sealed: asyncpg.Record,
) -> bytes | None:
    """The bytes as they come out now; None if a patron or an identifier is not there any more."""
    rows = await connection.fetch(SQL["lines_to_print"], *key)
    keys = [FineKey(key.institution_id, row["fine_id"]) for row in rows]
    known = await store.fines_by_key(connection, keys)
    due = [_before_export(known[each], row) for each, row in zip(keys, rows, strict=True)]
    patrons = await store.patrons(
        connection, {(key.institution_id, fine.facts.patron_id) for fine in due}
    )
    if not _are_printable(profile, due, patrons):
        return None
    ids = {each: row["bursar_transaction_id"] for each, row in zip(keys, rows, strict=True)}
    statuses = {each: Status(row["fine_status"]) for each, row in zip(keys, rows, strict=True)}
    credited = {
        FineKey(key.institution_id, fine.facts.credit_of)
        for fine in due
        if fine.facts.credit_of is not None
    }
    refs = {
        **await export_store.credit_refs(connection, credited),
        **{fine.facts.fine_id: CreditRef(ids[fine.facts.key], fine.facts.type) for fine in due},
    }
    number = int(sealed["export_number"])

    def printed() -> bytes:
        export_lines = lines_of(due, ids, statuses, refs)
        batch = batch_of(profile, sealed["cutoff"], number, key.batch_number, export_lines, patrons)
        return render(batch)

    return await run_in_thread(connection, len(due), printed)


def _before_export(fine: Fine, row: asyncpg.Record) -> Fine:
    """The fine as it was when it was exported, as far as a line prints it."""
    return replace(fine, remaining=row["amount"], changed_at=row["changed_at"])


def _are_printable(
    profile: Profile, due: Sequence[Fine], patrons: Mapping[PatronKey, Patron]
) -> bool:
    """Whether each patron has a name and the identifier by which the profile matches them."""
    printed_for = [patrons.get((f.facts.institution_id, f.facts.patron_id)) for f in due]
    return all(
        patron is not None
        and bool(patron.name.strip())
        and identifier_of(profile, patron.identifiers) is not None
        for patron in printed_for
    )
