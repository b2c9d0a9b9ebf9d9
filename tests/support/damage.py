"""Damages rows and waiting records of a ledger; each function returns the id of what it damages."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from tests.auditor.sources import Connection
from tests.support.write_path import PREFIX

OTHER_INSTITUTION = "7070"
Apply = Callable[[Connection], Awaitable[str]]


def by(statement: str) -> Apply:
    """The statement damages one row and returns its id."""

    async def apply(connection: Connection) -> str:
        damaged = await connection.fetch(statement)
        assert len(damaged) == 1, "there is no row, or more than one, to damage"
        return str(damaged[0][0])

    return apply


def update(table: str, change: str, condition: str, order: str) -> Apply:
    """Changes the first row in an order; the id is the first column of the order."""
    return by(
        f"UPDATE {table} SET {change} WHERE {first(table, condition, order)}"
        f" RETURNING {order.split(', ')[0]}"
    )


def delete(table: str, condition: str, order: str) -> Apply:
    """Takes the first row in an order away; the id is as above."""
    return by(
        f"DELETE FROM {table} WHERE {first(table, condition, order)}"
        f" RETURNING {order.split(', ')[0]}"
    )


def first(table: str, condition: str, order: str) -> str:
    return f"ctid = (SELECT ctid FROM {table} WHERE {condition} ORDER BY {order} LIMIT 1)"


Sent = tuple[bytes, bytes, bytes]
Change = Callable[[bytes, bytes, bytes], Sent | None]


def in_outbox(contract: str, change: Change, *, copies: bool = False) -> Apply:
    """Changes the first record that waits for a topic: key, payload, headers; None takes it away.

    With `copies` it stays, and the changed record comes behind it. The id is that of its loan
    or patron, else its ce_id.
    """

    async def apply(connection: Connection) -> str:
        row = await connection.fetchrow(
            "SELECT id, keys, payloads, headers FROM outbox WHERE topic = $1 ORDER BY id LIMIT 1",
            PREFIX + contract,
        )
        assert row is not None
        record, *others = zip(row["keys"], row["payloads"], row["headers"], strict=True)
        changed = change(*record)
        after = [*([record] if copies else []), *([changed] if changed else []), *others]
        columns = [list(column) for column in zip(*after, strict=True)] or [[], [], []]
        statement = "UPDATE outbox SET keys = $2, payloads = $3, headers = $4 WHERE id = $1"
        await connection.execute(statement, row["id"], *columns)
        return _id_in(record[1]) or str(dict(json.loads(record[2]))["ce_id"])

    return apply


def _id_in(payload: bytes) -> str:
    """The loan or the patron of an event; empty for a document and a manifest."""
    event = json.loads(payload) if payload.startswith(b"{") else {}
    return str(event.get("loan_id") or event.get("patron_id") or "")


def raised(key: bytes, payload: bytes, headers: bytes) -> Sent:
    event = json.loads(payload)
    event["balance"]["active"] = "999.99"
    return key, json.dumps(event).encode(), headers


def gone(_key: bytes, _payload: bytes, _headers: bytes) -> None:
    return None


def cut(key: bytes, payload: bytes, headers: bytes) -> Sent:
    return key, payload.replace(b"USD", b"EUR", 1), headers


def of_another(key: bytes, payload: bytes, headers: bytes) -> Sent:
    return OTHER_INSTITUTION.encode() + key[key.index(b"/") :], payload, headers
