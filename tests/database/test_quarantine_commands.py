"""The commands for records in quarantine: selection, confirmation, what is shown, exit codes."""

import re

import pytest

from tests.support.commands import Commands, MakeCommands
from tests.support.deciding import check_published
from tests.support.quarantine import DOCUMENT, MANIFEST, PROFILE, WHY, export, put_in_quarantine
from tests.support.write_path import PREFIX, WritePath, fine, record


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE, BURSAR_TOPIC_PREFIX=PREFIX)


async def test_all_are_released_in_their_order_after_a_confirmation(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(), fine(fine_id="F-2", currency="EUR"))
    await export(path)
    await put_in_quarantine(path, "balance-changed.v1", DOCUMENT, MANIFEST)
    every = ("quarantined", "release", "--all", *WHY)
    ended = await commands.call(*every, answer="n\n")
    assert ended.exit_code == 1
    assert "Release quarantined records: 5?" in ended.stderr
    before = await commands.lines("quarantined", "list")
    assert len(before) == 5
    some = await commands.lines(*every, "--topic", "balance-changed.v1", "--yes")
    assert [row["done"] for row in some] == [True] * 3
    assert len(await commands.lines("quarantined", "list")) == 2
    rest = await commands.lines(*every, "--yes")
    assert [row["topic"] for row in rest] == [PREFIX + MANIFEST, PREFIX + DOCUMENT]
    ids = [row["ce_id"] for row in (*some, *rest)]
    assert sorted(ids) == sorted(row["ce_id"] for row in before)
    query = "SELECT subject ->> 'ce_id' AS ce_id, operator FROM operator_action ORDER BY action_id"
    assert await path.rows(query) == [{"ce_id": ce_id, "operator": "ann"} for ce_id in ids]
    await check_published(path, commands.topic_prefix)
    assert (await commands.call("quarantined", "list")).stdout == "nothing is in quarantine\n"
    assert (await commands.call(*every, "--yes")).exit_code == 1


async def test_what_a_record_tells_of_is_shown_and_its_value_only_when_asked_for(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(type="LOSTITEMFINE"), record("bursar-payment.v1", b"{"))
    await export(path)
    contracts = ("balance-changed.v1", "loan-closed.v1", "rejected.v1", DOCUMENT, MANIFEST)
    await put_in_quarantine(path, *contracts)
    listed = await commands.lines("quarantined", "list")
    assert [set(row) for row in listed] == [
        {"id", "topic", "reason", "size_bytes", "ce_id", "key", "age"}
    ] * len(listed)
    shown = {}
    for row in listed:
        (record_shown,) = await commands.lines("quarantined", "show", "--id", row["id"])
        assert "value" not in record_shown
        shown[row["topic"].removeprefix(PREFIX), row["id"]] = record_shown
    assert len(shown) == len(listed)
    of = {contract: record_shown for (contract, _), record_shown in shown.items()}
    account = ("6050", "P-1", "USD", 1, 2)
    names = ("institution_id", "patron_id", "currency", "epoch", "sequence")
    assert tuple(of["balance-changed.v1"][name] for name in names) == account
    assert of["loan-closed.v1"]["loan_id"] == "L-1"
    rejected = of["rejected.v1"]
    assert (
        rejected["rejected_topic"],
        rejected["rejected_offset"],
        rejected["rejected_reason"],
    ) == (
        f"{PREFIX}bursar-payment.v1",
        "0",
        "invalid_json",
    )
    parts = [of[name] for name in (DOCUMENT, MANIFEST)]
    assert [(part["profile"], part["batch_number"], part["part"]) for part in parts] == [
        ("SIS", 1, "document"),
        ("SIS", 1, "manifest"),
    ]
    whole = ("quarantined", "show", "--value", "--id", of[DOCUMENT]["id"])
    (with_value,) = await commands.lines(*whole)
    assert with_value["value"].startswith("<?xml")
    assert "batch state" in (await commands.call(*whole)).stdout


async def test_check_says_how_many_are_in_quarantine_and_what_to_do(
    path: WritePath, commands: Commands
) -> None:
    def finding(output: str) -> list[str]:
        rows = [re.split(r" {2,}", row) for row in output.splitlines() if "quarantine " in row]
        return [row[2] for row in rows]

    assert finding((await commands.call("check")).stdout) == ["empty"]
    await path.take(fine())
    await put_in_quarantine(path, "balance-changed.v1")
    (text,) = finding((await commands.call("check")).stdout)
    assert text.startswith("1 record that the broker refused: `bursar-bridge quarantined list`")


@pytest.mark.parametrize(
    "arguments",
    [
        ("quarantined", "release", *WHY),
        ("quarantined", "release", "--all", "--id", "1/0", *WHY),
        ("quarantined", "release", "--id", "1/0", "--topic", DOCUMENT, *WHY),
        ("quarantined", "release", "--id", "1/0"),  # no reason
        ("quarantined", "release", "--id", "1", *WHY),
        ("quarantined", "show", "--id", "99999999999999999999/0"),
        ("quarantined", "show"),
    ],
)
async def test_a_call_without_a_meaning_is_a_matter_of_usage(
    commands: Commands, arguments: tuple[str, ...]
) -> None:
    assert (await commands.call(*arguments)).exit_code == 2


async def test_an_id_that_was_never_in_quarantine_is_refused_in_one_line(
    commands: Commands,
) -> None:
    for arguments in (("release", *WHY), ("show",)):
        ended = await commands.call("quarantined", *arguments, "--id", "7/0")
        assert ended.exit_code == 1
        assert ended.stderr == "bursar-bridge: 7/0 is not in quarantine\n"
