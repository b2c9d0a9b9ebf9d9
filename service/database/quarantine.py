"""Takes records out of the quarantine, in which the service keeps output records that the Kafka
broker refused.
"""

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
    """The id of a record in quarantine, such as 17/0: the id of the outbox row in which the record
    was, and its position in that row.
    """

    outbox_id: int
    place: int

    def __str__(self) -> str:
        return f"{self.outbox_id}/{self.place}"


class BeingSent(Exception):
    """The record cannot be released now, because other records of the same outbox row are still
    being sent.
    """


async def release(connection: Connection, record_id: QuarantineId) -> int | None:
    """Puts a record from the quarantine into the outbox again, unchanged, and returns the id of its
    new outbox row.

    Returns None if the record is not in quarantine. Raises BeingSent.
    """
    if await connection.fetchval(SQL["is_being_sent"], *record_id):
        raise BeingSent
    row_id: int | None = await connection.fetchval(SQL["release"], *record_id)
    return row_id


async def batch_queued_again(
    connection: Connection, key: BatchKey, headers: bytes, row_id: int
) -> BatchState | None:
    """Stores for a batch which outbox row now has its document or its manifest, after that was
    released from the quarantine.

    `headers` are the packed headers of the released record, which show whether it is the document
    or the manifest. Returns the state of the batch, or None if there is no such batch.
    """
    await connection.execute(SQL["batch_queued_again"], *key, headers, row_id)
    return await _state(connection, key)


async def queue_batch_again(
    connection: Connection, key: BatchKey, parts: Iterable[tuple[str, Message]], now: datetime
) -> None:
    """Puts the document and the manifest of a batch into the outbox once more, each for its topic.

    The new copies replace earlier copies of the batch: those in quarantine are removed from there,
    and those that are still to be sent will not be put into quarantine if the broker refuses them.
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
