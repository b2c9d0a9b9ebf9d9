"""What operators see of sums that name a patron alone, and what they decide about them."""

import json

import pytest

from tests.support.commands import Commands, MakeCommands
from tests.support.installation import institution, profile
from tests.support.lump_sums import (
    PROFILES,
    REJECTS,
    outstanding,
    owes,
    parts,
    paying_oldest_first,
    pays_sum,
    waits,
)
from tests.support.write_path import WritePath, reversal

WHY = ("--reason", "the bursar confirmed it")
SUM = ("--institution", "6050", "--source", "SAP", "--id", "SUM-1")
STORY = ("history", "--institution", "6050")


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILES)


async def test_a_held_sum_is_listed_shown_and_released(path: WritePath, commands: Commands) -> None:
    await path.take(owes("F-1", "20.00"), owes("F-2", "30.00"))
    await path.export(PROFILES)
    await path.take(pays_sum("60.00"))
    (listed,) = await commands.lines("parked", "list", "--wait", "unallocated")
    assert (listed["patron_id"], listed["amount"], listed["currency"]) == ("P-1", "60.00", "USD")
    (shown,) = await commands.lines("parked", "show", *SUM)
    assert shown["outstanding"] == "50.00"
    assert [(row["fine_id"], row["outstanding"]) for row in shown["fines"]] == [
        ("F-1", "20.00"),
        ("F-2", "30.00"),
    ]
    assert 'lump_payments = "hold"' in shown["held_because"]
    assert shown["release_would"] == (
        "pay 20.00 of F-1, pay 30.00 of F-2, make a credit of 10.00 for the patron"
    )
    (row,) = await commands.lines("parked", "release", *SUM, *WHY)
    assert row["done"]
    assert row["outcome"].startswith("applied, excess as credit bb-")
    assert row["outcome"].endswith(", paid: F-1, F-2")
    assert (await outstanding(path))["F-2"] == 0


async def test_a_release_names_fines_and_amounts(path: WritePath, commands: Commands) -> None:
    await path.take(owes("F-1", "20.00"), owes("F=2", "30.00"))
    await path.export(REJECTS)
    await path.take(pays_sum("25.00"))
    named = ("--fine", "F=2=12.50", "--fine", "F-1=10")
    (row,) = await commands.lines("parked", "release", *SUM, *WHY, *named)
    assert row["done"]
    assert [(part["fine_id"], part["amount"]) for part in await parts(path)] == [
        ("F=2", 12_50),
        ("F-1", 10_00),
    ]
    (action,) = await path.rows("SELECT subject, outcome FROM operator_action")
    assert json.loads(str(action["subject"]))["fines"] == "F=2=12.50 F-1=10.00"
    assert row["fines"] == "F=2=12.50 F-1=10.00"
    (kept,) = await path.rows("SELECT allocations FROM payment_sum")
    assert json.loads(str(kept["allocations"])) == [["F=2", 12_50], ["F-1", 10_00]]
    (shown,) = await commands.lines("payments", "list")
    assert "F=2" in shown["in_words"]


@pytest.mark.parametrize(
    ("named", "rule"),
    [
        (("--fine", "F-1=1", "--fine", "F-1=2"), "named only once"),
        (("--fine", "F-1=20.01"), "more than is outstanding"),
        (("--fine", "F-9=1"), "not outstanding in the account"),
        (("--fine", "F-1=15", "--fine", "F-2=15"), "together more than the sum"),
    ],
)
async def test_a_release_that_cannot_be_carried_out_changes_nothing(
    path: WritePath, commands: Commands, named: tuple[str, ...], rule: str
) -> None:
    await path.take(owes("F-1", "20.00"), owes("F-2", "20.00"))
    await path.export(PROFILES)
    await path.take(pays_sum("25.00"))
    (row,) = await commands.lines("parked", "release", *SUM, *WHY, *named, code=1)
    assert not row["done"]
    assert rule in row["outcome"]
    assert await outstanding(path) == {"F-1": 20_00, "F-2": 20_00}
    assert await waits(path) == [("SUM-1", "unallocated")]
    assert await path.value("SELECT count(*) FROM operator_action") == 0


@pytest.mark.parametrize("named", ["F-1", "=1", "F-1=", "F-1=1.005", "F-1=x"])
async def test_a_fine_is_named_with_its_amount(
    path: WritePath, commands: Commands, named: str
) -> None:
    await path.take(pays_sum("25.00"))
    ended = await commands.call("parked", "release", *SUM, *WHY, "--fine", named)
    assert ended.exit_code != 0
    assert "--fine" in ended.output
    assert await waits(path) == [("SUM-1", "unallocated")]


async def test_a_release_before_anything_is_outstanding_is_kept(
    path: WritePath, commands: Commands
) -> None:
    await path.take(pays_sum("25.00"))
    (row,) = await commands.lines("parked", "release", *SUM, *WHY)
    assert row["done"]
    assert row["outcome"] == "waits: unallocated, and will pay the oldest fines first"
    (again,) = await commands.lines("parked", "release", *SUM, *WHY, code=1)
    assert again["outcome"] == "still waits: unallocated"
    await path.take(owes("F-1", "20.00"))
    await path.export(PROFILES)
    assert await waits(path) == []


