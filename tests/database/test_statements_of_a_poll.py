"""How many statements a poll needs: as many for a thousand records as for a few."""

from __future__ import annotations

import asyncpg
import pytest

from service.database.references import references_of
from service.database.session import Connection, statements
from tests.database.test_statements import all_statements
from tests.support.exports import fines, profiles_with, run
from tests.support.inputs import ABSENT
from tests.support.write_path import Record, WritePath, payment

NAMES = {statements(file)[name]: name for file, name in all_statements()}
OF_FINES = [
    "accounts_of_references",
    "known_fines",
    "insert_missing_accounts",
    "lock_accounts",
    "clock",
    "parked_waiting",
    "read_fine",
    "write_account",
    "write_patron",
    "put",
]
OF_PAYMENTS = [
    "accounts_of_references",
    "lock_accounts",
    "clock",
    "read_export_line",
    "read_payment",
    "parked_waiting",
    "read_fine",
    "read_terms",
    "write_account",
    "write_fine",
    "put",
]


async def statements_of(path: WritePath, records: list[Record]) -> list[str]:
    """The names of the statements of a commit of these records, but for COPY, in their order."""
    events = (await path.poll(records)).events
    sent: list[str] = []

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        if query.query in NAMES:
            sent.append(NAMES[query.query])

    async def apply(connection: Connection) -> object:
        connection.add_query_logger(note)
        return await path.applier.apply_events(connection, references_of(events), events)

    await path.applier.run_in_transaction(apply)
    return sent


@pytest.mark.parametrize("count", [2, 400])
async def test_new_fines_need_ten_statements(path: WritePath, count: int) -> None:
    assert await statements_of(path, fines(count)) == OF_FINES


@pytest.mark.parametrize("count", [2, 400])
async def test_payments_of_exported_fines_need_eleven_statements(
    path: WritePath, count: int
) -> None:
    await path.take(*fines(count))
    await run(path, profiles_with())
    lines = await path.rows("SELECT bursar_transaction_id FROM export_line")
    paid = [
        payment(
            payment_id=f"PAY-{n}",
            fine_id=ABSENT,
            bursar_transaction_id=line["bursar_transaction_id"],
            amount="1.00",
        )
        for n, line in enumerate(lines)
    ]
    assert await statements_of(path, paid) == OF_PAYMENTS
