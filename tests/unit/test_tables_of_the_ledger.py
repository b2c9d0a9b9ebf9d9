"""Values of the core as rows of the ledger's tables, and back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import pytest

from service.core.amendment import NOT_AMENDED, Amendment
from service.core.batches import ExportLine, Response
from service.core.ledger import (
    Account,
    AccountKey,
    BatchKey,
    Change,
    Fine,
    FineFacts,
    Item,
    LineKey,
    Owner,
    Patron,
    Payment,
    SourceKey,
)
from service.core.terms import Terms
from service.core.words import (
    Considered,
    ItemState,
    LineState,
    Mode,
    PaymentKind,
    ProfileCode,
    Reason,
    ResponseOutcome,
    Status,
)
from service.database import tables
from service.database.encodings import terms_id, terms_of, terms_text
from service.database.tables import Table

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
KEY = SourceKey("6050", "ERP", "R-1")
AnyTable = Table[Any]  # of values of any type
VALUES: list[tuple[AnyTable, object]] = [
    (tables.ACCOUNT, Account(AccountKey("6050", "P-1", "USD"), 95_00, -1, 7, 2)),
    (tables.PATRON, Patron("6050", "P-1", "Doe", "STUDENT", (("02", "A1"), ("01", "B")), NOW)),
    (
        tables.PAYMENT,
        Payment(
            KEY,
            PaymentKind.REVERSAL,
            b"d",
            ItemState.REJECTED,
            None,
            "77",
            None,
            None,
            NOW,
            applied=0,
            excess=0,
            credit_id=None,
        ),
    ),
    (
        tables.PAYMENT,
        Payment(
            KEY,
            PaymentKind.PAYMENT,
            b"d",
            ItemState.APPLIED,
            "F-1",
            "77",
            "USD",
            95_00,
            NOW,
            applied=90_00,
            excess=5_00,
            credit_id="C-1",
            reversed_by="R-2",
            reason=Reason.OVERPAID,
        ),
    ),
    (tables.CHANGE, Change(KEY, b"d", ItemState.REJECTED, "F-1", Reason.ALREADY_CLOSED)),
    (
        tables.RESPONSE,
        Response(
            KEY,
            b"d",
            BatchKey("6050", "bursar", 3),
            ItemState.APPLIED,
            None,
            ResponseOutcome.ACCEPTED,
            9,
            NOW,
        ),
    ),
    (
        tables.LINE,
        ExportLine(
            LineKey("6050", "77"),
            "F-1",
            BatchKey("6050", "bursar", 3),
            95_00,
            "USD",
            LineState.REFUSED,
            "moved",
        ),
    ),
]
FINE = Fine(
    FineFacts(
        "6050",
        "F-1",
        "P-1",
        "OVERDUEFINE",
        95_00,
        "USD",
        Owner("L", "MAIN", "Main Library"),
        NOW,
        comment="kept",
        item=Item("Title", due_date=NOW, barcode="B"),
        digest=b"d",
    ),
    Status.TRANSFERRED,
    Considered.ACTIVE,
    remaining=0,
    outstanding=95_00,
    changed_at=NOW,
)


def read(table: AnyTable, value: object) -> asyncpg.Record:
    """The row that the database would return for a value."""
    return cast(asyncpg.Record, dict(zip(table.columns, table.rows([value], NOW)[0], strict=True)))


def read_fine(fine: Fine) -> asyncpg.Record:
    """The row of a fine as the statements read it: with its row of `fine_amendment`."""
    joined = {**read(tables.AMENDMENT, fine), **read(tables.FINE, fine)}
    return cast(asyncpg.Record, joined)


@pytest.mark.parametrize(("table", "value"), VALUES)
def test_a_value_is_read_as_it_was_written(table: AnyTable, value: object) -> None:
    assert table.value(read(table, value)) == value


@pytest.mark.parametrize(
    "amendment",
    [
        NOT_AMENDED,
        Amendment(120_00, NOW),
        Amendment(95_00, NOW, NOW),
        Amendment(disputed_at=NOW),
        Amendment(unconfirmed=True),
    ],
)
def test_a_fine_is_read_as_it_was_amended(amendment: Amendment) -> None:
    fine = replace(FINE, amendment=amendment)
    assert tables.fine_of(read_fine(fine), {}) == fine


@pytest.mark.parametrize("terms", [None, Terms(ProfileCode("bursar"), Mode.EXPORT_ONLY)])
def test_a_fine_is_read_with_its_terms(terms: Terms | None) -> None:
    fine = replace(FINE, terms=terms)
    known = {}
    if terms is not None:
        row = cast(asyncpg.Record, {"body": terms_text(terms)})
        known = {("6050", terms_id(terms)): terms_of(row)}
    assert tables.fine_of(read_fine(fine), known) == fine


@pytest.mark.parametrize("table", [table for table, _ in VALUES])
def test_an_update_sets_the_changing_columns_of_a_key(table: AnyTable) -> None:
    value = next(value for known, value in VALUES if known is table)
    if table is not tables.PATRON:  # a patron is written as a whole
        row, changed = table.row(value), table.changed_row(value)
        assert set(changed) <= set(row)
        assert changed[:2] == row[:2]


def test_releases_before_this_read_no_reason_that_they_do_not_know() -> None:
    key = SourceKey("6050", "ALMA", "C-1")
    change = Change(key, b"d", ItemState.REJECTED, "F-1", Reason.OVERTAKEN)
    assert tables.CHANGE.row(change)[-1] == Reason.NO_CHANGE
    assert tables.CHANGE.changed_row(change)[-1] == Reason.NO_CHANGE
