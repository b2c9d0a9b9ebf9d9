"""Reads and writes the stops of input topics: which topics bad records have stopped, how many bad
records came in a row, and which records wait until an operator ends the stop.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..core.breaker import (
    NOTHING,
    BadCount,
    BadCounts,
    Stop,
    StopKey,
    StoppedRecord,
)
from ..core.ledger import Origin
from .encodings import origin_of
from .outbox import pack_headers
from .session import Connection, statements
from .tables import Cells, columns_of, key_columns

SQL = statements("stops")
NAMED_MAX = 5
# Of `stopped_record`; the column `arrival` numbers the rows as they come.
COLUMNS = (
    "topic partition record_offset institution_id fine_id record_key record_value record_headers"
    " traceparent record_timestamp_ms"
).split()


@dataclass(frozen=True, slots=True)
class StopState:
    """A stopped topic as `intake list` shows it. `records` is the number of its records that wait
    in the database; `resumed_at` is when an operator ended the stop, None if nobody has.
    """

    key: StopKey
    bad_records: int
    reason: str
    stopped_at: datetime
    resumed_at: datetime | None
    records: int

    @property
    def state(self) -> str:
        """`stopped`, or `resuming` while the service applies the waiting records after an operator
        has ended the stop.
        """
        return "stopped" if self.resumed_at is None else "resuming"

    @property
    def in_words(self) -> str:
        """A sentence that says which topic is stopped, for which institution, and after how many
        bad records.
        """
        whom = "" if self.key.is_of_topic else f" for institution {self.key.institution_id}"
        why = f"after {self.bad_records} bad records in a row (last: {self.reason})"
        return f"{self.key.topic} is stopped{whom} {why}"


async def stops_of_topics(connection: Connection, topics: Collection[str]) -> frozenset[StopKey]:
    """Returns the stops of these topics, and locks their rows so that no stop ends before the
    caller's transaction commits.
    """
    rows = await connection.fetch(SQL["stops_of_topics"], sorted(topics))
    return frozenset(StopKey(*row.values()) for row in rows)


async def stops_made_meanwhile(
    connection: Connection, topics: Collection[str]
) -> frozenset[StopKey]:
    """Returns the stops of these topics without locking their rows: a session that resumes a topic
    locks its stop first and the counts of bad records later, and the caller has the counts locked.
    """
    rows = await connection.fetch(SQL["stops_made_meanwhile"], sorted(topics))
    return frozenset(StopKey(*row.values()) for row in rows)


async def counts_of_topics(connection: Connection, topics: Collection[str]) -> BadCounts:
    """Returns how many bad records in a row each of these topics has had, by topic and institution,
    without locking the rows.
    """
    return await _counts(connection, "counts_of_topics", topics)


async def lock_counts(connection: Connection, keys: Collection[StopKey]) -> BadCounts:
    """Returns and locks all counts of bad records of the topics in `keys`; inserts a row for each
    key that has none.
    """
    await connection.execute(SQL["insert_missing_counts"], *key_columns(keys, 2))
    return await _counts(connection, "lock_counts", {key.topic for key in keys})


async def _counts(connection: Connection, statement: str, topics: Collection[str]) -> BadCounts:
    rows = await connection.fetch(SQL[statement], sorted(topics))
    return {
        StopKey(row["topic"], row["institution_id"]): BadCount(row["in_a_row"], row["in_topic"])
        for row in rows
    }


async def write_counts(connection: Connection, counts: Mapping[StopKey, BadCount]) -> None:
    """Writes counts of bad records whose rows the caller has locked; a count of 0 is stored by
    deleting its row.
    """
    if gone := [key for key, count in counts.items() if count == NOTHING]:
        await connection.execute(SQL["delete_counts"], *key_columns(gone, 2))
    rows = sorted((*key, *count) for key, count in counts.items() if count != NOTHING)
    if rows:
        await connection.execute(SQL["write_counts"], *columns_of(rows))


async def put_stop(connection: Connection, stop: Stop) -> None:
    """Stores that a topic is stopped for an institution or for all, also if an operator has resumed
    it before.
    """
    await connection.execute(SQL["put_stop"], *stop.key, stop.bad_records, stop.reason.value)


async def put_stopped(connection: Connection, records: Iterable[StoppedRecord]) -> None:
    """Stores records of stopped topics that have to wait; they come after those that wait
    already.
    """
    rows = list(map(_row_of, records))
    await connection.copy_records_to_table("stopped_record", records=rows, columns=COLUMNS)


def _row_of(record: StoppedRecord) -> Cells:
    topic, partition, offset, key, value, headers, traceparent, timestamp_ms = record.origin
    named = (topic, partition, offset, record.institution_id, record.fine_id)
    return (*named, key, value, pack_headers(headers), traceparent, timestamp_ms)


async def resumed_stops(connection: Connection) -> Sequence[StopKey]:
    """Returns the stops of single institutions that an operator has ended and whose records the
    service may now apply.
    """
    return [StopKey(*row.values()) for row in await connection.fetch(SQL["resumed"])]


async def next_stopped(
    connection: Connection, key: StopKey, records_max: int
) -> Mapping[int, Origin]:
    """Returns the next records that wait because of a stop, at most `records_max`, by the numbers
    of their order of arrival.
    """
    rows = await connection.fetch(SQL["next_stopped"], *key, records_max)
    return {row["arrival"]: origin_of(row) for row in rows}


async def take_stopped(
    connection: Connection, key: StopKey, arrivals: Collection[int]
) -> frozenset[int] | None:
    """Deletes waiting records that the caller's transaction applies, and returns the arrival
    numbers of those that still existed. Returns None, and deletes nothing, if the topic has been
    stopped again or its stop has been removed.
    """
    if await connection.fetchval(SQL["lock_resumed"], *key) is None:
        return None
    rows = await connection.fetch(SQL["take_stopped"], sorted(arrivals))
    return frozenset(row["arrival"] for row in rows)


async def end_stop(connection: Connection, key: StopKey) -> bool:
    """Deletes a stop that an operator has ended, unless a record still waits because of it; returns
    whether it was deleted.
    """
    await connection.fetchval(SQL["lock_stop"], *key)
    return await connection.fetchval(SQL["end_stop"], *key) is not None


async def resume(connection: Connection, key: StopKey, count: int) -> bool:
    """Stores that an operator has ended a stop, and sets the count of bad records in a row to
    `count`.

    Returns False if there is no such stop, or if an operator has ended it before.
    """
    if key.is_of_topic:
        is_stopped = await connection.fetchval(SQL["resume_topic"], key.topic) is not None
    else:
        is_stopped = await connection.fetchval(SQL["resume_institution"], *key) is not None
    if is_stopped and count == 0:
        await connection.execute(SQL["delete_counts"], *key_columns([key], 2))
    elif is_stopped:
        await connection.execute(SQL["allow_bad"], *key, count)
    return is_stopped


async def stops(connection: Connection) -> Sequence[StopState]:
    """Returns all stops."""
    return [
        StopState(StopKey(*list(row.values())[:2]), *list(row.values())[2:])
        for row in await connection.fetch(SQL["stops"])
    ]


def in_words(states: Sequence[StopState]) -> str | None:
    """Returns a text that names the stopped topics; None if no topic is stopped, or operators have
    resumed all of them.
    """
    stopped = [state.in_words for state in states if state.resumed_at is None]
    if not stopped:
        return None
    more = f"; {len(stopped) - NAMED_MAX} more" if len(stopped) > NAMED_MAX else ""
    return "; ".join(stopped[:NAMED_MAX]) + f"{more}: bursar-bridge intake list"
