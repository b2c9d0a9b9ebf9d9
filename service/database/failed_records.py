"""Stores records for which the program raised an internal error, and finds the fines that are not
exported because of them.

A record that fails when it arrives is stored in the table `parked_error`. A record that was parked
before and fails when it is tried again stays in `parked` and gets a row in `parked_failure`. Both
wait until an operator decides; a fine is not exported as long as a change of it has failed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ..core.events import FailedRecord, ParkedKey
from ..core.ledger import Fine, FineKey
from .outbox import pack_headers
from .session import Connection, statements
from .tables import Table, key_columns

FAILED_RECORD: Table[FailedRecord] = Table(
    "parked_error",
    "origin.topic origin.partition origin.offset:record_offset institution_id error"
    " origin.key:record_key origin.value:record_value origin.headers:record_headers"
    " origin.traceparent fine_id origin.timestamp_ms:record_timestamp_ms",
    3,
    stored={"record_headers": pack_headers},
)


@dataclass(frozen=True, slots=True)
class FailedChange:
    """A change of a fine that failed with an internal error or belongs to a stopped topic, and
    waits for an operator. `source` and `id` are None if the program could not read them from the
    record.
    """

    source: str | None
    id: str | None
    error: str
    topic: str
    partition: int
    record_offset: int


async def put_parked_errors(connection: Connection, records: Sequence[FailedRecord]) -> None:
    """Writes records that failed when they arrived to the table `parked_error`, with their bytes,
    inside the caller's transaction.
    """
    sql = statements("ledger")
    for record in records:
        origin = record.origin
        same_place = (*origin[:3], origin.key, origin.value)
        await connection.execute(sql["move_earlier_parked_error"], *same_place)
        await connection.execute(sql["put_parked_error"], *FAILED_RECORD.row(record))


async def longest_row(
    connection: Connection, records: Sequence[FailedRecord], records_max: int
) -> int:
    """Returns how many consecutive records of a partition have failed: the largest such number that
    ends with one of `records`.

    Only records in `parked_error` are counted, and at most `records_max`. The records are counted
    in the database and not in memory, so that the count survives a restart of the process.
    """
    query = statements("ledger")["parked_errors_in_a_row"]
    counts = [await connection.fetchval(query, *r.origin[:3], records_max) for r in records]
    return max(counts, default=0)


async def put_parked_failures(connection: Connection, keys: Sequence[ParkedKey], error: str) -> int:
    """Marks records of the table `parked` as failed with this error; returns how many of them were
    not marked before.

    Records that another database session has marked or discarded in the meantime are ignored.
    """
    records = [(key.institution_id, record, key.source, key.id) for record, key in keys]
    query = statements("ledger")["put_parked_failures"]
    return len(await connection.fetch(query, *key_columns(records, 4), error))


async def fines_that_wait(
    connection: Connection,
    institution_id: str,
    fines: Iterable[Fine],
    left_out: Collection[ParkedKey] = (),
) -> frozenset[str]:
    """Returns the ids of those of the institution's fines that have a change for which the program
    failed.

    `left_out` names parked records that the caller could not read: they count as failed although
    the database does not mark them yet.
    """
    fine_ids = sorted({fine.facts.fine_id for fine in fines})
    changes = sorted(key for record, key in left_out if record == "change")
    rows = await connection.fetch(
        statements("export")["fines_with_failed_changes"],
        institution_id,
        fine_ids,
        [key.source for key in changes],
        [key.id for key in changes],
    )
    return frozenset(row["fine_id"] for row in rows)


async def failed_changes(connection: Connection, fine: FineKey) -> Sequence[FailedChange]:
    """Returns the changes of the fine for which the program failed, in each topic the oldest record
    first.
    """
    rows = await connection.fetch(statements("operators")["failed_changes_of_fine"], *fine)
    return [FailedChange(**row) for row in rows]
