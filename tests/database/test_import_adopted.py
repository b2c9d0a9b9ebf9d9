"""Files from the bursar for lines that wait for their fines after a restore, and for files that the
restored database does not remember.
"""

from __future__ import annotations

from io import BytesIO

import pytest

from service.export.xml.read import read_import
from service.imports.files import DoubtfulSource, FileKey, RecoveryGoesOn
from service.imports.plan import LineOutcome
from tests.support.adopting import adopt, end_recovery
from tests.support.exports import patron
from tests.support.importing import (
    SOURCE,
    UNIVERSITY,
    Bursar,
    document,
    exported,
    outstanding,
)
from tests.support.write_path import WritePath, fine


@pytest.fixture
def after(bursar: Bursar, restored: WritePath) -> Bursar:
    """Sends files to the restored database; `bursar` has those of the lost one."""
    return Bursar(restored, bursar.servers, bursar.topic.removesuffix("bursar-payment.v1"))


def numbered(number: int) -> dict[str, object]:
    return {"fine_id": f"F-{number}", "patron": patron(number)}


async def lose(lost: WritePath, restored: WritePath) -> list[str]:
    """Two fines were exported since the backup, which has the first of them; the second was not
    read again when the recovery ended. Returns their lines.
    """
    await restored.take(fine(**numbered(0)))
    await lost.take(fine(**numbered(0)), fine(**numbered(1)))
    lines, _ = await exported(lost, [])
    await adopt(lost, restored)
    await end_recovery(restored)
    return lines


async def test_a_file_pays_a_line_that_waits_as_an_event_would(
    path: WritePath, restored: WritePath, after: Bursar
) -> None:
    lines = await lose(path, restored)
    back = document((lines[0], "40"), (lines[1], "95.50"), (lines[1], "-95.50"), (lines[1], "30"))
    assert await after.fates(back) == {
        1: LineOutcome.PARTIAL,  # its fine takes the line before the payment is decided
        2: LineOutcome.PARKED,
        3: LineOutcome.PARKED,  # behind what it takes back
        4: LineOutcome.PARKED,
    }
    await after.imports(back)
    assert await restored.rows("SELECT fine_id, wait FROM parked ORDER BY record_offset") == [
        {"fine_id": "F-1", "wait": wait}
        for wait in ("unknown_fine", "unknown_original", "unknown_fine")
    ]
    await restored.take(fine(**numbered(1)))
    assert await outstanding(restored) == {"F-0": 55_50, "F-1": 65_50}
    assert await restored.rows("SELECT reason FROM rejected") == []


async def test_a_payment_that_waits_for_its_line_is_reversed_by_another_file(
    path: WritePath, restored: WritePath, after: Bursar
) -> None:
    lines = await lose(path, restored)
    await after.imports(document((lines[1], "95.50"), (lines[1], "20")))
    back = document((lines[1], "-20"), (lines[1], "-20.00"))
    assert await after.fates(back) == {1: LineOutcome.PARKED, 2: LineOutcome.REJECTED}
    await after.imports(document((lines[1], "-20")))
    await restored.take(fine(**numbered(1)))
    assert await outstanding(restored) == {"F-1": 0}
    reversed_ones = await restored.rows(
        "SELECT amount, applied FROM payment WHERE reversed_by IS NOT NULL"
    )
    assert [row["amount"] for row in reversed_ones] == [20_00]


async def test_a_line_of_another_file_counts_once_though_the_line_waits(
    path: WritePath, restored: WritePath, after: Bursar
) -> None:
    lines = await lose(path, restored)
    await after.imports(document((lines[1], "60")))
    assert await after.fates(document((lines[1], "60.0"))) == {
        1: LineOutcome.IMPORTED_FROM_ANOTHER_FILE  # 35.50 is left of the line
    }
    await after.imports(document((lines[1], "10")))
    assert await after.fates(document((lines[1], "10.0"))) == {1: LineOutcome.AMBIGUOUS}


async def test_nothing_is_imported_before_the_recovery_has_ended(
    path: WritePath, restored: WritePath, after: Bursar
) -> None:
    await exported(path, ["95.50"])
    await adopt(path, restored)
    file = read_import(BytesIO(document(("4711", "1"))))
    with pytest.raises(RecoveryGoesOn, match="when the recovery has ended"):
        await after.target(file)
    assert (await after.target(file, register=False)).sha256 == file.sha256
    assert await restored.value("SELECT count(*) FROM import_file") == 0


async def test_a_file_that_the_database_does_not_remember_is_known_by_its_payments(
    bursar: Bursar,
) -> None:
    lines, _ = await exported(bursar.path, ["95.50", "3.00"])
    back = document((lines[0], "40"), (lines[1], "3.00"))
    await bursar.imports(back)
    file = read_import(BytesIO(back))
    before = await bursar.target(file)
    await bursar.path.pool.execute("ALTER TABLE import_file DISABLE TRIGGER USER")
    await bursar.path.pool.execute("DELETE FROM import_file")
    other = FileKey(UNIVERSITY, SOURCE + "2", file.sha256)
    with pytest.raises(DoubtfulSource, match=f"was imported as {SOURCE} on"):
        await bursar.job.file(other, "SIS", register=True)
    assert await bursar.fates(back) == {1: LineOutcome.REPEAT, 2: LineOutcome.REPEAT}
    assert await bursar.target(file) == before  # with the instant of the first import
    assert await outstanding(bursar.path) == {"F-0": 55_50, "F-1": 0}
