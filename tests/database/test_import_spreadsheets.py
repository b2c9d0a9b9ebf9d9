"""A file whose ids went through a spreadsheet pays no other line, and says what is wrong."""

from __future__ import annotations

from tests.support.importing import Desk, document, exported, outstanding
from tests.support.write_path import outbox_of

SUM = "50.00"


async def test_ids_that_were_cut_or_rounded_pay_nothing_and_are_named(desk: Desk) -> None:
    path = desk.bursar.path
    lines, _ = await exported(path, [SUM] * 3)
    assert [len(line) for line in lines] == [11] * 3
    cut = [lines[0][:10], lines[0][:10] + "0", "100000000000010"]
    rounded = ["1E+10", "1,00E+10", "1.0000000018E+10"]
    ended = await desk.imports(document(*((text, SUM) for text in (*cut, *rounded, lines[2]))))
    assert ended.exit_code == 1
    for n in (4, 5, 6):
        assert (
            f"line {n}: invalid_schema: bursarTransactionId: is a rounded number as spreadsheets"
            in ended.stderr
        )
    assert "3 of the unknown lines have an id that no line can have" in ended.stderr
    assert await outstanding(path) == {"F-0": 50_00, "F-1": 50_00, "F-2": 0}
    rows = await path.rows("SELECT reason, detail FROM rejected ORDER BY reason, detail")
    assert [row["reason"] for row in rows] == ["invalid_schema"] * 3 + ["unknown_line"] * 3
    unknown = "bursar_transaction_id: is not known here: "
    length = "it does not have 11 digits, or 16 as earlier ids have"
    assert [row["detail"] for row in rows[3:]] == [
        *[unknown + length] * 2,
        unknown + "its check digit is wrong",
    ]
    sent = await outbox_of(path.pool, "rejected.v1")
    assert unknown + "its check digit is wrong" in {each.header("bursar-detail") for each in sent}


async def test_a_dry_run_counts_the_ids_that_no_line_can_have(desk: Desk) -> None:
    lines, _ = await exported(desk.bursar.path, [SUM])
    file = document((lines[0][:-1], SUM), ("1000000000000012", SUM), (lines[0], SUM))
    ended = await desk.imports(file, "--dry-run")
    assert "1 of the unknown lines have an id that no line can have" in ended.stderr
    assert await outstanding(desk.bursar.path) == {"F-0": 50_00}


async def test_a_file_whose_earlier_ids_were_cut_is_refused_as_a_whole(desk: Desk) -> None:
    """The ids that result may be other patrons' lines: nobody can tell."""
    cut = [str(10**15 + n // 10 * 10) for n in range(8, 34)]
    ended = await desk.imports(document(*((line, SUM) for line in cut)))
    assert ended.exit_code == 1
    assert "refused as a whole: bursarTransactionId: all ids of 16 digits end in 0" in ended.stderr
    assert await desk.bursar.path.rows("SELECT * FROM rejected") == []
