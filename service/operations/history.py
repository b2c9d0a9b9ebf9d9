"""Collects all that happened to a fine, or to the fines of a patron, from all tables of the
database.

Amounts are minor units of the entry's currency; times have the time zone UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import asyncpg

from ..core.outcomes import rejected_in_words, waits_in_words
from ..core.words import Reason, RejectedState, Wait
from ..database.session import Connection, statements
from . import parked, rejected
from .names import names_in
from .parked_records import ParkedFilter, ParkedRecord
from .rejected import RejectedFilter, RejectedRecord

SQL = statements("reports")


class What(StrEnum):
    """The sort of an entry, such as a transaction or an answer of the bursar."""

    TRANSACTION = "transaction"
    RESPONSE = "response"
    PARKED = "parked"
    REJECTED = "rejected"
    DECISION = "decision"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened to a fine. `reference` names the batch and line, the payment or the
    change that the entry is about.

    `recorded_at` is None if the ledger does not keep when the entry was recorded.
    """

    what: What
    kind: str
    recorded_at: datetime | None = None
    occurred_at: datetime | None = None
    fine_id: str | None = None
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
    """The fines that were found, as rows of the view report_fine, and what happened to them."""

    fines: Sequence[asyncpg.Record] = ()
    entries: Sequence[Entry] = ()


async def story_of_patron(connection: Connection, institution_id: str, patron_id: str) -> Story:
    """Returns what happened to all fines of a patron, and the parked payments that name only the
    patron (sums without a line).
    """
    rows = await connection.fetch(SQL["transactions_of_patron"], institution_id, patron_id)
    fine_ids = list(dict.fromkeys(row["fine_id"] for row in rows))
    sums = await connection.fetch(SQL["parked_sums_of_patron"], institution_id, patron_id)
    waiting = [
        replace(_waiting(row), currency=row["currency"], amount=row["amount"]) for row in sums
    ]
    if not fine_ids and not waiting:
        return Story()
    return await _story(connection, institution_id, fine_ids, rows, waiting)


async def story_of_fines(
    connection: Connection, institution_id: str, fine_ids: Sequence[str]
) -> Story:
    """Returns what happened to the given fines, and to the credits that were made because of them.

    A fine that the ledger does not know yet is included if parked or rejected records name it.
    """
    ids = dict.fromkeys(fine_ids)
    for fine_id in fine_ids:
        made = await connection.fetch(SQL["credits_of_fine"], institution_id, fine_id)
        ids |= dict.fromkeys(row["credit_id"] for row in made)
    rows = await connection.fetch(SQL["transactions_of_fines"], institution_id, list(ids))
    return await _story(connection, institution_id, list(ids), rows)


async def story_of_record(
    connection: Connection, institution_id: str, source: str, record_id: str
) -> Story:
    """Returns the parked and rejected records with the identity of a payment or change, for which
    no fine is known.
    """
    waiting = ParkedFilter(institution_id=institution_id, source=source, id=record_id)
    not_applied = RejectedFilter(institution_id=institution_id, source=source, id=record_id)
    entries = [
        *map(_parked, await parked.find(connection, waiting)),
        *map(_rejected, await rejected.find(connection, not_applied)),
    ]
    reference = f"{source}: {record_id}"
    entries = [replace(entry, reference=reference) for entry in entries]
    return Story((), sorted(entries, key=_recorded))


async def _story(
    connection: Connection,
    institution_id: str,
    fine_ids: Sequence[str],
    transactions: Sequence[asyncpg.Record],
    waiting: Sequence[Entry] = (),
) -> Story:
    fines = await connection.fetch(SQL["fines"], institution_id, fine_ids)
    exports = (row for row in transactions if row["kind"] in ("export", "export_and_paid"))
    bursar_transaction_ids = sorted({row["bursar_transaction_id"] for row in exports})
    entries = [
        *waiting,
        *map(_transaction, transactions),
        *await _all_parked(connection, institution_id, fine_ids, bursar_transaction_ids),
        *await _all_rejected(connection, institution_id, fine_ids, bursar_transaction_ids),
        *await _decisions(connection, institution_id, fine_ids),
        *await _responses(connection, institution_id, bursar_transaction_ids),
    ]
    # Releases before 0.4.0 did not keep when an answer came: such answers stand at the end.
    dated = [entry for entry in entries if not _is_undated_response(entry)]
    undated = [entry for entry in entries if _is_undated_response(entry)]
    return Story(fines, sorted(dated, key=_recorded) + undated)


def _is_undated_response(entry: Entry) -> bool:
    return entry.what is What.RESPONSE and entry.recorded_at is None


