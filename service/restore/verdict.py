"""The verdict: one row of the database, which every start and every commit looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from ..database.session import Connection, statements
from .findings import Finding

SQL = statements("restore")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`detail` is the line with which processes stop; `evidence` a JSON list of places."""

    finding: str
    detail: str
    evidence: str
    found_by: str
    found_at: datetime


async def read_verdict(connection: Connection) -> Verdict | None:
    row = await connection.fetchrow(SQL["verdict"])
    return None if row is None else Verdict(*row.values())


async def put_verdict(connection: Connection, findings: Sequence[Finding], found_by: str) -> None:
    """Keeps the first finding as the reason to stop, and all of them as evidence."""
    (first, *_) = findings
    evidence = [{"finding": finding.sort.value, **finding.evidence} for finding in findings]
    await connection.execute(
        SQL["put_verdict"],
        first.sort.value,
        first.line,
        orjson.dumps(evidence).decode(),
        found_by,
    )
