"""The bursar's file on a real database and a real topic: planned, published, applied, repeated."""

from io import BytesIO

import pytest

from service.core.words import KnownLines
from service.export.xml.read import read_import
from service.imports.files import FileKey
from service.imports.plan import LineOutcome
from tests.support.importing import (
    SOURCE,
    UNIVERSITY,
    Bursar,
    Desk,
    document,
    exported,
    outstanding,
)
from tests.support.topics import read_topic
from tests.support.write_path import tables_of


async def test_a_file_sent_back_as_it_came_settles_every_line(bursar: Bursar) -> None:
    _, sent = await exported(bursar.path, ["95.50", "3.00", "-2.25"])

    summary = await bursar.imports(sent)

    assert summary.counts == {(LineOutcome.PAID, None, "USD"): 3}
    assert summary.sums == {(LineOutcome.PAID, None, "USD"): 95_50 + 3_00 - 2_25}
    assert set((await outstanding(bursar.path)).values()) == {0}
    assert {row["considered"] for row in await bursar.path.rows("SELECT considered FROM fine")} == {
        "closed"
    }


async def test_the_same_file_again_does_nothing(bursar: Bursar) -> None:
    lines, _ = await exported(bursar.path, ["95.50", "3.00"])
    back = document((lines[0], "40"), (lines[0], "-40"), (lines[1], "5.50"), ("77", "1"))
    await bursar.imports(back)
    before = await tables_of(bursar.path.pool)

    summary = await bursar.imports(back)

    assert summary.counts == {(LineOutcome.REPEAT, None, "USD"): 4}
    after = await tables_of(bursar.path.pool)
    before.pop("consumer_offset")
    after.pop("consumer_offset")
    assert after == before


async def test_the_latest_payment_of_the_amount_is_reversed_first(bursar: Bursar) -> None:
    lines, _ = await exported(bursar.path, ["95.50"])
    back = document((lines[0], "10"), (lines[0], "20"), (lines[0], "10"), (lines[0], "-10"))

    await bursar.imports(back)

    reversed_ones = await bursar.path.rows(
        "SELECT payment_id FROM payment WHERE reversed_by IS NOT NULL"
    )
    assert [str(row["payment_id"]).rpartition("-")[2] for row in reversed_ones] == ["3"]


async def test_a_payment_that_was_all_excess_is_reversed_before_an_older_one(
    bursar: Bursar,
) -> None:
    (line,), _ = await exported(bursar.path, ["95.00"])
    await bursar.imports(document((line, "95")))
    await bursar.imports(document((line, "95.0")), KnownLines.PAY)
    await bursar.imports(document((line, "-95")))
    assert await outstanding(bursar.path) == {"F-0": 0}
    assert await bursar.path.rows("SELECT active, transferred FROM account") == [
        {"active": 0, "transferred": 0}
    ]


async def test_a_line_without_a_match_is_rejected_under_its_number(bursar: Bursar) -> None:
    lines, _ = await exported(bursar.path, ["95.50"])

    await bursar.imports(document((lines[0], "95.50"), (lines[0], "-1")))

    rows = await bursar.path.rows("SELECT topic, record_offset, reason FROM rejected")
    assert rows == [{"topic": "import", "record_offset": 2, "reason": "no_matching_payment"}]


async def test_one_bad_line_does_not_stop_the_others(bursar: Bursar) -> None:
    lines, _ = await exported(bursar.path, ["95.50"])

    summary = await bursar.imports(document((lines[0], "oops"), (lines[0], "95.50")))

    assert summary.bad == 1
    assert await outstanding(bursar.path) == {"F-0": 0}
    rows = await bursar.path.rows("SELECT record_offset, reason FROM rejected")
    assert rows == [{"record_offset": 1, "reason": "invalid_amount"}]


