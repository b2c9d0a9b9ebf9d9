"""Records on which the program failed, into their tables."""

from collections.abc import Sequence

from ..core.events import FailedRecord, ParkedKey
from .ledger_store import columns
from .rows import pack_headers
from .session import Connection, statements


async def put_parked_errors(connection: Connection, records: Sequence[FailedRecord]) -> None:
    """Incoming records, with their bytes, in the commit that moves their offsets."""
    sql = statements("ledger")
    for record in records:
        came = record.origin
        await connection.execute(sql["move_earlier_parked_error"], *came[:3], came.key, came.value)
        await connection.execute(
            sql["put_parked_error"],
            came.topic,
            came.partition,
            came.offset,
            record.institution_id,
            record.error,
            came.key,
            came.value,
            pack_headers(came.headers),
            came.traceparent,
            record.fine_id,
        )


async def longest_row(
    connection: Connection, records: Sequence[FailedRecord], records_max: int
) -> int:
    """How many records in a row, the last of them one of `records`, are parked as errors.

    At most `records_max` are counted. That is asked of the database: a process that is started
    again and again remembers no row.
    """
    longest = 0
    for record in records:
        count = await connection.fetchval(
            statements("ledger")["parked_errors_in_a_row"], *record.origin[:3], records_max
        )
        longest = max(longest, count)
    return longest


async def put_parked_failures(connection: Connection, keys: Sequence[ParkedKey], error: str) -> int:
    """Parked records: they stay where they are, and are not read again until a person decides.

    Those that somebody else has marked or discarded meanwhile are passed over. Returns how many are
    marked now that were not before.
    """
    named = [(key.institution_id, record, key.source, key.id) for record, key in keys]
    put = statements("ledger")["put_parked_failures"]
    return len(await connection.fetch(put, *columns(named, 4), error))
