"""Fines and patrons of the mixed load."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import FineId
from tests.support.load_rules import money


@dataclass(frozen=True, slots=True)
class ExportedFine:
    """A fine with a live line: what it owed at the bursar after its export, in minor units.

    `creditable` is what may still be paid or waived in the library, and `family` the fine that it
    is a credit of, or itself.
    """

    name: FineId
    line: str
    outstanding: int
    creditable: int
    family: FineId
    facts: Data


def exported_fine(model: Model, name: FineId, line: str, facts: Data) -> ExportedFine:
    fine = model.fines[name]
    owed = fine["exported"] if fine["status"] == "Closed" else fine["outstanding"]
    counted = sum(
        -credit["amount"] - credit["reduced"]
        for credit in model.credits_of_fine(name)
        if credit["made_by"] != "payment"
    )
    family = (name[0], fine["credit_of"] or name[1])
    return ExportedFine(name, line, abs(fine["outstanding"]), owed - counted, family, facts)


def patron_of(patron_id: str) -> dict[str, object]:
    return {
        "patron_id": patron_id,
        "name": "Doe, Jane",
        "user_group": "STUDENT",
        "identifiers": [{"type": "02", "value": f"A{patron_id}"}],
    }


def left_of(fine: ExportedFine) -> str:
    return money(fine.outstanding or 1, fine.name[0])
