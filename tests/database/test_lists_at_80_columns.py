"""The operators' lists on a terminal of 80 columns, with long identifiers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from rich.cells import cell_len
from typer.main import get_command

from service.cli import (
    accounts,
    audit,
    batches,
    check,
    decisions,
    held,
    history,
    intake,
    parked,
    purging,
    quarantined,
    recovered,
    recovery_lists,
    rejected,
)
from service.cli.lists import Kind, Listing
from service.cli.program import application
from tests.support.adopting import adopt
from tests.support.commands import Commands, MakeCommands
from tests.support.installation import institution, profile
from tests.support.quarantine import put_in_quarantine
from tests.support.write_path import WritePath, fine, payment, response

CODE = "STUDENT_INFORMATION"
PROFILE = institution() + profile(CODE, overpayment="hold")
TERMINAL = {"COLUMNS": "80", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb"}
AMOUNT = "9999999999.99"


def long_id(number: int) -> str:
    return str(UUID(int=0x3F2B8C1E77AA4E0B9D5C000000000000 + number))


PATRON = ("--institution", "6050", "--patron", "P-1")
FINE = ("--institution", "6050", "--fine", long_id(2))
BATCH = ("--profile", CODE, "--batch", "1")
PAID = ("--institution", "6050", "--source", "SAP", "--id", long_id(4))
WHY = ("--reason", "asked the bursar", "--operator", "ann")
STOPPED = """
INSERT INTO intake_stop (topic, institution_id, bad_records, reason)
VALUES ('library.export-response.v1', $1, 9999999999, 'credit_already_exported')
"""
CARD: Sequence[Listing] = ()

# Each call with its lists and its exit code; the last ones change something.
Call = tuple[Sequence[str], Sequence[Listing], int]
CALLS: Sequence[Call] = (
    (("parked", "list"), [parked.PARKED], 0),
    (("parked", "show", *PAID), CARD, 0),
    (("rejected", "list"), [rejected.REJECTED], 0),
    (("rejected", "show", "--institution", "6050", "--id", long_id(7)), CARD, 0),
    (("held", "list"), [held.HELD], 0),
    (("held", "show", *FINE), CARD, 0),
    (("quarantined", "list"), [quarantined.QUARANTINED], 0),
    (("history", *PATRON), [history.FINES, history.ENTRIES], 0),
    (("payments", "list"), [history.PAYMENTS], 0),
    (("balance", *PATRON), [accounts.BALANCES], 0),
    (("export", "list"), [batches.BATCHES], 0),
    (("export", "show", *BATCH), [batches.EXPORT_LINES], 0),
    (("reconcile",), [accounts.PROFILES, accounts.ACCOUNTS], 0),
    (("audit",), [audit.TOPICS, audit.FINDINGS], 1),
    (("check",), [check.CHECKED], 1),
    (("purge", "--dry-run"), [purging.PURGED], 0),
    (("intake", "list"), [intake.STOPS], 0),
    (("held", "release", *FINE, *WHY), [decisions.OUTCOMES], 1),
)
# After a recovery.
RECOVERED: Sequence[Call] = (
    (("recovered", "lines"), [recovered.LINES], 0),
    (("recovered", "accounts"), [recovery_lists.ACCOUNTS], 0),
    (("recovered", "batches"), [recovery_lists.BATCHES], 0),
    (("recovered", "decisions"), [recovery_lists.DECISIONS], 0),
)
# They show what `held release` shows, read files or topics, or show something else each time; tests
# of their own call them, and tests/unit/test_tables.py shows their lists with made rows.
ELSEWHERE = {
    *("parked release", "parked discard", "rejected replay", "rejected discard"),
    *("quarantined release", "recovered take", "recovered drop", "export pause", "export resume"),
    *(
        "intake resume",
        "erase",
        "restore-check clear",
        "restore-check accept-move",
        "export run",
        "export preview",
    ),
    *("deliver", "import", "recover", "restore-check billed", "restore-check show"),
}


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE, **TERMINAL)


async def fill(path: WritePath) -> None:
    """One record or more for every list; amounts as large as the contract lets them be."""
    exported, refused, later = (long_id(number) for number in range(3))
    await path.take(fine(fine_id=exported, amount=AMOUNT), fine(fine_id=refused, amount=AMOUNT))
    await path.export(PROFILE)
    bursar_id = await path.value(
        "SELECT bursar_transaction_id FROM export_line WHERE fine_id = $1", refused
    )
    lines = [{"bursar_transaction_id": bursar_id, "reason": "no such student " * 10}]
    answer = response(
        profile=CODE,
        batch_number=1,
        outcome="partial",
        refused_lines=lines,
        response_id=long_id(9),
    )
    await path.take(
        answer,
        payment(payment_id=long_id(3), fine_id=exported, amount="5.00"),
        payment(payment_id=long_id(4), fine_id=exported, amount=AMOUNT),
        payment(payment_id=long_id(5), fine_id=long_id(6), amount="5.00"),
        payment(payment_id=long_id(7), fine_id=exported, amount="5.00", currency="EUR"),
        payment(payment_id=long_id(8), amount="0.00"),
        fine(fine_id=later, amount=AMOUNT),
    )
    await path.pool.execute(STOPPED, long_id(10))
    await put_in_quarantine(path, "balance-changed.v1")


async def check_call(
    commands: Commands, arguments: Sequence[str], listings: Sequence[Listing], code: int
) -> None:
    """No line is wider than the terminal, and no id or number is in pieces or left out."""
    rows = await commands.lines(*arguments, code=code)
    assert rows, arguments
    wides = ((), ("--wide",)) if any(has_wide(listing) for listing in listings) else ((),)
    for wide in wides:
        ended = await commands.call(*arguments, *wide)
        assert ended.exit_code == code, ended.output
        lines = ended.stdout.splitlines()
        assert [line for line in lines if cell_len(line) > 80] == [], arguments
        values = values_of(rows, listings, is_wide=bool(wide))
        assert [value for value in values if not any(value in line for line in lines)] == []


def values_of(
    rows: Sequence[Mapping[str, object]], listings: Sequence[Listing], *, is_wide: bool
) -> set[str]:
    """The ids and numbers that are to be shown; of a card, all single words."""
    if listings is CARD:
        texts = {
            (name, value) for row in rows for name, value in row.items() if isinstance(value, str)
        }
        # An age grows between two calls, and an instant is printed otherwise.
        return {
            text for name, text in texts if " " not in text and not name.endswith(("age", "_at"))
        }
    names = {
        column.name
        for listing in listings
        for column in listing.columns
        if column.kind in (Kind.ID, Kind.NUMBER) and (is_wide or not column.wide)
    }
    return {str(row[name]) for row in rows for name in names if row.get(name)}


def has_wide(listing: Listing) -> bool:
    return any(column.wide for column in listing.columns)


async def test_every_list_keeps_its_ids_and_numbers_whole(
    path: WritePath, commands: Commands
) -> None:
    await fill(path)
    for arguments, listings, code in CALLS:
        await check_call(commands, arguments, listings, code)
    (record, *_) = await commands.lines("quarantined", "list")
    await check_call(commands, ("quarantined", "show", "--id", record["id"]), CARD, 0)


LOST_DECISION = """
INSERT INTO recovery_decision
    (epoch, ce_id, action_id, action, institution_id, subject, details, outcome, recorded_at)
