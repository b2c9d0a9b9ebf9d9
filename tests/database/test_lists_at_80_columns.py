"""The operators' lists on a terminal of 80 columns, with long identifiers."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from rich.cells import cell_len

from service.cli import accounts, batches, held, history, parked, quarantined, rejected
from service.cli.lists import Kind, Listing
from tests.support.commands import Commands, MakeCommands
from tests.support.installation import institution, profile
from tests.support.quarantine import put_in_quarantine
from tests.support.write_path import PREFIX, WritePath, fine, payment, response

PROFILE = institution() + profile("STUDENT_INFORMATION", overpayment="hold")
TERMINAL = {"COLUMNS": "80", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb"}
PATRON = ("--institution", "6050", "--patron", "P-1")
BATCH = ("--profile", "STUDENT_INFORMATION", "--batch", "1")
LISTS: Sequence[tuple[Sequence[str], Sequence[Listing]]] = (
    (("parked", "list"), [parked.PARKED]),
    (("rejected", "list"), [rejected.REJECTED]),
    (("held", "list"), [held.HELD]),
    (("quarantined", "list"), [quarantined.QUARANTINED]),
    (("history", *PATRON), [history.FINES, history.ENTRIES]),
    (("payments", "list"), [history.PAYMENTS]),
    (("balance", *PATRON), [accounts.BALANCES]),
    (("export", "list"), [batches.BATCHES]),
    (("export", "show", *BATCH), [batches.EXPORT_LINES]),
    (("reconcile",), [accounts.PROFILES, accounts.ACCOUNTS]),
)


def long_id(number: int) -> str:
    return str(UUID(int=0x3F2B8C1E77AA4E0B9D5C000000000000 + number))


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE, BURSAR_TOPIC_PREFIX=PREFIX, **TERMINAL)


async def fill(path: WritePath) -> None:
    """One record or more for every list; amounts as large as the contract lets them be."""
    exported, refused, later = (long_id(number) for number in range(3))
    amount = "9999999999.99"
    await path.take(fine(fine_id=exported, amount=amount), fine(fine_id=refused, amount=amount))
    await path.export(PROFILE)
    bursar_id = await path.value(
        "SELECT bursar_transaction_id FROM export_line WHERE fine_id = $1", refused
    )
    lines = [{"bursar_transaction_id": bursar_id, "reason": "no such student " * 10}]
    answer = response(
        profile="STUDENT_INFORMATION",
        batch_number=1,
        outcome="partial",
        refused_lines=lines,
        response_id=long_id(9),
    )
    await path.take(
        answer,
        payment(payment_id=long_id(3), fine_id=exported, amount="5.00"),
        payment(payment_id=long_id(4), fine_id=exported, amount=amount),
        payment(payment_id=long_id(5), fine_id=long_id(6), amount="5.00"),
        payment(payment_id=long_id(7), fine_id=exported, amount="5.00", currency="EUR"),
        payment(payment_id=long_id(8), amount="0.00"),
        fine(fine_id=later, amount=amount),
    )
    await put_in_quarantine(path, "balance-changed.v1")


async def test_every_list_keeps_its_ids_and_numbers_whole(
    path: WritePath, commands: Commands
) -> None:
    await fill(path)
    for arguments, listings in LISTS:
        rows = await commands.lines(*arguments)
        assert rows, arguments
        wides = ((), ("--wide",)) if any(has_wide(listing) for listing in listings) else ((),)
        for wide in wides:
            ended = await commands.call(*arguments, *wide)
            assert ended.exit_code == 0, ended.output
            lines = ended.stdout.splitlines()
            assert [line for line in lines if cell_len(line) > 80] == [], arguments
            names = {
                column.name
                for listing in listings
                for column in listing.columns
                if column.kind in (Kind.ID, Kind.NUMBER) and (wide or not column.wide)
            }
            values = {str(row[name]) for row in rows for name in names if row.get(name)}
            assert [value for value in values if not any(value in line for line in lines)] == []


def has_wide(listing: Listing) -> bool:
    return any(column.wide for column in listing.columns)
