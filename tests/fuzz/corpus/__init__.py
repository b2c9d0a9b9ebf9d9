"""The committed corpus: records that are rejected, each with its reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from service.core.ledger import Origin

FILE = Path(__file__).with_name("records.jsonl")
TIMESTAMP_MS = 1_788_000_000_000


class BadRecord(NamedTuple):
    """A record that is rejected. A byte of a header name that is not UTF-8 is a lone surrogate."""

    name: str
    contract: str
    reason: str
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None

    @property
    def origin(self) -> Origin:
        """The record as the intake hands it to the parser."""
        place = (f"t.{self.contract}", 0, 0, None)
        return Origin(*place, self.value, self.headers, timestamp_ms=TIMESTAMP_MS)


@cache
def bad_records() -> Sequence[BadRecord]:
    """All records of the file; bytes stand there as characters of Latin-1."""
    return [_record(json.loads(row)) for row in FILE.read_text("utf-8").splitlines()]


def _record(row: dict[str, object]) -> BadRecord:
    name, contract, reason, value = (row[key] for key in ("name", "contract", "reason", "value"))
    pairs = row["headers"]
    assert isinstance(pairs, list)
    headers = tuple(
        (each.encode("latin-1").decode("utf-8", "surrogateescape"), content.encode("latin-1"))
        for each, content in pairs
    )
    body = None if value is None else str(value).encode("latin-1")
    return BadRecord(str(name), str(contract), str(reason), headers, body)
