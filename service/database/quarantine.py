"""Records in quarantine: the broker refused them for their own sake. What takes them out again."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from ..core.ledger import BatchKey
from ..core.words import BatchState
from ..messages.encode import Message
from . import outbox
from .outbox import pack_headers
from .session import Connection, statements

SQL = statements("quarantine")


class QuarantineId(NamedTuple):
    """Where the refused record stood in the outbox: the row's id, and the place in that row."""

    outbox_id: int
    place: int

    def __str__(self) -> str:
        return f"{self.outbox_id}/{self.place}"


class BeingSent(Exception):
    """Other records of the same outbox row are still to be sent: the record has to stay."""


async def release(connection: Connection, record_id: QuarantineId) -> int | None:
    """Queues the record again as it was; the id of its new outbox row.

    None: it is not in quarantine. Raises BeingSent.
    """
    if await connection.fetchval(SQL["is_being_sent"], *record_id):
        raise BeingSent
    row_id: int | None = await connection.fetchval(SQL["release"], *record_id)
    return row_id


async def batch_queued_again(
    connection: Connection, key: BatchKey, headers: bytes, row_id: int
) -> BatchState | None:
    """Notes the outbox row of a released document or manifest (`headers`: packed).

    Returns the state of the batch; None: there is no such batch.
    """
    await connection.execute(SQL["batch_queued_again"], *key, headers, row_id)
    return await _state(connection, key)


async def queue_batch_again(
    connection: Connection, key: BatchKey, parts: Iterable[tuple[str, Message]], now: datetime
) -> None:
    """Queues the document and the manifest (each with its topic) in place of earlier copies.

    Earlier copies leave the quarantine, and do not come into it if they still wait to be sent.
    """
    # A batch that the broker has stays `published` while it is sent once more.
    is_published = await _state(connection, key) not in (BatchState.SEALED, BatchState.QUARANTINED)
    for topic, message in parts:
        await outbox.put(connection, topic, [message], now)
        row_id = await outbox.last_put(connection)
        headers = pack_headers(message.headers)
        # In this order: whatever left the outbox before the lock was taken is in quarantine by now.
        await connection.execute(SQL["supersede_waiting"], topic, headers, row_id)
        await connection.execute(SQL["supersede_quarantined"], headers, row_id)
        if not is_published:
            await connection.execute(SQL["batch_queued_again"], *key, headers, row_id)


async def _state(connection: Connection, key: BatchKey) -> BatchState | None:
    state = await connection.fetchval(SQL["batch_state"], *key)
    return None if state is None else BatchState(state)
