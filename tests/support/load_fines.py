"""Fines and patrons of the mixed load."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.records import Data
from tests.oracle.tables import FineId
from tests.support.load_rules import money


@dataclass(frozen=True, slots=True)
class ExportedFine:
    """A fine with a live line: what it owed at the bursar after its export, in minor units."""

    name: FineId
    line: str
    outstanding: int
    facts: Data


def patron_of(patron_id: str) -> dict[str, object]:
    return {
        "patron_id": patron_id,
        "name": "Doe, Jane",
        "user_group": "STUDENT",
        "identifiers": [{"type": "02", "value": f"A{patron_id}"}],
    }


def left_of(fine: ExportedFine) -> str:
    return money(fine.outstanding or 1, fine.name[0])
