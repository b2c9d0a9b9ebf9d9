"""Topics that bad records have stopped, the counts of bad records, and the records that wait."""

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
    """A stop as a person sees it. `records` is the number of records that wait for it here, and
    `resumed_at` says since when they are taken.
    """

    key: StopKey
    bad_records: int
    reason: str
    stopped_at: datetime
    resumed_at: datetime | None
    records: int

    @property
    def state(self) -> str:
        """`stopped`, or `resuming` while the service takes what waits."""
        return "stopped" if self.resumed_at is None else "resuming"

    @property
    def in_words(self) -> str:
        """What is stopped, and why."""
        whom = "" if self.key.is_of_topic else f" for institution {self.key.institution_id}"
        why = f"after {self.bad_records} bad records in a row (last: {self.reason})"
        return f"{self.key.topic} is stopped{whom} {why}"


async def stops_of_topics(connection: Connection, topics: Collection[str]) -> frozenset[StopKey]:
    """Returns the stops of these topics, locked so that none of them ends before the commit."""
    rows = await connection.fetch(SQL["stops_of_topics"], sorted(topics))
    return frozenset(StopKey(*row.values()) for row in rows)


async def counts_of_topics(connection: Connection, topics: Collection[str]) -> BadCounts:
    """Returns the counts of bad records of these topics, without a lock."""
    return await _counts(connection, "counts_of_topics", topics)


async def lock_counts(connection: Connection, keys: Collection[StopKey]) -> BadCounts:
    """Returns the counts of the topics of these keys, locked; each of the keys has a row then."""
    await connection.execute(SQL["insert_missing_counts"], *key_columns(keys, 2))
    return await _counts(connection, "lock_counts", {key.topic for key in keys})


async def _counts(connection: Connection, statement: str, topics: Collection[str]) -> BadCounts:
    rows = await connection.fetch(SQL[statement], sorted(topics))
    return {
        StopKey(row["topic"], row["institution_id"]): BadCount(row["in_a_row"], row["in_topic"])
        for row in rows
    }


async def write_counts(connection: Connection, counts: Mapping[StopKey, BadCount]) -> None:
    """Writes counts whose rows are locked; a count of 0 has no row."""
    if gone := [key for key, count in counts.items() if count == NOTHING]:
        await connection.execute(SQL["delete_counts"], *key_columns(gone, 2))
    rows = sorted((*key, *count) for key, count in counts.items() if count != NOTHING)
    if rows:
        await connection.execute(SQL["write_counts"], *columns_of(rows))


async def put_stop(connection: Connection, stop: Stop) -> None:
    """Stops a topic, or does so again after a person has resumed it."""
    await connection.execute(SQL["put_stop"], *stop.key, stop.bad_records, stop.reason.value)


async def put_stopped(connection: Connection, records: Iterable[StoppedRecord]) -> None:
    """Writes records that have to wait, behind those that wait already."""
    rows = list(map(_row_of, records))
    await connection.copy_records_to_table("stopped_record", records=rows, columns=COLUMNS)


def _row_of(record: StoppedRecord) -> Cells:
    topic, partition, offset, key, value, headers, traceparent, timestamp_ms = record.origin
    named = (topic, partition, offset, record.institution_id, record.fine_id)
    return (*named, key, value, pack_headers(headers), traceparent, timestamp_ms)


async def resumed_stops(connection: Connection) -> Sequence[StopKey]:
    """Returns the stops of institutions that a person has ended."""
    return [StopKey(*row.values()) for row in await connection.fetch(SQL["resumed"])]


async def next_stopped(
    connection: Connection, key: StopKey, records_max: int
) -> Mapping[int, Origin]:
    """Returns the next records that wait for a stop, by their number of arrival."""
    rows = await connection.fetch(SQL["next_stopped"], *key, records_max)
    return {row["arrival"]: origin_of(row) for row in rows}


async def take_stopped(
    connection: Connection, key: StopKey, arrivals: Collection[int]
) -> frozenset[int] | None:
    """Removes records that are decided in this commit, and returns the numbers of those that were
    still there; None if the topic is stopped again or is not stopped any more.
    """
    if await connection.fetchval(SQL["lock_resumed"], *key) is None:
        return None
    rows = await connection.fetch(SQL["take_stopped"], sorted(arrivals))
    return frozenset(row["arrival"] for row in rows)


async def end_stop(connection: Connection, key: StopKey) -> bool:
    """Ends a stop that a person has ended, if no record waits for it any more."""
    await connection.fetchval(SQL["lock_stop"], *key)
    return await connection.fetchval(SQL["end_stop"], *key) is not None


async def resume(connection: Connection, key: StopKey, count: int) -> bool:
    """Ends a stop as a person has decided; the count of bad records begins with `count`.

    False if there is no such stop, or it was ended already.
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
    """Returns a text that names what is stopped; None if nothing is, or a person has resumed it."""
    stopped = [state.in_words for state in states if state.resumed_at is None]
    if not stopped:
        return None
    more = f"; {len(stopped) - NAMED_MAX} more" if len(stopped) > NAMED_MAX else ""
    return "; ".join(stopped[:NAMED_MAX]) + f"{more}: bursar-bridge intake list"
