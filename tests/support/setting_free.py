"""Parked records that a fine, a sweep, an export or a command sets free and that then fail."""

import pytest

from service.apply.operator_actions import Justification
from service.core import parked as core_parked
from service.database import outbox, tables
from service.operations import parked
from tests.support.failing import fails_for, parked_now, rejected_by_the_database_for
from tests.support.mixture import PROFILES
from tests.support.write_path import Record, WritePath, change, fine, miss_the_fine, profiles_of

BAD = "BAD-1"
JUSTIFICATION = Justification("tester", "a test")
BOTH = profiles_of(PROFILES).profiles[0]
FAILURES = {
    "fold": (core_parked, "decide"),
    "encode": (outbox, "balance_changed_value"),
    "encode_a_rejection": (outbox, "encode_rejected"),
    "write_a_transaction": (tables.TRANSACTION, "row"),
    "write_a_rejection": (tables.REJECTION, "row"),
    "database": (tables.TRANSACTION, "row"),
}


def break_it(monkeypatch: pytest.MonkeyPatch, failure: str, record: str = BAD) -> None:
    where, name = FAILURES[failure]
    breaks = rejected_by_the_database_for if failure == "database" else fails_for
    monkeypatch.setattr(where, name, breaks(record, getattr(where, name)))


def queues(failure: str) -> list[Record]:
    """Changes of two fines; the second one of F-1 is bad."""
    currency = "EUR" if "rejection" in failure else "USD"
    return [
        change(change_id="C-1", fine_id="F-1", amount="1.00"),
        change(change_id=BAD, fine_id="F-1", amount="2.00", currency=currency),
        change(change_id="C-3", fine_id="F-1", amount="4.00"),
        change(change_id="C-4", fine_id="F-2", amount="1.00"),
    ]


FINES = [fine(fine_id="F-1"), fine(fine_id="F-2")]


async def by_intake(path: WritePath, patch: pytest.MonkeyPatch, failure: str) -> None:
    await path.take(*queues(failure))
    break_it(patch, failure)
    report = await path.take(*FINES)
    assert report.outcomes == {"applied": 2, "unparked:unknown_fine": 3}


async def by_sweep(path: WritePath, patch: pytest.MonkeyPatch, failure: str) -> None:
    await path.take(*FINES)
    await miss_the_fine(path, *queues(failure))
    break_it(patch, failure)
    await path.sweep()


async def by_export(path: WritePath, patch: pytest.MonkeyPatch, failure: str) -> None:
    await path.take(*FINES)
    await miss_the_fine(path, *queues(failure))
    break_it(patch, failure)
    assert await path.exports(profiles_of(PROFILES)).run_profile(BOTH) == 1
    lines = await path.rows("SELECT fine_id, amount FROM export_line")
    assert lines == [{"fine_id": "F-2", "amount": 9450}]  # what F-1 owes is not known
    await path.sweep()


async def by_command(path: WritePath, patch: pytest.MonkeyPatch, failure: str) -> None:
    await path.take(*FINES)
    await miss_the_fine(path, *queues(failure))
    break_it(patch, failure)
    for item in await parked_now(path):
        if item.id in ("C-3", "C-4"):
            decision = await parked.release(path.applier, item, JUSTIFICATION)
            assert (decision.done, decision.outcome) == (True, "applied")
