"""A fine's whole story, and a patron's: the ledger, what waits, what was refused and decided.

Amounts are minor units of the entry's currency; times aware UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import asyncpg

from ..core.words import Wait
from ..database.session import Connection, statements
from . import parked, rejected
from .names import names_in
from .parked import ParkedFilter
from .rejected import RejectedFilter

SQL = statements("reports")


class What(StrEnum):
    """The sorts of entries in a story."""

    TRANSACTION = "transaction"
    RESPONSE = "response"
    PARKED = "parked"
    REJECTED = "rejected"
    DECISION = "decision"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened; `reference` names batch and line, payment or change."""

    what: What
    recorded_at: datetime | None  # None: the ledger does not keep when
    occurred_at: datetime | None
    fine_id: str | None
    kind: str
    text: str | None = None
    reference: str | None = None
    currency: str | None = None
    amount: int | None = None
    active_change: int | None = None
    transferred_change: int | None = None
    fine_status: str | None = None
    remaining: int | None = None
    outstanding: int | None = None


@dataclass(frozen=True, slots=True)
class Story:
    fines: Sequence[asyncpg.Record] = ()  # of the view report_fine
    entries: Sequence[Entry] = ()


async def story_of_patron(connection: Connection, institution_id: str, patron_id: str) -> Story:
    """All fines of a patron, in one story."""
    rows = await connection.fetch(SQL["transactions_of_patron"], institution_id, patron_id)
    fine_ids = list(dict.fromkeys(row["fine_id"] for row in rows))
    return await _story(connection, institution_id, fine_ids, rows) if fine_ids else Story()


async def story_of_fine(connection: Connection, institution_id: str, fine_id: str) -> Story:
    """Also of a fine that is not known here yet, as far as records name it."""
    made = await connection.fetch(SQL["credits_of_fine"], institution_id, fine_id)
    fine_ids = [fine_id, *(row["credit_id"] for row in made)]
    rows = await connection.fetch(SQL["transactions_of_fines"], institution_id, fine_ids)
    return await _story(connection, institution_id, fine_ids, rows)


async def story_of_record(
    connection: Connection, institution_id: str, source: str, record_id: str
) -> Story:
    """Of a payment or a change whose fine is not known: what waits under its identity, and what
    was rejected.
    """
    waiting = ParkedFilter(institution_id=institution_id, source=source, id=record_id)
    refused = RejectedFilter(institution_id=institution_id, source=source, id=record_id)
    found = await rejected.find(connection, refused)
    own = f"{source}: {record_id}"
    entries = [
        *(
            Entry(What.PARKED, one.recorded_at, None, one.fine_id, one.record, f"waits: {one.wait}")
            for one in await parked.find(connection, waiting)
        ),
        *(
            Entry(
                What.REJECTED,
                one.recorded_at,
                None,
                None,
                one.place.topic,
                f"{one.reason}: {one.detail}",
            )
            for one in found
        ),
    ]
    return Story((), sorted((replace(one, reference=own) for one in entries), key=_recorded))


async def _story(
    connection: Connection,
    institution_id: str,
    fine_ids: Sequence[str],
    transactions: Sequence[asyncpg.Record],
) -> Story:
    fines = await connection.fetch(SQL["fines"], institution_id, fine_ids)
    exports = (row for row in transactions if row["kind"] in ("export", "export_and_paid"))
    lines = sorted({row["bursar_transaction_id"] for row in exports})
    entries = [
        *map(_transaction, transactions),
        *await _parked(connection, institution_id, fine_ids, lines),
        *await _rejected(connection, institution_id, fine_ids, lines),
        *await _decisions(connection, institution_id, fine_ids),
    ]
    answers = await _responses(connection, institution_id, lines)
    undated = [one for one in answers if one.recorded_at is None]
    entries += (one for one in answers if one.recorded_at is not None)
    entries.sort(key=_recorded)
    return Story(fines, entries + undated)


def _recorded(entry: Entry) -> datetime:
    found = entry.recorded_at or entry.occurred_at
    assert found is not None
    return found


