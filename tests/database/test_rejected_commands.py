"""The commands on rejected records: list, show and replay."""

import pytest

from service.operations import rejected
from tests.support.commands import Commands, MakeCommands
from tests.support.deciding import PROFILE, export
from tests.support.inputs import ABSENT
from tests.support.write_path import WritePath, change, fine, payment, record


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE)


WHY = ("--reason", "the bursar confirmed it")


async def test_a_rejected_record_shows_its_bytes_only_when_asked(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(amount="0.00"))
    for command in (
        ["rejected", "list"],
        ["rejected", "show", "--institution", "6050", "--id", "F-1"],
    ):
        ended = await commands.call(*command)
        assert ended.exit_code == 0
        assert "invalid_amount" in ended.stdout
        assert "Jane" not in ended.output
    shown = await commands.call(
        "rejected", "show", "--institution", "6050", "--id", "F-1", "--value"
    )
    assert "Doe, Jane" in shown.stdout


async def test_rejected_records_are_listed_by_what_they_say_they_are(
    path: WritePath, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejected, "PAGE_RECORDS", 2)
    await path.take(
        fine(amount="0.00"),
        payment(amount="1,00"),
        record("bursar-payment.v1", b"{"),
        payment(payment_id="PAY-2", amount="0.00"),
        change(amount="0.00"),
    )
    listed = await commands.lines("rejected", "list")
    result = {(item["topic"], item["offset"]): (item["source"], item["id"]) for item in listed}
    assert sorted(result.values(), key=str) == [
        ("ALMA", "C-1"),
        ("SAP", "PAY-1"),
        ("SAP", "PAY-2"),
        (None, "F-1"),
        (None, None),
    ]
    table = await commands.call("rejected", "list")
    assert "PAY-2" in table.stdout
    assert "Jane" not in table.output


async def test_the_reason_of_rejected_records_has_one_name_in_list_and_replay(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment(amount="0.00"), record("bursar-payment.v1", b"{"))
    for name in ("--because", "--reason"):
        (row,) = await commands.lines("rejected", "list", name, "invalid_json")
        assert row["reason"] == "invalid_json"


async def test_all_open_rejected_records_are_replayed_oldest_first(
    path: WritePath, commands: Commands
) -> None:
    """The reversal of a payment that was rejected itself goes once the payment has gone."""
    await path.take(
        payment(fine_id=ABSENT, bursar_transaction_id="10000000018"),
        payment(payment_id="R", kind="reversal", reverses_payment_id="PAY-1", fine_id=ABSENT),
        record("bursar-payment.v1", b"{"),
        fine(),
    )
    await export(path)
    rows = await commands.lines("rejected", "replay", "--all", "--yes", *WHY, code=1)
    assert [(item["reason"], item["done"], item["outcome"]) for item in rows[:2]] == [
        ("unknown_line", True, "applied"),
        ("original_rejected", True, "applied"),
    ]
    assert rows[2]["outcome"].startswith("would be rejected again: invalid_json")
    states = await commands.lines("rejected", "list", "--state", "open")
    assert [state["reason"] for state in states] == ["invalid_json"]
    (only,) = await commands.lines(
        "rejected", "discard", "--all", "--because", "invalid_json", "--yes", *WHY
    )
    assert only["done"]


async def test_a_decision_shows_the_identity_by_which_the_record_was_named(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment(amount="0.00"), payment(payment_id="PAY-2", amount="0.00"))
    identity = {"institution_id": "6050", "source": "SAP", "id": "PAY-1"}
    options = ("--institution", "6050", "--source", "SAP", "--id", "PAY-1")
    for command, code in (("replay", 1), ("discard", 0)):
        (row,) = await commands.lines("rejected", command, *options, *WHY, code=code)
        assert {name: row[name] for name in identity} == identity
        assert row["offset"] == 0
    table = await commands.call("rejected", "discard", *options[:2], *options[4:], *WHY)
    assert "PAY-1" in table.stdout


@pytest.mark.parametrize(
    ("command", "first"),
    [
        (("rejected", "list"), "fine-created.v1"),
        (("rejected", "discard", "--all", "--yes", *WHY), "fine-created.v1"),
        (("rejected", "show", "--partition", "0", "--offset", "0"), "fine-created.v1"),
        (("parked", "show", "--partition", "0", "--offset", "0"), "fine-created.v1"),
        (("quarantined", "list"), "balance-changed.v1"),
        (("quarantined", "release", "--all", "--yes", *WHY), "balance-changed.v1"),
    ],
)
async def test_a_topic_that_is_none_of_ours_is_refused(
    commands: Commands, command: tuple[str, ...], first: str
) -> None:
    ended = await commands.call(*command, "--topic", "payments")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"bursar-bridge: --topic: must be one of {first}, ")


async def test_a_topic_may_be_named_with_its_prefix_and_with_the_time_of_an_earlier_one(
    commands: Commands,
) -> None:
    for topic in ("fine-created.v1", "library.fine-created.v1", "import", "x.fine-created.v1@2026"):
        assert (await commands.call("rejected", "list", "--topic", topic)).exit_code == 0


async def test_no_id_is_cut_and_no_record_steers_the_terminal(
    path: WritePath, commands: Commands
) -> None:
    long = "P" * 100
    await path.take(payment(payment_id=long), payment(payment_id="\x1b[2J", amount="0.00"))
    narrow = Commands(commands.database_url, commands.servers, COLUMNS="60")
    assert long in (await narrow.call("parked", "list")).stdout
    named = ("--institution", "6050", "--source", "SAP", "--id", "\x1b[2J", "--value")
    shown = await narrow.call("rejected", "show", *named)
    assert shown.exit_code == 0
    assert "\x1b" not in shown.stdout
    assert r"\x1b[2J" in shown.stdout