async def test_a_bad_line_is_recorded_for_each_institution_that_imports_the_file(
    bursar: Bursar,
) -> None:
    file = read_import(BytesIO(document(("4711", "oops"))))
    for institution_id in (UNIVERSITY, "101", UNIVERSITY):
        key = FileKey(institution_id, SOURCE, file.sha256)
        await bursar.job.publish(await bursar.job.file(key, "SIS", register=True), file)
    rows = await bursar.path.rows("SELECT institution_id, reason FROM rejected ORDER BY 1")
    assert rows == [
        {"institution_id": "101", "reason": "invalid_amount"},
        {"institution_id": UNIVERSITY, "reason": "invalid_amount"},
    ]


async def test_a_line_of_an_unknown_id_is_rejected_by_the_service(bursar: Bursar) -> None:
    await exported(bursar.path, ["95.50"])

    await bursar.imports(document(("4711", "1")))

    rows = await bursar.path.rows("SELECT reason FROM rejected")
    assert rows == [{"reason": "unknown_line"}]


OVERPAID = (
    "bursar-bridge: overpaid lines: 2, of them with nothing outstanding: 1; "
    "96.50 USD would become credits. Were they published as payments too?"
)


async def test_all_or_nothing_publishes_nothing_of_a_file_that_was_paid_by_event(
    desk: Desk,
) -> None:
    file = await desk.paid_already()

    for options in (("--all-or-nothing",), ("--all-or-nothing", "--dry-run")):
        ended = await desk.imports(file, *options)
        assert ended.exit_code == 1
        assert OVERPAID in ended.stderr.splitlines()

    assert read_topic(desk.bursar.servers, desk.bursar.topic) == []
    assert await desk.bursar.path.rows("SELECT * FROM import_file") == []


async def test_overpaid_lines_are_published_where_they_are_meant_and_told_as_what_they_became(
    desk: Desk,
) -> None:
    file = await desk.paid_already()

    ended = await desk.imports(file, "--all-or-nothing", "--allow-overpaid")

    assert ended.exit_code == 0, ended.output
    assert OVERPAID in ended.stderr.splitlines()
    cells = [row.split() for row in ended.stdout.splitlines()]
    assert "would be" not in ended.stdout
    assert cells[2:] == [
        ["applied", "payment", "1", "7.00", "USD"],
        ["not_owed", "payment", "1", "95.50", "USD", "95.50"],
        ["overpaid", "payment", "1", "3.00", "USD", "1.00"],
    ]
    account = await desk.bursar.path.rows("SELECT active, transferred FROM account")
    assert account == [{"active": -96_50, "transferred": 0}]


async def test_the_outcome_names_what_was_not_published_and_what_was_there_before(
    desk: Desk,
) -> None:
    lines, _ = await exported(desk.bursar.path, ["95.50"])
    file = document((lines[0], "10"), (lines[0], "-7"), (lines[0], "oops"))
    expected = [("applied", None, 1), ("rejected", "no_matching_payment", 1), ("bad line", None, 1)]

    for _ in range(2):
        rows = await desk.lines(file)
        assert [(item["became"], item.get("reason"), item["lines"]) for item in rows] == expected
    again = await desk.imports(file)
    assert again.exit_code == 1
    assert "1 of the lines were imported before: they did nothing now" in again.stderr


async def test_overpaid_lines_are_allowed_only_where_they_would_stop_the_rest(desk: Desk) -> None:
    assert (await desk.imports(document(), "--allow-overpaid")).exit_code == 2


@pytest.mark.parametrize("options", [(), ("--json",), ("--all-or-nothing",)])
async def test_a_file_without_lines_says_so(desk: Desk, options: tuple[str, ...]) -> None:
    for more, text in (((), "nothing was imported"), (("--dry-run",), "nothing would be imported")):
        ended = await desk.imports(document(), *options, *more)
        end = [line for line in ended.stdout.splitlines() if '"complete":true' in line]
        assert (ended.exit_code, ended.stdout.splitlines()) == (0, end)
        assert len(end) == int("--json" in options)
        assert f"the file has no lines: {text}" in ended.stderr
    assert await desk.bursar.path.rows("SELECT sha256 FROM import_file") == []
