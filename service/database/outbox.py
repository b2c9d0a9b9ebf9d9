"""Writes the outbox: a table into which a transaction puts the Kafka records that it causes, and
from which the relay sends them later.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from ..core.changes import Transaction
from ..core.workspace import Changes
from ..messages.encode import (
    Message,
    balance_changed_headers,
    balance_changed_value,
    encode_loan_closed,
    encode_rejected,
    key_of,
)
from .session import Connection, statements

ROW_BYTES_MAX = 1024 * 1024
ROW_RECORDS_MAX = 2_000

# Stand in the headers that are packed once for a poll, where those of each record differ.
_ID, _SUBJECT, _KEY = b"\0id", b"\0subject", b"\0key"
_PLACES = re.compile(rb'"\\u0000(?:id|subject|key)"')

Columns = tuple[list[bytes | None], list[bytes | None], list[bytes]]


class Packed(NamedTuple):
    """A Kafka record as the outbox stores it, with its headers packed into one JSON text."""

    key: bytes | None
    value: bytes | None
    headers: bytes


@dataclass(frozen=True, slots=True)
class Outputs:
    """The full names of the output topics for changes of the ledger, for rejected records and for
    operators' decisions.

    `ce_source` is the CloudEvents attribute `source` of all records in these topics.
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
    ) -> list[tuple[str, list[Packed]]]:
        """Returns the records that publish the changes, for each topic in the order in which the
        changes were made.

        `others` has the topic, partition and offset of each rejected record whose place in Kafka an
        earlier, different record had (the topic was created anew). Pure.
        """
        at, source = recorded_at, self.ce_source
        loans = [packed(encode_loan_closed(closed, at, source)) for closed in changes.loans_closed]
        rejections = [
            packed(encode_rejected(value, at, source, is_another=value.origin[:3] in others))
            for value in changes.rejections
        ]
        return [
            (self.balance_changed, packed_transactions(changes.transactions, at, source)),
            (self.loan_closed, loans),
            (self.rejected, rejections),
        ]


def packed(message: Message) -> Packed:
    """Returns a record in the form in which the outbox stores it."""
    return Packed(message.key, message.value, pack_headers(message.headers))


def packed_transactions(
    transactions: Sequence[Transaction], recorded_at: datetime, ce_source: str
) -> list[Packed]:
    """Returns the `balance-changed` records of transactions in the form in which the outbox stores
    them, in the order of the transactions.

    Only three headers differ from record to record, so the headers are packed once, and these three
    are filled in for each record.
    """
    form = pack_headers(balance_changed_headers(_ID, ce_source, recorded_at, _SUBJECT, _KEY))
    first, second, third, last = _PLACES.split(form)
    records = []
    for entry in transactions:
        key = key_of(entry)
        subject = b"%b/%b" % (key, entry.after.key.currency.encode())
        ce_id = orjson.dumps(entry.transaction_id)
        headers = b"".join((first, ce_id, second, _text(subject), third, _text(key), last))
        if (trace := entry.traceparent) is not None:
            headers = b'%b,["traceparent",%b]]' % (headers[:-1], _text(trace.encode()))
        records.append(Packed(key, balance_changed_value(entry, recorded_at), headers))
    return records


async def put(
    connection: Connection,
    topic: str,
    messages: Sequence[Message],
    recorded_at: datetime,
    row_bytes_max: int = ROW_BYTES_MAX,
) -> None:
    """Packs the messages, and puts them into the outbox for a topic as `put_packed` does."""
    records = [packed(message) for message in messages]
    await put_packed(connection, topic, records, recorded_at, row_bytes_max)


async def put_packed(
    connection: Connection,
    topic: str,
    records: Sequence[Packed],
    recorded_at: datetime,
    row_bytes_max: int = ROW_BYTES_MAX,
) -> None:
    """Puts records into the outbox for the topic with this full name, in their order, inside the
    caller's transaction.

    One row of the outbox holds several records, up to `row_bytes_max` bytes in all; a larger record
    gets a row of its own.
    """
    rows = [(topic, *columns, recorded_at) for columns in _rows(records, row_bytes_max)]
    if rows:
        await connection.executemany(statements("outbox")["put"], rows)


async def last_put(connection: Connection) -> int:
    """Returns the id of the outbox row that the caller's transaction has inserted last."""
    row_id: int = await connection.fetchval(statements("outbox")["last_put"])
    return row_id


def _rows(records: Sequence[Packed], row_bytes_max: int) -> Iterator[Columns]:
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    headers: list[bytes] = []
    held = 0
    for key, value, packed_headers in records:
        size = len(key or b"") + len(value or b"") + len(packed_headers)
        if keys and (held + size > row_bytes_max or len(keys) >= ROW_RECORDS_MAX):
            yield keys, values, headers
            keys, values, headers, held = [], [], [], 0
        keys.append(key)
        values.append(value)
        headers.append(packed_headers)
        held += size
    if keys:
        yield keys, values, headers


def pack_headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Packs the headers of a Kafka record into one JSON text.

    Each byte of a header's value becomes the Latin-1 character with that code, so that any bytes
    can be read back. A name that is not UTF-8 is kept as text, with each bad byte as its escape,
    such as `\\xff`.
    """
    texts = [(name, value.decode("latin-1")) for name, value in headers]
    try:
        return orjson.dumps(texts)
    except TypeError:
        return orjson.dumps([(_escaped(name), value) for name, value in texts])


def _text(value: bytes) -> bytes:
    """A value of a header as `pack_headers` writes it."""
    return orjson.dumps(value.decode("latin-1"))


def _escaped(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def unpack_headers(packed: bytes) -> tuple[tuple[str, bytes], ...]:
    """Returns the headers of a Kafka record, unpacked from the JSON text that `pack_headers` has
    made of them.
    """
    return tuple([(name, value.encode("latin-1")) for name, value in orjson.loads(packed)])
