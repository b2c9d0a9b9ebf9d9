"""Finds out whether this database has published given records, by comparing their content, many at
a time.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple, Protocol

import orjson

from ..database.outbox import pack_headers
from ..database.session import Connection, statements
from ..database.tables import columns_of

TYPE_PREFIX = "org.bursar-bridge."
OUTBOX_ROWS_MAX = 10_000  # as many as a page of the relay can have
SQL = statements("restore")

Columns = tuple[object, ...]


class Record(Protocol):
    """A record of a Kafka topic, as the client library returns it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int


class Contract(NamedTuple):
    """How records of one output contract are looked up in the database.

    `columns` returns the values of a record that the SQL statement `statement` compares with the
    database. `columns` raises ValueError, KeyError, TypeError or OverflowError if the record is not
    of this contract.
    """

    statement: str
    columns: Callable[[Mapping[str, bytes], Record], Columns]


def has_our_type(record: Record) -> bool:
    """Whether the record's `ce_type` is a type of this service, whichever instance or database has
    published it.
    """
    return any(
        name == "ce_type" and (value or b"").startswith(TYPE_PREFIX.encode())
        for name, value in record.headers
    )


async def unknown(connection: Connection, records: Sequence[Record]) -> list[Record]:
    """Returns, in the same order, those of `records` that are neither in the ledger nor in the
    outbox of this database.
    """
    left = dict(enumerate(records))
    for statement, rows in _questions(records).items():
        for row in await connection.fetch(SQL[statement], *columns_of(rows)):
            left.pop(row["place"], None)
    if left:
        # What is in the outbox was sent, and is not acknowledged in the database yet.
        topics = [record.topic for record in left.values()]
        digests = [_digest(record) for record in left.values()]
        for row in await connection.fetch(
            SQL["waiting_records"],
            sorted(set(topics)),
            OUTBOX_ROWS_MAX,
            list(left),
            topics,
            digests,
        ):
            left.pop(row["place"], None)
    return list(left.values())


def _questions(records: Sequence[Record]) -> Mapping[str, list[Columns]]:
    """Arguments by statement; a record of no contract has none."""
    rows: dict[str, list[Columns]] = {}
    for place, record in enumerate(records):
        headers = {name: value for name, value in record.headers if value is not None}
        contract = CONTRACTS.get(_text(headers, "ce_type").removeprefix(TYPE_PREFIX))
        if contract is None:
            continue
        try:
            columns = contract.columns(headers, record)
        except (KeyError, ValueError, TypeError, OverflowError):
            continue
        rows.setdefault(contract.statement, []).append((place, *columns))
    return rows


def _digest(record: Record) -> bytes:
    headers = tuple((name, value or b"") for name, value in record.headers)
    return sha256((record.value or b"") + pack_headers(headers)).digest()


def _transaction(headers: Mapping[str, bytes], record: Record) -> Columns:
    event = orjson.loads(record.value or b"")
    account = (_str(event["institution_id"]), _str(event["patron_id"]), _str(event["currency"]))
    return (*account, _number(event["sequence"]), _text(headers, "ce_id"), _instant(headers))


def _batch(headers: Mapping[str, bytes], record: Record) -> Columns:
    digest = sha256(record.value or b"").digest()
    return (*_batch_key(headers), digest, _text(headers, "bursar-file-name"))


def _manifest(headers: Mapping[str, bytes], record: Record) -> Columns:
    return (*_batch_key(headers), sha256(record.value or b"").digest())


def _loan(_: Mapping[str, bytes], record: Record) -> Columns:
    event = orjson.loads(record.value or b"")
    closed_at = datetime.fromisoformat(event["closed_at"])
    key = (_str(event["institution_id"]), _str(event["loan_id"]), _number(event["batch_number"]))
    return (*key, _aware(closed_at))


def _rejected(headers: Mapping[str, bytes], _: Record) -> Columns:
    partition = _number(int(headers["bursar-partition"]), 2**31)
    offset = _number(int(headers["bursar-offset"]))
    return (_text(headers, "bursar-topic"), partition, offset, _text(headers, "bursar-reason"))


def _action(_: Mapping[str, bytes], record: Record) -> Columns:
    event = orjson.loads(record.value or b"")
    recorded_at = _aware(datetime.fromisoformat(event["recorded_at"]))
    return _number(event["action_id"]), _str(event["action"]), recorded_at


def _batch_key(headers: Mapping[str, bytes]) -> tuple[str, str, int]:
    institution, profile, number = _text(headers, "ce_id").removesuffix("/manifest").split("/")
    return institution, profile, _number(int(number))


def _text(headers: Mapping[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode("utf-8", "replace").replace("\0", "")


def _str(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("is not a text of ours")
    return value


def _number(value: object, below: int = 2**63) -> int:
    if not isinstance(value, int) or not 0 <= value < below:
        raise ValueError("is not a number of ours")
    return value


def _instant(headers: Mapping[str, bytes]) -> datetime:
    return _aware(datetime.fromisoformat(_text(headers, "ce_time")))


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("is not an instant of ours")
    return instant


CONTRACTS: Mapping[str, Contract] = {
    "balance-changed.v1": Contract("known_transactions", _transaction),
    "export-batch.v1": Contract("known_batches", _batch),
    "export-manifest.v1": Contract("known_manifests", _manifest),
    "loan-closed.v1": Contract("known_loans", _loan),
    "rejected.v1": Contract("known_rejections", _rejected),
    "operator-action.v1": Contract("known_actions", _action),
}
