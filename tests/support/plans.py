"""What a plan did, counted in rows: the figure that grows with the square where a plan is bad."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from service.database.session import Connection

Node = dict[str, Any]
REMOVED = ("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")


async def rows_handled(connection: Connection, sql: str, *arguments: object) -> int:
    """Runs the statement, takes it back, and counts the rows of the node that handled most.

    Rows that a node reads and drops count, and each repetition does.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
    finally:
        await transaction.rollback()
    return max(map(_rows, _nodes(json.loads(plan)[0]["Plan"])))


def _rows(node: Node) -> int:
    rows = node["Actual Rows"] + sum(node.get(name, 0) for name in REMOVED)
    return int(rows * node["Actual Loops"])


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for below in node.get("Plans", []):
        yield from _nodes(below)
