"""The outbox: what a commit has to say to Kafka, put in that commit; sent by the relay alone."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from .encodings import pack_headers
from .session import Connection, statements

ROW_BYTES_MAX = 1024 * 1024
ROW_RECORDS_MAX = 2_000


class Sendable(Protocol):
    """A record for Kafka: key and value may be missing, headers are ordered."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]: ...


Columns = tuple[list[bytes | None], list[bytes | None], list[bytes]]


async def put(
    connection: Connection,
    topic: str,
    messages: Sequence[Sendable],
    recorded_at: datetime,
    row_bytes_max: int = ROW_BYTES_MAX,
) -> None:
    """Queues `messages` for the full topic name `topic`, in order, inside the caller's transaction.

    A row takes records until it has `row_bytes_max` bytes; a larger record has a row of its own.
    """
    rows = [(topic, *columns, recorded_at) for columns in _rows(messages, row_bytes_max)]
    if rows:
        await connection.executemany(statements("outbox")["put"], rows)


async def last_put(connection: Connection) -> int:
    """The id of the row that the caller's transaction put last."""
    row_id: int = await connection.fetchval(statements("outbox")["last_put"])
    return row_id


def _rows(messages: Sequence[Sendable], row_bytes_max: int) -> Iterator[Columns]:
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    headers: list[bytes] = []
    held = 0
    for message in messages:
        packed = pack_headers(message.headers)
        size = len(message.key or b"") + len(message.value or b"") + len(packed)
        if keys and (held + size > row_bytes_max or len(keys) >= ROW_RECORDS_MAX):
            yield keys, values, headers
            keys, values, headers, held = [], [], [], 0
        keys.append(message.key)
        values.append(message.value)
        headers.append(packed)
        held += size
    if keys:
        yield keys, values, headers
