"""The operators' commands: selection, confirmation, exit codes, JSON lines, nothing personal."""

import json
import os
from pathlib import Path

import pytest

from service.cli.session import log_format
from service.settings import Settings
from tests.support.commands import Commands, MakeCommands
from tests.support.deciding import PROFILE, export
from tests.support.inputs import ABSENT
from tests.support.write_path import WritePath, change, fine, payment

WHY = ("--reason", "the bursar confirmed it")


PAID = ("--institution", "6050", "--source", "SAP", "--id", "PAY-1")


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE)


async def test_a_held_overpayment_is_listed_shown_and_released(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await path.take(payment(amount="100.00"))
    (listed,) = await commands.lines("parked", "list", "--wait", "overpaid_held")
    assert (listed["id"], listed["fine_id"], listed["offset"]) == ("PAY-1", "F-1", 0)
    place = ("--topic", listed["topic"], "--partition", "0", "--offset", "0")
    (shown,) = await commands.lines("parked", "show", *place)
    assert "value" not in shown
    (row,) = await commands.lines("parked", "release", *PAID, *WHY, "--operator", "ann")
    assert row["done"]
    (action,) = await path.rows("SELECT operator, reason, subject FROM operator_action")
    assert (action["operator"], action["reason"]) == ("ann", WHY[1])
    assert json.loads(str(action["subject"]))["id"] == "PAY-1"
    assert (await commands.call("parked", "list")).stdout == "nothing is parked\n"


async def test_all_is_asked_for_once_and_filtered(path: WritePath, commands: Commands) -> None:
    await path.take(
        payment(), payment(payment_id="PAY-2"), payment(payment_id="P", institution_id="77")
    )
    every = ("parked", "discard", "--all", "--institution", "6050", *WHY)
    ended = await commands.call(*every, answer="n\n")
    assert ended.exit_code == 1
    assert "Discard parked records: 2?" in ended.stderr
    assert len(await commands.lines("parked", "list")) == 3
    assert [line["done"] for line in await commands.lines(*every, "--yes")] == [True, True]
    assert [line["institution_id"] for line in await commands.lines("parked", "list")] == ["77"]
    assert (await commands.call(*every, "--yes")).exit_code == 1  # nothing found


@pytest.mark.parametrize(
    "arguments",
    [
        ("parked", "release", *PAID),  # no reason
        ("parked", "release", *WHY),
        ("parked", "release", *PAID, "--all", *WHY),
        ("parked", "release", *PAID, "--topic", "t", *WHY),
        ("parked", "release", "--institution", "6050", *WHY),
        ("parked", "release", "--topic", "t", "--offset", "0", *WHY),
        ("parked", "discard", *PAID, "--wait", "unknown_fine", *WHY),
        ("parked", "discard", *PAID, "--reason", "  "),
        ("parked", "discard", *PAID, "--reason", "x" * 501),
        ("parked", "discard", *PAID, "--reason", "a\x1b[2J"),
        ("parked", "list", "--older-than", "soon"),
        ("parked", "list", "--wait", "nothing"),
        ("rejected", "replay", *WHY),
        ("rejected", "list", "--reason", "because"),
        ("rejected", "list", "--because", "because"),
        ("rejected", "list", "--state", "shut"),
        ("held", "release", *WHY),
        ("held", "release", "--fine", "F-1", *WHY),
        ("held", "release", "--all", "--profile", "NONE", "--yes", *WHY),
    ],
)
async def test_a_call_without_a_meaning_is_a_matter_of_usage(
    commands: Commands, arguments: tuple[str, ...]
) -> None:
    assert (await commands.call(*arguments)).exit_code == 2


async def test_the_former_name_of_a_filter_works_with_a_warning(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment(amount="0.00"), payment(payment_id="PAY-2", currency="XXX"))
    named = await commands.call("rejected", "list", "--because", "invalid_amount", "--json")
    former = await commands.call("rejected", "list", "--reason", "invalid_amount", "--json")
    assert (former.stdout, named.stderr) == (named.stdout, "")
    assert former.stderr == "bursar-bridge: --reason: is called --because in this list\n"
    assert len(former.stdout.splitlines()) == 1
    both = ("--reason", "invalid_amount", "--because", "invalid_amount")
    assert (await commands.call("rejected", "list", *both)).exit_code == 2


async def test_what_is_not_there_is_refused(commands: Commands) -> None:
    for command in ("parked release", "parked discard", "rejected replay", "rejected discard"):
        assert (await commands.call(*command.split(), *PAID, *WHY)).exit_code == 1
    unknown = ("--institution", "6050", "--fine", "F-1")
    assert (await commands.call("held", "release", *unknown, *WHY)).exit_code == 1


@pytest.mark.parametrize(
    ("command", "options", "kind"),
    [
        ("parked show", PAID, "parked record"),
        ("rejected show", PAID, "rejected record"),
        ("held show", ("--institution", "6050", "--fine", "F-1"), "fine"),
        ("export show", ("--profile", "SIS", "--batch", "9"), "batch"),
        ("balance", ("--institution", "6050", "--patron", "P-1"), "account"),
        (
            "history",
            ("--institution", "6050", "--payment", "SAP", "PAY-1"),
            "fine, patron or record",
        ),
    ],
)
async def test_a_command_that_finds_nothing_says_what_it_looked_for(
    commands: Commands, command: str, options: tuple[str, ...], kind: str
) -> None:
    ended = await commands.call(*command.split(), *options)
    message = f"bursar-bridge: no {kind} matches {' '.join(options)}\n"
    assert (ended.exit_code, ended.stderr) == (1, message)


async def test_an_empty_list_names_the_options_that_selected_from_it(commands: Commands) -> None:
    listed = await commands.call("parked", "list", "--fine", "F-1", "--limit", "7")
    assert listed.stdout == "no parked record matches --fine F-1\n"
    assert (await commands.call("parked", "list", "--wide")).stdout == "nothing is parked\n"


async def test_what_still_waits_is_told_with_exit_code_1(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment())
    (row,) = await commands.lines("parked", "release", *PAID, *WHY, code=1)
    assert (row["done"], row["outcome"]) == (False, "still waits: unknown_fine")


async def test_a_payment_and_a_change_of_one_id_are_told_apart(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment(source="X", payment_id="1"), change(source="X", change_id="1"))
    both = ("--institution", "6050", "--source", "X", "--id", "1")
    assert (await commands.call("parked", "discard", *both, *WHY)).exit_code == 2
    (row,) = await commands.lines("parked", "discard", *both, "--record", "change", *WHY)
    assert row["record"] == "change"


async def test_a_waiting_reversal_is_told_from_a_payment(
    path: WritePath, commands: Commands
) -> None:
    back = {"kind": "reversal", "reverses_payment_id": "PAY-1", "fine_id": ABSENT}
    await path.take(payment(payment_id="R", **back), payment(payment_id="P"), change())
    listed = await commands.lines("parked", "list")
    assert {item["id"]: (item["record"], item["kind"]) for item in listed} == {
        "R": ("payment", "reversal"),
        "P": ("payment", "payment"),
        "C-1": ("change", "paid"),
    }


async def test_only_what_a_person_may_decide_is_released(
    path: WritePath, commands: Commands
) -> None:
    await path.take(
        fine(exportable=False),
        fine(fine_id="F-2"),
        fine(fine_id="F-3", exportable=False),
        change(fine_id="F-2", kind="disputed", amount=ABSENT, currency=ABSENT),
    )

    def released(fine_id: str) -> tuple[str, ...]:
        return ("held", "release", "--institution", "6050", "--fine", fine_id, *WHY)

    (row,) = await commands.lines(*released("F-1"))
    assert row["outcome"] == "released"
    (again,) = await commands.lines(*released("F-1"), code=1)
    assert again["outcome"] == "is not held back"
    (disputed,) = await commands.lines(*released("F-2"), code=1)
    assert disputed["outcome"].startswith("is in dispute: the library restores it")
    (rest,) = await commands.lines("held", "release", "--all", "--yes", *WHY)
    assert (rest["fine_id"], rest["done"]) == ("F-3", True)
    await export(path)
    (exported,) = await commands.lines(*released("F-1"), code=1)
    assert exported["outcome"] == "is not open: Transferred"
    (shown,) = await commands.lines("held", "show", "--institution", "6050", "--fine", "F-1")
    assert [item["action"] for item in shown["decisions"]] == ["held_release"]
    assert (shown["exported_by"], shown["exported_as"] is None) == ("SIS", False)


def test_what_is_logged_beside_a_table_is_text_on_a_terminal_unless_told(tmp_path: Path) -> None:
    places = {
        "database_url": "postgresql://a@127.0.0.1/a",
        "kafka_bootstrap_servers": "127.0.0.1:1",
    }
    settings = Settings.model_validate(places)
    result = Settings.model_validate({**places, "log_format": "json"})
    first, second = os.openpty()
    with (
        os.fdopen(first, "rb"),
        os.fdopen(second, "w") as terminal,
        (tmp_path / "log").open("w") as file,
    ):
        formats = [log_format(item, out) for item in (settings, result) for out in (terminal, file)]
    assert formats == ["console", "json", "json", "json"]