async def test_a_command_that_decides_a_sum_for_the_first_time_takes_the_setting_of_the_file(
    path: WritePath, make_commands: MakeCommands
) -> None:
    commands = make_commands(institution(lump_payments="oldest_first") + profile("SIS"))
    await path.take(owes("F-1", "20.00"))
    await path.export(PROFILES)
    await path.pool.execute("ALTER TABLE payment_sum ADD CONSTRAINT odd CHECK (patron_id <> 'P-1')")
    await path.take(pays_sum("5.00"))
    await path.pool.execute("ALTER TABLE payment_sum DROP CONSTRAINT odd")
    (row,) = await commands.lines("parked", "release", *SUM, *WHY)
    assert row["outcome"] == "applied"
    assert await outstanding(path) == {"F-1": 15_00}


async def test_a_held_sum_on_which_the_program_failed_waits_for_its_decision_again(
    path: WritePath, commands: Commands
) -> None:
    await path.take(owes("F-1", "20.00"), pays_sum("5.00"))
    await path.export(PROFILES)
    await path.pool.execute(
        "INSERT INTO parked_failure (institution_id, record, source, id, error)"
        " SELECT institution_id, record, source, id, 'KeyError' FROM parked"
    )
    (row,) = await commands.lines("parked", "release", *SUM, *WHY)
    assert row["outcome"] == "can be decided again, and waits"
    assert await outstanding(path) == {"F-1": 20_00}
    (listed,) = await commands.lines("parked", "list")
    assert listed["wait"] == "unallocated"


async def test_a_discarded_sum_is_rejected(path: WritePath, commands: Commands) -> None:
    await path.take(pays_sum("25.00"), reversal("R-1", "SUM-1"))
    (row,) = await commands.lines("parked", "discard", *SUM, *WHY)
    assert row["outcome"] == "discarded"
    assert await waits(path) == []
    reasons = await path.rows("SELECT reason FROM rejected ORDER BY reason")
    assert [each["reason"] for each in reasons] == ["discarded", "original_rejected"]


async def test_a_sum_that_waits_is_in_the_story_of_its_patron(
    path: WritePath, commands: Commands
) -> None:
    await path.take(pays_sum("25.00"))
    (entry,) = await commands.lines(*STORY, "--patron", "P-1")
    waits = "waits for a fine that it can pay, or a person's decision (unallocated)"
    assert (entry["text"], entry["amount"]) == (waits, "25.00")


async def test_a_sum_is_in_the_story_of_each_of_its_fines(
    path: WritePath, commands: Commands
) -> None:
    paying_oldest_first(path)
    await path.take(owes("F-1", "20.00"), owes("F-2", "30.00"))
    await path.export(PROFILES)
    await path.take(pays_sum("60.00"))
    story = await commands.lines(*STORY, "--payment", "SAP", "SUM-1")
    payment, *others = story
    assert payment["in_words"].startswith("50.00 settled F-1, F-2, 10.00 became the credit bb-")
    assert payment["patron_id"] == "P-1"
    fines = [row["fine_id"] for row in others if row["what"] == "fine"]
    assert fines[:2] == ["F-1", "F-2"]
    assert fines[2].startswith("bb-")
    paid = await commands.lines(*STORY, "--fine", "F-2")
    assert [row["fine_id"] for row in paid if row["what"] == "fine"] == ["F-2", fines[2]]
    await path.take(reversal("R-1", "SUM-1"))
    (reversed_sum, *_) = await commands.lines(*STORY, "--payment", "SAP", "R-1")
    assert reversed_sum["in_words"] == "took back SUM-1: 50.00 of F-1, F-2 is outstanding again"


async def test_the_batch_shows_what_sums_have_paid(path: WritePath, commands: Commands) -> None:
    paying_oldest_first(path)
    await path.take(owes("F-1", "20.00"), owes("F-2", "30.00"))
    await path.export(PROFILES)
    await path.take(pays_sum("25.00"))
    rows = await path.rows("SELECT fine_id, paid, outstanding FROM report_line ORDER BY fine_id")
    assert [tuple(row.values()) for row in rows] == [("F-1", 20_00, 0), ("F-2", 5_00, 25_00)]
    (total, *_) = await commands.lines("reconcile")
    assert (total["paid"], total["outstanding"], total["difference"]) == ("25.00", "25.00", "0.00")
    await path.take(reversal("R-1", "SUM-1"))
    rows = await path.rows("SELECT sum(paid) AS paid FROM report_line")
    assert rows[0]["paid"] == 0


async def test_a_conflict_with_a_sum_that_was_applied_names_the_patron(
    path: WritePath, commands: Commands
) -> None:
    """The ledger keeps whose sum it is, although its payment has no fine."""
    paying_oldest_first(path)
    await path.take(owes("F-1", "20.00"))
    await path.export(PROFILES)
    await path.take(pays_sum("20.00"), pays_sum("20.00", patron_id="P-2"))
    (row,) = await commands.lines("rejected", "list")
    place = ("--topic", row["topic"], "--partition", row["partition"], "--offset", row["offset"])
    (shown,) = await commands.lines("rejected", "show", *map(str, place))
    differing, _, rest = shown["differs_in"].partition("; not stored of the known record: ")
    assert differing == "patron_id"
    assert rest == "status_code, comment, import_file"
