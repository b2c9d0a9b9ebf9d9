"""What a dry run says about each line of a file, and that the import then does it."""

from service.imports.plan import LineOutcome
from tests.support.importing import PROFILE, SOURCE, Bursar, Desk, document, exported, outstanding
from tests.support.topics import read_topic
from tests.support.write_path import payment, profiles_of, tables_of


async def test_each_line_is_told_by_what_it_would_do(bursar: Bursar) -> None:
    lines, _ = await exported(bursar.path, ["95.50", "3.00", "7.00", "-2.25"])
    back = document(
        (lines[0], "40"),
        (lines[1], "3.00"),
        (lines[2], "7.01"),
        (lines[3], "-2.25"),
        (lines[0], "-40.00"),
        (lines[1], "-1"),
        ("4711", "1"),
        (lines[2], "7.00"),
    )

    fates = await bursar.fates(back)

    assert fates == {
        1: LineOutcome.PARTIAL,
        2: LineOutcome.PAID,
        3: LineOutcome.OVERPAID,
        4: LineOutcome.PAID,
        5: LineOutcome.REVERSED,
        6: LineOutcome.REJECTED,
        7: LineOutcome.UNKNOWN,
        8: LineOutcome.NOT_OWED,
    }


async def test_a_dry_run_writes_nothing(bursar: Bursar) -> None:
    lines, _ = await exported(bursar.path, ["95.50"])
    before = await tables_of(bursar.path.pool)

    await bursar.fates(document((lines[0], "40"), (lines[0], "-7"), ("4711", "1")))

    assert await tables_of(bursar.path.pool) == before
    assert read_topic(bursar.servers, bursar.topic) == []


async def test_the_plan_is_what_happens(bursar: Bursar) -> None:
    lines, _ = await exported(bursar.path, ["95.50", "3.00", "7.00"])
    await bursar.path.take(
        payment(
            source=SOURCE,
            payment_id="web-1",
            bursar_transaction_id=lines[0],
            fine_id="F-0",
            amount="20.00",
        )
    )

    await bursar.imports(
        document(
            (lines[0], "40"),
            (lines[0], "-20"),
            (lines[0], "-40"),
            (lines[1], "5"),
            (lines[2], "7"),
        )
    )

    assert await outstanding(bursar.path) == {"F-0": 95_50, "F-1": 0, "F-2": 0}
    account = await bursar.path.rows("SELECT active, transferred FROM account")
    assert account == [{"active": -2_00, "transferred": 95_50}]


async def test_the_plan_of_a_reversal_sees_that_the_credit_of_its_excess_is_used(
    bursar: Bursar,
) -> None:
    at_once = PROFILE + 'import_credits = "export"\n'
    (line,), _ = await exported(bursar.path, ["95.00"], at_once)
    await bursar.imports(document((line, "100")))
    profiles = profiles_of(at_once)
    await bursar.path.exports(profiles).run_profile(profiles.profiles[0])
    assert await bursar.fates(document((line, "-100"))) == {1: LineOutcome.REJECTED}
    await bursar.imports(document((line, "-100")))
    assert await bursar.path.value("SELECT reason FROM rejected") == "credit_already_exported"


async def test_a_dry_run_tells_each_line_and_its_credit(desk: Desk) -> None:
    rows = await desk.lines(await desk.paid_already(), "--dry-run")

    assert [(item.get("line"), item["would_be"], item["credit"]) for item in rows] == [
        (1, "not_owed", "95.50"),
        (2, "overpaid", "1.00"),
        (3, "paid", None),
        (None, "not_owed", "95.50"),
        (None, "overpaid", "1.00"),
        (None, "paid", None),
    ]


async def test_a_dry_run_tells_the_lines_in_the_files_order_bad_ones_among_them(
    desk: Desk,
) -> None:
    lines, _ = await exported(desk.bursar.path, ["95.50", "3.00"])
    file = document((lines[1], "3.00"), (lines[0], "oops"), ("4711", "1"), (lines[0], "95.50"))

    rows = await desk.lines(file, "--dry-run")

    assert [
        (item["line"], item["would_be"], item["reason"]) for item in rows if "line" in item
    ] == [
        (1, "paid", None),
        (2, "bad line", "invalid_amount"),
        (3, "unknown", "unknown_line"),
        (4, "paid", None),
    ]


async def test_what_an_earlier_import_did_is_told_as_such(desk: Desk) -> None:
    lines, _ = await exported(desk.bursar.path, ["95.50", "3.00"])
    file = document((lines[0], "95.50"), (lines[1], "3.00"))

    result = [await desk.lines(file) for _ in range(2)]

    for rows, before in zip(result, (None, 2), strict=True):
        (row,) = rows
        assert (row["became"], row["lines"], row["imported_before"]) == ("applied", 2, before)
    assert "imported before" in (await desk.imports(file)).stdout
