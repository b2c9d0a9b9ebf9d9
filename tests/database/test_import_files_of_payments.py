"""The file that a payment came in is part of its content, and reversals in files are exact."""

from __future__ import annotations

import json
from io import BytesIO

from service.core.words import KnownLines
from service.export.xml.read import read_import
from service.imports.plan import LineOutcome
from tests.support.importing import SOURCE, Bursar, document, exported, outstanding
from tests.support.inputs import ABSENT
from tests.support.topics import read_topic
from tests.support.write_path import Record, payment, reversal


def sha256_of(content: bytes) -> str:
    return read_import(BytesIO(content)).sha256


async def test_each_record_of_a_file_names_the_file(bursar: Bursar) -> None:
    lines, _ = await exported(bursar.path, ["95.50", "3.00"])
    back = document((lines[0], "40"), (lines[0], "-40"), (lines[1], "3"))

    await bursar.imports(back)

    records = [
        json.loads(record.value or b"") for record in read_topic(bursar.servers, bursar.topic)
    ]
    assert [record["kind"] for record in records] == ["payment", "reversal", "payment"]
    assert {record["import_file"] for record in records} == {sha256_of(back)}


def as_before(line: str, content: bytes, n: int, amount: str, **more: object) -> Record:
    """What a release published that did not name the file."""
    members = {"fine_id": ABSENT, "comment": ABSENT, "status_code": ABSENT, **more}
    return payment(
        source=SOURCE,
        payment_id=f"{sha256_of(content)}-{n}",
        bursar_transaction_id=line,
        amount=amount,
        **members,
    )


async def test_a_file_that_the_release_before_has_imported_is_a_repeat(bursar: Bursar) -> None:
    (line,), _ = await exported(bursar.path, ["95.50"])
    back = document((line, "40"), (line, "-40"))
    await bursar.target(read_import(BytesIO(back)))
    await bursar.path.take(as_before(line, back, 1, "40"))
    original = {"kind": "reversal", "reverses_payment_id": f"{sha256_of(back)}-1"}
    await bursar.path.take(as_before(line, back, 2, "40", **original))

    summary = await bursar.imports(back)

    assert summary.counts == {(LineOutcome.REPEAT, None, "USD"): 2}
    assert read_topic(bursar.servers, bursar.topic) == []
    assert await bursar.path.rows("SELECT * FROM rejected") == []


async def test_a_line_that_the_release_before_has_published_is_a_repeat(bursar: Bursar) -> None:
    """The file is imported again before the service has decided what was published."""
    (line,), _ = await exported(bursar.path, ["95.50"])
    back = document((line, "40"))
    file = read_import(BytesIO(back))
    target = await bursar.target(file)
    await bursar.job.publish(target, file)
    paid_at = target.paid_at.isoformat()
    await bursar.path.take(as_before(line, back, 1, "40", paid_at=paid_at))

    await bursar.takes_in()

    assert await outstanding(bursar.path) == {"F-0": 55_50}
    assert await bursar.path.rows("SELECT * FROM rejected") == []


async def test_a_reversal_in_a_file_finds_only_payments_of_which_nothing_was_reversed(
    bursar: Bursar,
) -> None:
    (line,), _ = await exported(bursar.path, ["95.00"])
    first = document((line, "40"), (line, "40"))
    await bursar.imports(first)
    latest = f"{sha256_of(first)}-2"
    await bursar.path.take(
        reversal("back", latest, source=SOURCE, amount="10.00", currency="USD"),
    )
    assert await outstanding(bursar.path) == {"F-0": 25_00}

    summary = await bursar.imports(document((line, "-40"), (line, "-40"), (line, "-30")))

    assert {group[:2]: count for group, count in summary.counts.items()} == {
        (LineOutcome.REVERSED, None): 1,
        (LineOutcome.REJECTED, "no_matching_payment"): 2,
    }
    whole = await bursar.path.value("SELECT payment_id FROM payment WHERE reversed_by IS NOT NULL")
    assert whole == f"{sha256_of(first)}-1"
    assert await outstanding(bursar.path) == {"F-0": 65_00}


async def test_a_plan_sees_a_part_that_waits_for_the_payment_of_the_file(bursar: Bursar) -> None:
    """Of the line's payment a part is taken back at once, so nothing of this amount is left."""
    (line,), _ = await exported(bursar.path, ["95.00"])
    back = document((line, "40"), (line, "-40"))
    waiting = reversal(
        "back", f"{sha256_of(back)}-1", source=SOURCE, amount="10.00", currency="USD"
    )
    await bursar.path.take(waiting)

    summary = await bursar.imports(back, KnownLines.REFUSE)

    assert {group[:2] for group in summary.counts} == {
        (LineOutcome.PARTIAL, None),
        (LineOutcome.REJECTED, "no_matching_payment"),
    }
    assert await outstanding(bursar.path) == {"F-0": 65_00}