VALUES (2, $1, 9999999999, 'parked_discard', '6050', $2, '{}', 'discarded', now())
"""
KNOWN_BETTER = """
INSERT INTO recovery_account
    (institution_id, patron_id, currency, epoch, own_epoch, own_sequence, published_epoch,
     published_sequence, published_active, published_transferred, last_event, raised_to)
VALUES ('6050', $1, 'USD', 2, 1, 1, 1, 9999999999, 999999999999, -999999999999, $2, 9999999999)
"""


async def test_the_lists_after_a_recovery_keep_their_ids_and_numbers_whole(
    path: WritePath,
    restored: WritePath,
    restored_url: str,
    bootstrap_servers: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(PROFILE)
    commands = Commands(restored_url, bootstrap_servers, BURSAR_PROFILES_FILE=str(file), **TERMINAL)
    await path.take(*(fine(fine_id=long_id(number), amount=AMOUNT) for number in range(2)))
    await path.export(PROFILE)
    await adopt(path, restored)
    patron = {"patron_id": long_id(6), "name": "Doe", "user_group": "STAFF", "identifiers": []}
    await restored.take(fine(fine_id=long_id(8), amount=AMOUNT, patron=patron))
    subject = f'{{"institution_id": "6050", "record": "payment", "id": "{long_id(4)}"}}'
    await restored.pool.execute(LOST_DECISION, long_id(5), subject)
    event = f'{{"kind": "payment", "fine_id": "{long_id(0)}"}}'
    await restored.pool.execute(KNOWN_BETTER, long_id(6), event)
    for arguments, listings, code in RECOVERED:
        await check_call(commands, arguments, listings, code)


def test_every_command_with_json_is_called_here_or_elsewhere() -> None:
    """So that a new list is not forgotten."""
    called = {
        " ".join(word for word in arguments[:2] if not word.startswith("-"))
        for arguments, _, _ in (*CALLS, *RECOVERED)
    } | {"quarantined show"}
    with_json = set(commands_with("--json"))
    assert with_json - ELSEWHERE == called
    assert with_json >= ELSEWHERE


def commands_with(option: str) -> Sequence[str]:
    """The names of the program's commands that have an option."""
    program = get_command(application)
    groups = getattr(program, "commands", {})
    return [
        f"{name} {inner}".rstrip()
        for name, command in groups.items()
        for inner, leaf in (getattr(command, "commands", None) or {"": command}).items()
        if any(option in parameter.opts for parameter in leaf.params)
    ]