def _recorded(entry: Entry) -> datetime:
    instant = entry.recorded_at or entry.occurred_at
    assert instant is not None
    return instant


def _transaction(row: asyncpg.Record) -> Entry:
    return Entry(
        What.TRANSACTION,
        row["kind"],
        row["recorded_at"],
        row["occurred_at"],
        row["fine_id"],
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
    record = f"{row['source']}: {row['payment_id'] or row['change_id']}"
    reversed_id = row["reverses_payment_id"]
    return record if reversed_id is None else f"{record}, reverses {reversed_id}"


async def _all_parked(
    connection: Connection,
    institution_id: str,
    fine_ids: Sequence[str],
    bursar_transaction_ids: Sequence[str],
) -> list[Entry]:
    rows = await connection.fetch(SQL["parked_for_fines"], institution_id, fine_ids)
    entries = list(map(_waiting, rows))
    failed = ParkedFilter(institution_id=institution_id, wait=Wait.INTERNAL_ERROR)
    for record in await parked.find(connection, failed):
        names = names_in(record.origin.value)
        if names is not None and names.has_any(fine_ids, bursar_transaction_ids):
            entries.append(_parked(record))
    return entries


def _waiting(row: asyncpg.Record) -> Entry:
    return Entry(
        What.PARKED,
        row["record"],
        recorded_at=row["recorded_at"],
        fine_id=row["fine_id"],
        text=waits_in_words(Wait(row["wait"])),
        reference=f"{row['source']}: {row['id']}",
    )


def _parked(record: ParkedRecord) -> Entry:
    return Entry(
        What.PARKED,
        record.record,
        recorded_at=record.recorded_at,
        fine_id=record.fine_id,
        text=waits_in_words(record.wait),
        reference=_joined(record.source, record.id, by=": "),
    )


async def _all_rejected(
    connection: Connection,
    institution_id: str,
    fine_ids: Sequence[str],
    bursar_transaction_ids: Sequence[str],
) -> list[Entry]:
    """Records whose bytes name a fine or a line of it, and rejected payments without bytes."""
    entries = []
    identities = set()
    key = (institution_id, fine_ids, bursar_transaction_ids)
    for record, names in await rejected.find_naming(connection, *key):
        identities.add((names.source, names.id))
        state = None if record.state is RejectedState.OPEN else record.state
        entry = _rejected(record)
        entries.append(
            replace(
                entry,
                fine_id=names.fine_id,
                text=_joined(entry.text, state),
                reference=_joined(names.source, names.id, by=": "),
            )
        )
    rows = await connection.fetch(SQL["rejected_payments_of_fines"], institution_id, fine_ids)
    entries += [
        Entry(
            What.REJECTED,
            row["kind"],
            occurred_at=row["paid_at"],
            fine_id=row["fine_id"],
            text=rejected_in_words(Reason(row["reason"]), row["bursar_transaction_id"]),
            reference=f"{row['source']}: {row['payment_id']}",
            currency=row["currency"],
            amount=row["amount"],
        )
        for row in rows
        if (row["source"], row["payment_id"]) not in identities
    ]
    return entries


def _rejected(record: RejectedRecord) -> Entry:
    text = f"{record.reason}: {record.detail}"
    return Entry(What.REJECTED, record.place.topic, recorded_at=record.recorded_at, text=text)


async def _decisions(
    connection: Connection, institution_id: str, fine_ids: Sequence[str]
) -> list[Entry]:
    return [
        Entry(
            What.DECISION,
            row["action"],
            recorded_at=row["recorded_at"],
            fine_id=row["fine_id"],
            text=f"{row['outcome']} ({row['operator']}: {row['reason']})",
            reference=_joined(row["source"], row["id"], by=": "),
        )
        for row in await connection.fetch(SQL["actions_on_fines"], institution_id, fine_ids)
    ]


async def _responses(
    connection: Connection, institution_id: str, bursar_transaction_ids: Sequence[str]
) -> list[Entry]:
    """Answers of the bursar; a line that one refused is a transaction, too."""
    key = (institution_id, bursar_transaction_ids)
    return [
        Entry(
            What.RESPONSE,
            row["state"],
            row["recorded_at"],
            row["responded_at"],
            row["fine_id"],
            _joined(row["outcome"], row["reason"], f"line {row['line_state']}", row["line_reason"]),
            f"{row['source']}: {row['response_id']}, {row['profile']} {row['batch_number']}: "
            f"{row['bursar_transaction_id']}",
        )
        for row in await connection.fetch(SQL["responses_of_lines"], *key)
    ]


def _joined(*texts: str | None, by: str = ", ") -> str | None:
    return by.join(text for text in texts if text) or None
