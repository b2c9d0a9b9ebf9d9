"""Files that have lines of earlier ones: only new lines count, and nothing is guessed."""

from __future__ import annotations

import pytest

from tests.support.importing import Desk, document, exported, outstanding
from tests.support.topics import read_topic

REASON = ("--reason", "the bursar says so")


async def balances(desk: Desk) -> list[dict[str, object]]:
    return await desk.bursar.path.rows("SELECT active, transferred FROM account")


async def test_of_a_file_that_repeats_an_earlier_one_only_the_new_lines_count(desk: Desk) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00", "7.00"])
    first = document((lines[0], "50.00"))
    both = document((lines[0], "50.00"), (lines[1], "7.00"))
    assert (await desk.imports(first)).exit_code == 0

    ended = await desk.imports(both)

    assert ended.exit_code == 0, ended.output
    assert "1 of the lines are those of another file" in ended.stderr
    assert await balances(desk) == [{"active": 0, "transferred": 0}]
    again, _ = await desk.end(both)
    assert again == 0
    assert await balances(desk) == [{"active": 0, "transferred": 0}]


async def test_the_same_lines_in_other_bytes_are_the_same_payments(desk: Desk) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00", "-3.00"])
    file = document((lines[0], "50.00"), (lines[1], "-3.00")).replace(b">", b">\n")
    assert (await desk.imports(file)).exit_code == 0
    before = await balances(desk)
    saved_again = file.replace(b"\n", b"\r\n")

    code, end = await desk.end(saved_again)

    assert (code, end["complete"], end["published"]) == (0, True, 0)
    assert end["imported_from_another_file"] == 2
    assert await balances(desk) == before
    planned = await desk.lines(saved_again, "--dry-run")
    fates = [row["would_be"] for row in planned if "line" in row]
    assert fates == ["imported_from_another_file"] * 2


@pytest.mark.parametrize(
    ("known_lines", "left"), [("skip", 40_00), ("pay", 0)], ids=["skipped", "paid"]
)
async def test_a_line_that_could_be_a_further_payment_is_left_to_a_person(
    desk: Desk, known_lines: str, left: int
) -> None:
    """A second instalment of the same sum looks like the first one."""
    lines, _ = await exported(desk.bursar.path, ["80.00", "7.00"])
    await desk.imports(document((lines[0], "40.00")))
    file = document((lines[1], "7.00"), (lines[0], "40.00"))
    for options in ((), ("--dry-run",)):
        ended = await desk.imports(file, *options)
        assert ended.exit_code == 1
        assert "say --known-lines skip if they are the same payments" in ended.stderr
    assert len(read_topic(desk.bursar.servers, desk.bursar.topic)) == 1
    assert (await desk.imports(file, "--known-lines", known_lines)).exit_code == 2, "no reason"

    ended = await desk.imports(file, "--known-lines", known_lines, *REASON)

    assert ended.exit_code == 0, ended.output
    assert await outstanding(desk.bursar.path) == {"F-0": left, "F-1": 0}
    actions = await desk.bursar.path.rows("SELECT action, reason FROM operator_action")
    action = {"skip": "import_known_lines_skipped", "pay": "import_known_lines_paid"}[known_lines]
    assert actions == [{"action": action, "reason": REASON[1]}]


async def test_each_payment_of_another_file_stands_for_one_line(desk: Desk) -> None:
    """Reversals, too; what was rejected may be tried again."""
    lines, _ = await exported(desk.bursar.path, ["95.00", "7.00"])
    first = document(
        (lines[0], "95.00"), (lines[0], "-95.00"), (lines[0], "95"), (lines[1], "-7.00")
    )
    assert (await desk.imports(first)).exit_code == 1, "there is no payment of 7.00 to reverse"
    before = await outstanding(desk.bursar.path)
    again = document(
        (lines[0], "95.00"), (lines[0], "95.00"), (lines[0], "95.00"), (lines[1], "7.00")
    )

    planned = [row for row in await desk.lines(again, "--dry-run") if "line" in row]

    assert [row["would_be"] for row in planned] == [
        *("imported_from_another_file", "imported_from_another_file", "not_owed", "paid")
    ]
    assert before == await outstanding(desk.bursar.path)
    reversed_row = await desk.lines(document((lines[0], "-95.00")), "--dry-run")
    assert reversed_row[0]["would_be"] == "ambiguous", (
        "a payment of 95.00 is left that it could undo"
    )
