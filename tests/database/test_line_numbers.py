"""Bursar transaction ids: a counter of their own, in the order in which the file prints lines."""

import re
from collections.abc import Sequence

import pytest

from service.core.bursar_ids import NUMBER_MAX, bursar_id
from service.database.ledger_read import LedgerReader
from service.export.failures import RunFailed
from service.export.preview import preview
from service.export.profiles.profile import Profiles
from service.export.run import IdsUsedUp
from service.messages.decode import parse
from tests.support.exports import (
    check_sealed,
    fines,
    lines_of_manifest,
    only,
    patron,
    profiles_with,
    run,
)
from tests.support.write_path import Record, WritePath, fine, outbox_of, tables_of

ITEM = {"title": "Der Prozess"}
USED_UP = r"^the institution has used up its bursar transaction ids: the last one is made of 9{10}$"


def a_patron_with_and_without_items() -> list[Record]:
    """A run passes A, B, C, and the file prints B first, because it has no item."""
    of = patron(1)
    return [
        fine(fine_id="A", patron=of, item=ITEM, loan_id="L-1"),
        fine(fine_id="B", patron=of, item=None, loan_id="L-2"),
        fine(fine_id="C", patron=of, item=ITEM, loan_id="L-3"),
        fine(fine_id="D", patron=patron(0), item=ITEM, loan_id="L-4"),
    ]


async def printed_ids(path: WritePath) -> list[str]:
    documents = [sent.value or b"" for sent in await outbox_of(path.pool, "export-batch.v1")]
    pattern = re.compile(rb"<xb:bursarTransactionId>([0-9]+)<")
    return [each.decode() for document in documents for each in pattern.findall(document)]


def ids(numbers: Sequence[int]) -> list[str]:
    return [bursar_id(1_000_000_000 + number) for number in numbers]


async def test_ids_have_eleven_digits_and_ascend_as_the_file_prints_the_lines(
    path: WritePath,
) -> None:
    await path.take(*a_patron_with_and_without_items())
    await run(path, profiles_with())
    await path.take(*fines(2))
    await run(path, profiles_with())
    manifests = await check_sealed(path)
    lines = [line for manifest in manifests for line in lines_of_manifest(manifest)]
    assert [line["fine_id"] for line in lines] == ["D", "B", "A", "C", "F-00000", "F-00001"]
    assert [line["bursar_transaction_id"] for line in lines] == ids(range(1, 7))
    assert await printed_ids(path) == ids(range(1, 7))


async def test_batches_of_a_run_go_on_where_the_batch_before_has_stopped(path: WritePath) -> None:
    await path.take(*fines(7))
    await run(path, profiles_with(fines_max=3))
    await check_sealed(path)
    assert await printed_ids(path) == ids(range(1, 8))


async def test_the_counter_of_older_releases_is_left_where_it_is(path: WritePath) -> None:
    await path.pool.execute(
        "INSERT INTO export_counter VALUES ('6050', 100000000000041, 1000000000000777)"
    )
    await path.take(*fines(2))
    (manifest,) = await run(path, profiles_with())
    assert manifest.export_number == 100_000_000_000_042
    assert [line.bursar_transaction_id for line in manifest.lines] == ids([1, 2])
    assert await path.value("SELECT bursar_transaction_id FROM export_counter") == 10**15 + 777
    assert await path.value("SELECT line_number FROM line_counter") == 1_000_000_002


async def test_a_new_institution_has_the_older_counter_at_its_beginning(path: WritePath) -> None:
    await path.take(*fines(2))
    await run(path, profiles_with())
    assert await path.value("SELECT bursar_transaction_id FROM export_counter") == 10**15


async def test_an_empty_batch_takes_no_id(path: WritePath) -> None:
    (manifest,) = await run(path, profiles_with(empty_run="empty_batch"))
    assert manifest.lines == ()
    assert await path.rows("SELECT * FROM line_counter") == []
    await path.take(*fines(1))
    (_, after) = (manifest, *await run(path, profiles_with()))
    assert [line.bursar_transaction_id for line in after.lines] == ids([1])


async def test_a_preview_shows_the_ids_of_the_next_run_and_takes_none(path: WritePath) -> None:
    profiles = profiles_with(fines_max=2)
    await path.take(*a_patron_with_and_without_items())
    shown = [
        line.bursar_transaction_id
        async for built in preview(path.pool, LedgerReader(parse), only(profiles))
        for line in built.manifest.lines
    ]
    assert shown == ids([1, 2, 3, 4])
    assert await path.rows("SELECT * FROM line_counter") == []
    await run(path, profiles)
    assert await printed_ids(path) == shown


async def used_up_but(path: WritePath, left: int) -> Profiles:
    await path.pool.execute(
        "INSERT INTO line_counter VALUES ('6050', $1::bigint)", NUMBER_MAX - left
    )
    await path.take(*fines(2))
    return profiles_with()


async def test_the_last_ids_are_given_out(path: WritePath) -> None:
    profiles = await used_up_but(path, 2)
    (manifest,) = await run(path, profiles)
    given = [line.bursar_transaction_id for line in manifest.lines]
    assert given == [bursar_id(NUMBER_MAX - 1), bursar_id(NUMBER_MAX)]


async def test_a_run_stops_where_the_ids_are_used_up_and_nothing_is_sealed(path: WritePath) -> None:
    profiles = await used_up_but(path, 1)
    with pytest.raises(RunFailed, match=USED_UP):
        await run(path, profiles)
    with pytest.raises(IdsUsedUp, match=USED_UP):
        [_ async for _ in preview(path.pool, LedgerReader(parse), only(profiles))]
    tables = await tables_of(path.pool)
    assert tables["export_batch"] == tables["export_line"] == []
    assert await path.value("SELECT line_number FROM line_counter") == NUMBER_MAX - 1
