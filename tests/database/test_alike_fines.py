"""Fines with one loan, one type and one sum are taken, and named by the preview and by `check`."""

from __future__ import annotations

import pytest

from tests.support.commands import Commands, MakeCommands
from tests.support.exports import patron
from tests.support.installation import institution, profile
from tests.support.write_path import Record, WritePath, fine

PROFILE = institution() + profile("SIS", fine_types=["OVERDUEFINE", "CARDRENEWAL"], fines_max=2)
SAME = {"loan_id": "L-1", "amount": "5.00"}
QUESTION = "was one fine created twice?"


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE)


def fines_that_differ() -> list[Record]:
    """Each from the fine F-1 by one thing; F-5 and F-6 have no loan."""
    return [
        fine(fine_id="F-1", **SAME),
        fine(fine_id="F-2", loan_id="L-2", amount="5.00"),
        fine(fine_id="F-3", loan_id="L-1", amount="5.01"),
        fine(fine_id="F-4", type="CARDRENEWAL", **SAME),
        fine(fine_id="F-5", loan_id=None, amount="5.00"),
        fine(fine_id="F-6", loan_id=None, amount="5.00"),
        fine(fine_id="F-7", patron=patron("OTHER"), **SAME),
    ]


async def alike_in_check(commands: Commands) -> list[str]:
    rows = await commands.lines("check", code=1)
    return [row["finding"] for row in rows if "same loan" in row["finding"]]


async def test_fines_that_look_alike_are_taken_and_named(
    path: WritePath, commands: Commands
) -> None:
    await path.take(*fines_that_differ(), fine(fine_id="F-8", **SAME))
    assert await path.value("SELECT count(*) FROM fine") == 8

    (finding,) = await alike_in_check(commands)
    assert finding == (
        "institution 6050: F-1, F-8 have the same loan L-1, type OVERDUEFINE and sum 5.00 USD: "
        f"{QUESTION}"
    )
    previewed = await commands.call("export", "preview", "--profile", "SIS")
    assert previewed.stderr.count(QUESTION) == 1
    assert "the fines F-1, F-8 have the same loan L-1, type OVERDUEFINE and sum 5.00" in (
        previewed.stderr
    )


async def test_programs_read_which_fines_look_alike_also_across_two_batches(
    path: WritePath, commands: Commands
) -> None:
    await path.take(*(fine(fine_id=f"F-{n}", **SAME) for n in range(3)))
    rows = await commands.lines("export", "preview", "--profile", "SIS")
    common = {"patron_id": "P-1", "loan_id": "L-1", "type": "OVERDUEFINE", "amount": "5.00"}
    assert [row["alike"] for row in rows] == [
        [{**common, "fine_ids": ["F-0", "F-1"]}],
        [{**common, "fine_ids": ["F-0", "F-1", "F-2"]}],
    ]
    (finding,) = await alike_in_check(commands)
    assert "F-0, F-2 and 1 other have the same loan L-1" in finding


async def test_fines_that_differ_in_one_thing_are_not_named(
    path: WritePath, commands: Commands
) -> None:
    await path.take(*fines_that_differ())
    assert await alike_in_check(commands) == ["no two open fines have the same loan, type and sum"]
    rows = await commands.lines("export", "preview", "--profile", "SIS")
    assert [row["alike"] for row in rows] == [[]] * len(rows)


async def test_a_fine_that_was_paid_at_the_desk_or_exported_is_not_compared(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(fine_id="F-1", **SAME))
    await path.export(PROFILE)
    await path.take(fine(fine_id="F-2", **SAME))
    assert await alike_in_check(commands) == ["no two open fines have the same loan, type and sum"]


async def test_many_groups_are_named_up_to_a_bound(path: WritePath, commands: Commands) -> None:
    await path.take(
        *(
            fine(fine_id=f"F-{n:02}-{copy}", loan_id=f"L-{n:02}", amount="5.00")
            for n in range(12)
            for copy in "ab"
        )
    )
    rows = await commands.lines("check", code=1)
    named = [row["finding"] for row in rows if QUESTION in row["finding"]]
    assert len(named) == 10
    assert any(row["finding"] == "there are more fines that look alike" for row in rows)
