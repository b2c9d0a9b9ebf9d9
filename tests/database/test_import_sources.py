"""A file counts once: under one source, spelled in one way, for the institution that it is of."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from service.imports.files import DoubtfulSource, FileKey, alike_sources
from tests.support.deciding import check_published
from tests.support.importing import (
    PROFILE,
    SOURCE,
    UNIVERSITY,
    Desk,
    document,
    exported,
    outstanding,
)
from tests.support.topics import read_topic
from tests.support.write_path import change, payment

WHY = ("--reason", "the library's second system", "--operator", "desk")


async def balances(desk: Desk) -> list[dict[str, object]]:
    return await desk.bursar.path.rows("SELECT active, transferred FROM account")


async def test_a_file_is_not_imported_under_a_second_source_unless_a_person_says_so(
    desk: Desk,
) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00"])
    file = document((lines[0], "50.00"))
    assert (await desk.imports(file)).exit_code == 0
    for options in ((), ("--dry-run",)):
        ended = await desk.imports(file, "--source", "ERP", *options)
        assert ended.exit_code == 1
        assert "--source: this file was imported as SIS on " in ended.stderr
    assert await balances(desk) == [{"active": 0, "transferred": 0}]
    assert (await desk.imports(file)).exit_code == 0, "under its own source it is a repeat"

    accepted = ("--source", "ERP", "--accept-source", "--known-lines", "pay")
    assert (await desk.imports(file, *accepted)).exit_code == 2, "without a reason"
    ended = await desk.imports(file, *accepted, *WHY)
    assert ended.exit_code == 0, ended.output
    assert await balances(desk) == [{"active": -50_00, "transferred": 0}]
    rows = await desk.bursar.path.rows(
        "SELECT action, subject ->> 'source' AS source, reason, operator FROM operator_action"
        " ORDER BY action_id"
    )
    assert rows == [
        {"action": action, "source": "ERP", "reason": WHY[1], "operator": "desk"}
        for action in ("import_source_accepted", "import_known_lines_paid")
    ]
    await check_published(desk.bursar.path, desk.topic_prefix)


@pytest.mark.parametrize("source", ["sis", "Sis", " SIS", "SIS "])
async def test_a_file_is_not_imported_again_under_another_spelling_of_its_source(
    desk: Desk, source: str
) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00"])
    file = document((lines[0], "50.00"))
    assert (await desk.imports(file)).exit_code == 0
    for options in ((), ("--dry-run",)):
        ended = await desk.imports(file, "--source", source, *options)
        assert ended.exit_code == 1
        assert "this file was imported as SIS on " in ended.stderr
    assert await balances(desk) == [{"active": 0, "transferred": 0}]
    assert await outstanding(desk.bursar.path) == {"F-0": 0}


async def test_a_source_that_is_another_spelling_of_a_known_one_is_refused_by_name(
    desk: Desk,
) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00", "7.00"])
    await desk.bursar.path.take(
        payment(
            source="Web",
            payment_id="w-1",
            bursar_transaction_id=lines[1],
            fine_id="F-1",
            amount="7.00",
        )
    )
    await desk.imports(document((lines[0], "40.00")))
    other = document((lines[0], "10.00"))
    for source, known in (("sis", "SIS"), (" SIS ", "SIS"), ("WEB", "Web")):
        ended = await desk.imports(other, "--source", source)
        assert (ended.exit_code, f"known source {known} " in ended.stderr) == (1, True), source
    ended = await desk.imports(other, "--source", " NEW", "--accept-source", *WHY)
    assert (ended.exit_code, "must not have blanks" in ended.stderr) == (1, True)
    for source in ("", " ", "a" * 101, "S\nIS"):
        assert (await desk.imports(other, "--source", source)).exit_code == 2
    assert await outstanding(desk.bursar.path) == {"F-0": 10_00, "F-1": 0}

    accepted = await desk.imports(other, "--source", "sis", "--accept-source", *WHY)
    assert accepted.exit_code == 0, accepted.output
    assert await outstanding(desk.bursar.path) == {"F-0": 0, "F-1": 0}
    assert (await desk.imports(document((lines[1], "1")), "--source", "SIS")).exit_code == 0, (
        "a source that is known by itself is not in doubt"
    )


async def test_a_padded_id_in_a_file_is_that_of_its_line_and_zeros_are_that_of_none(
    desk: Desk,
) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00", "7.00"])
    await desk.imports(document((lines[0].zfill(20), "50.00"), ("0" * 20, "7.00")))
    assert await outstanding(desk.bursar.path) == {"F-0": 0, "F-1": 7_00}
    rows = await desk.bursar.path.rows("SELECT state, reason FROM payment ORDER BY payment_id")
    assert [(row["state"], row["reason"]) for row in rows] == [
        ("applied", None),
        ("rejected", "unknown_line"),
    ]


async def test_of_two_imports_at_once_under_two_sources_one_is_refused(desk: Desk) -> None:
    job = desk.bursar.job
    outcomes = await asyncio.gather(
        *(
            job.file(FileKey(UNIVERSITY, source, "ab" * 32), "SIS", register=True)
            for source in (SOURCE, "ERP", "WEB")
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, DoubtfulSource) for outcome in outcomes) == 2
    assert await desk.bursar.path.value("SELECT count(*) FROM import_file") == 1


async def test_check_names_sources_that_differ_in_their_spelling_alone(desk: Desk) -> None:
    path = desk.bursar.path
    lines, _ = await exported(path, ["50.00"])
    for source in ("ERP", "erp", "WEB"):
        await path.take(
            payment(
                source=source,
                payment_id="1",
                bursar_transaction_id=lines[0],
                fine_id="F-0",
                amount="1.00",
            ),
            change(source=source.title(), change_id=source, fine_id="F-0"),
        )
    async with path.pool.acquire() as connection:
        assert isinstance(connection, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy)
        pairs = await alike_sources(connection)
    assert [(pair.institution_id, pair.record, pair.sources) for pair in pairs] == [
        (UNIVERSITY, "payment", ("ERP", "erp"))
    ]
    shown = await desk.check()
    assert "the sources ERP, erp differ only in upper and lower case" in shown


OWNER = b"<x:owneredEntity><x:InstitutionId>%b</x:InstitutionId></x:owneredEntity>"
USER = b"<x:user><x:type>02</x:type><x:value>1</x:value>%b</x:user><x:finefeeList>"


@pytest.mark.parametrize("where", ["fine", "patron"])
async def test_a_file_of_an_institution_without_a_profile_here_is_refused_as_a_whole(
    desk: Desk, where: str
) -> None:
    """Its ids may be this one's as well: those of a test system begin at the same number."""
    lines, _ = await exported(desk.bursar.path, ["95.50"])
    assert "9999" not in PROFILE

    def of(institution: bytes) -> bytes:
        owner, file = OWNER % institution, document((lines[0], "95.50"))
        if where == "fine":
            return file.replace(b"<x:compositeSum>", owner + b"<x:compositeSum>")
        return file.replace(b"<x:finefeeList>", USER % owner)

    for options in ((), ("--dry-run",)):
        ended = await desk.imports(of(b"9999"), *options)
        assert ended.exit_code == 1
        assert "InstitutionId: must be that of the profile's institution, 6050" in ended.stderr
    assert read_topic(desk.bursar.servers, desk.bursar.topic) == []
    assert (await desk.imports(of(b"null"), "--dry-run")).exit_code == 0, "matched by user name"
    assert (await desk.imports(of(b" 6050 "))).exit_code == 0