def _transaction(row: asyncpg.Record) -> Entry:
    return Entry(
        What.TRANSACTION,
        row["recorded_at"],
        row["occurred_at"],
        row["fine_id"],
        row["kind"],
        _joined(row["label"], row["comment"], row["status_code"]),
        _reference(row),
        row["currency"],
        row["amount"],
        row["active_change"],
        row["transferred_change"],
        row["fine_status"],
        row["fine_remaining"],
        row["fine_outstanding"],
    )


def _reference(row: asyncpg.Record) -> str | None:
    if row["profile"] is not None:
        return f"{row['profile']} {row['batch_number']}: {row['bursar_transaction_id']}"
    if row["source"] is None:
        return None
    taken_back = row["reverses_payment_id"]
    own = f"{row['source']}: {row['payment_id'] or row['change_id']}"
    return own if taken_back is None else f"{own}, reverses {taken_back}"


async def _parked(
    connection: Connection, institution_id: str, fine_ids: Sequence[str], lines: Sequence[str]
) -> list[Entry]:
    rows = await connection.fetch(SQL["parked_for_fines"], institution_id, fine_ids)
    waiting = [
        Entry(
            What.PARKED,
            row["recorded_at"],
            None,
            row["fine_id"],
            row["record"],
            f"waits: {row['wait']}",
            f"{row['source']}: {row['id']}",
        )
        for row in rows
    ]
    wanted = ParkedFilter(institution_id=institution_id, wait=Wait.INTERNAL_ERROR)
    for one in await parked.find(connection, wanted):
        names = names_in(one.origin.value)
        if names is not None and (names.fine_id in fine_ids or names.lines & set(lines)):
            text, own = f"waits: {one.wait}", _joined(one.source, one.id, by=": ")
            waiting.append(
                Entry(What.PARKED, one.recorded_at, None, one.fine_id, one.record, text, own)
            )
    return waiting


async def _rejected(
    connection: Connection, institution_id: str, fine_ids: Sequence[str], lines: Sequence[str]
) -> list[Entry]:
    """Records whose bytes name a fine or a line of it, and refused payments without their bytes."""
    found = []
    seen = set()
    for one, names in await rejected.find_naming(connection, institution_id, fine_ids, lines):
        seen.add((names.source, names.id))
        text = _joined(f"{one.reason}: {one.detail}", None if one.state == "open" else one.state)
        own = _joined(names.source, names.id, by=": ")
        found.append(
            Entry(What.REJECTED, one.recorded_at, None, names.fine_id, one.place.topic, text, own)
        )
    rows = await connection.fetch(SQL["rejected_payments_of_fines"], institution_id, fine_ids)
    for row in rows:
        own = f"{row['source']}: {row['payment_id']}"
        if (row["source"], row["payment_id"]) not in seen:
            found.append(
                Entry(
                    What.REJECTED,
                    None,
                    row["paid_at"],
                    row["fine_id"],
                    row["kind"],
                    row["reason"],
                    own,
                    row["currency"],
                    row["amount"],
                )
            )
    return found


async def _decisions(
    connection: Connection, institution_id: str, fine_ids: Sequence[str]
) -> list[Entry]:
    rows = await connection.fetch(SQL["actions_on_fines"], institution_id, fine_ids)
    return [
        Entry(
            What.DECISION,
            row["recorded_at"],
            None,
            row["fine_id"],
            row["action"],
            f"{row['outcome']} ({row['operator']}: {row['reason']})",
            _joined(row["source"], row["id"], by=": "),
        )
        for row in rows
    ]


async def _responses(
    connection: Connection, institution_id: str, lines: Sequence[str]
) -> list[Entry]:
    """A refused line is a transaction, too. When an answer came, older versions did not keep."""
    rows = await connection.fetch(SQL["responses_of_lines"], institution_id, lines)
    return [
        Entry(
            What.RESPONSE,
            row["recorded_at"],
            row["responded_at"],
            row["fine_id"],
            row["state"],
            _joined(row["outcome"], row["reason"], f"line {row['line_state']}", row["line_reason"]),
            f"{row['source']}: {row['response_id']}, {row['profile']} {row['batch_number']}: "
            f"{row['bursar_transaction_id']}",
        )
        for row in rows
    ]


def _joined(*texts: str | None, by: str = ", ") -> str | None:
    return by.join(text for text in texts if text) or None
