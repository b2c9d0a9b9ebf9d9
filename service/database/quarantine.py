"""Takes records out of the quarantine, where records are that the broker does not accept."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from ..core.ledger import BatchKey
from ..core.words import BatchState
from ..messages.encode import Message
from . import outbox
from .session import Connection, statements

SQL = statements("quarantine")


class QuarantineId(NamedTuple):
    """Where the record stood in the outbox: the id of the row, and the place in that row."""

    outbox_id: int
    place: int

    def __str__(self) -> str:
        return f"{self.outbox_id}/{self.place}"


class BeingSent(Exception):
    """Other records of the same row of the outbox are still to be sent, so the record stays."""


async def release(connection: Connection, record_id: QuarantineId) -> int | None:
    """Queues the record again as it was, and returns the id of its new row of the outbox.

    Returns None if the record is not in quarantine. Raises BeingSent.
    """
    if await connection.fetchval(SQL["is_being_sent"], *record_id):
        raise BeingSent
    row_id: int | None = await connection.fetchval(SQL["release"], *record_id)
    return row_id


async def batch_queued_again(
    connection: Connection, key: BatchKey, headers: bytes, row_id: int
) -> BatchState | None:
    """Notes the row of the outbox that has a released document or manifest of a batch.

    `headers` are the packed headers of the record, by which the batch knows which of the two it is.
    Returns the state of the batch, or None if there is no such batch.
    """
    await connection.execute(SQL["batch_queued_again"], *key, headers, row_id)
    return await _state(connection, key)


async def queue_batch_again(
    connection: Connection, key: BatchKey, parts: Iterable[tuple[str, Message]], now: datetime
) -> None:
    """Queues the document and the manifest of a batch, each with its topic, a second time.

    They replace earlier copies: those leave the quarantine, and those that still wait to be sent
    are not put there.
    """
    # A batch that the broker has stays `published` while it is sent once more.
    is_published = await _state(connection, key) not in (BatchState.SEALED, BatchState.QUARANTINED)
    for topic, message in parts:
        await outbox.put(connection, topic, [message], now)
        row_id = await outbox.last_put(connection)
        headers = outbox.pack_headers(message.headers)
        # In this order, because the relay may just be moving a copy into the quarantine: the first
        # statement waits for that commit, and the second one finds the copy there.
        await connection.execute(SQL["supersede_waiting"], topic, headers, row_id)
        await connection.execute(SQL["supersede_quarantined"], headers, row_id)
        if not is_published:
            await connection.execute(SQL["batch_queued_again"], *key, headers, row_id)


async def _state(connection: Connection, key: BatchKey) -> BatchState | None:
    state = await connection.fetchval(SQL["batch_state"], *key)
    return None if state is None else BatchState(state)
