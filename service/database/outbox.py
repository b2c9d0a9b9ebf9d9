"""The outbox: the records that a commit publishes, written by that commit and sent by the relay."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from ..core.workspace import Changes
from ..messages.encode import Message, encode_balance_changed, encode_loan_closed, encode_rejected
from .session import Connection, statements

ROW_BYTES_MAX = 1024 * 1024
ROW_RECORDS_MAX = 2_000

Columns = tuple[list[bytes | None], list[bytes | None], list[bytes]]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The full names of the topics of the ledger's records and of people's decisions.

    `ce_source` is the source of their CloudEvents.
    """

    balance_changed: str
    loan_closed: str
    rejected: str
    operator_action: str
    ce_source: str

    def encoded(
        self,
        changes: Changes,
        recorded_at: datetime,
        others: Collection[tuple[str, int, int]] = (),
    ) -> list[tuple[str, list[Message]]]:
        """Returns the records that publish the changes, by topic, in the order of the ledger.

        `others` are the places (topic, partition and offset) of rejected records at which another
        record stood before. Pure.
        """
        at, source = recorded_at, self.ce_source
        transactions = [encode_balance_changed(entry, at, source) for entry in changes.transactions]
        loans = [encode_loan_closed(closed, at, source) for closed in changes.loans_closed]
        rejections = [
            encode_rejected(value, at, source, is_another=value.origin[:3] in others)
            for value in changes.rejections
        ]
        return [
            (self.balance_changed, transactions),
            (self.loan_closed, loans),
            (self.rejected, rejections),
        ]


async def put(
    connection: Connection,
    topic: str,
    messages: Sequence[Message],
    recorded_at: datetime,
    row_bytes_max: int = ROW_BYTES_MAX,
) -> None:
    """Queues the messages for a topic (full name), in order, inside the caller's transaction.

    A row takes records until it has `row_bytes_max` bytes; a larger record has a row of its own.
    """
    rows = [(topic, *columns, recorded_at) for columns in _rows(messages, row_bytes_max)]
    if rows:
        await connection.executemany(statements("outbox")["put"], rows)


async def last_put(connection: Connection) -> int:
    """Returns the id of the row that the caller's transaction has put last."""
    row_id: int = await connection.fetchval(statements("outbox")["last_put"])
    return row_id


def _rows(messages: Sequence[Message], row_bytes_max: int) -> Iterator[Columns]:
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


def pack_headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Returns the headers of a Kafka record as JSON.

    Each byte of a value becomes a character of latin-1, so that it can be read back. A name
    that is not UTF-8 is kept as text, with each bad byte as its escape, such as `\\xff`.
    """
    texts = [(name, value.decode("latin-1")) for name, value in headers]
    try:
        return orjson.dumps(texts)
    except TypeError:
        return orjson.dumps([(_escaped(name), value) for name, value in texts])


def _escaped(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def unpack_headers(packed: bytes) -> tuple[tuple[str, bytes], ...]:
    """Returns the headers of a Kafka record from what `pack_headers` has made of them."""
    return tuple((name, value.encode("latin-1")) for name, value in orjson.loads(packed))
