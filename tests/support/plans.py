"""What a plan did, counted in rows: the figure that grows with the square where a plan is bad."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from service.database.session import Connection

Node = dict[str, Any]
REMOVED = ("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")


class Reads(StrEnum):
    """What a statement may read: rows of a key, a page, a queue of people's work, whole tables."""

    KEY = "key"
    PAGE = "page"
    QUEUE = "queue"
    TABLES = "tables"

    def rows_max(self, fines: int) -> int:
        """A queue has a twentieth as many rows as there are fines. The largest table has 1.5 rows
        for each fine, and a comparison counts each row twice.
        """
        bounds = {Reads.KEY: 250, Reads.PAGE: 15_000, Reads.QUEUE: fines // 15}
        return bounds.get(self, 4 * fines)


class Call(NamedTuple):
    file: str
    name: str
    reads: Reads
    arguments: tuple[object, ...] = ()


async def rows_handled(
    connection: Connection, sql: str, *arguments: object, before: str = ""
) -> int:
    """Runs the statement, takes it back, and counts the rows of the node that handled most.

    Rows that a node reads and drops count, and each repetition does. `before` is a statement that
    runs before it in the same transaction.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        if before:  # the driver fails on an empty statement
            await connection.execute(before)
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
    finally:
        await transaction.rollback()
    return max(map(_rows, _nodes(json.loads(plan)[0]["Plan"])))


async def indexes_of(connection: Connection, sql: str, table: str) -> set[str]:
    """The indexes by which the statement would read rows of the table."""
    plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}"))[0]["Plan"]
    reading = [node for node in _nodes(plan) if node.get("Relation Name") == table]
    names = [below.get("Index Name") for node in reading for below in _nodes(node)]
    return {name for name in names if name is not None}


def _rows(node: Node) -> int:
    rows = node["Actual Rows"] + sum(node.get(name, 0) for name in REMOVED)
    return int(rows * node["Actual Loops"])


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for below in node.get("Plans", []):
        yield from _nodes(below)
