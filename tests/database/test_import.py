"""The bursar's file on a real database and a real topic: planned, published, applied, repeated."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from typer.testing import Result

from service.database.ledger_store import LedgerStore
from service.export.bursar_xml_reader import ImportFile, read_import
from service.imports.job import ImportJob, ImportTopics, Summary
from service.imports.plan import Fate, Planned, Target
from service.kafka.clients import KafkaAccess
from service.messages import parse
from tests.support.commands import Commands
from tests.support.guards import Unguarded
from tests.support.topics import create_topic, read_topic
from tests.support.write_path import (
    PREFIX,
    Record,
    WritePath,
    fine,
    payment,
    profiles_of,
    tables_of,
    write_path,
)

UNIVERSITY = "6050"
SOURCE = "SIS"
PROFILE = """
[[institution]]
id = "6050"
zone = "Europe/Berlin"

[[profile]]
code = "SIS"
name = "Student information system"
institution = "6050"
mode = "export_import"
currency = "USD"
fine_types = ["OVERDUEFINE", "CREDIT"]
match = "02"

[profile.credits]
included = true
"""
XB = "http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans"


class Bursar:
    """Sends files back: a topic of its own, and the service that reads it."""

    def __init__(self, path: WritePath, servers: str, prefix: str) -> None:
        self.path = path
        self.servers = servers
        self.topic = f"{prefix}bursar-payment.v1"
        self.read = 0
        self.job = ImportJob(
            Unguarded(path.pool),
            LedgerStore(parse),
            KafkaAccess(servers),
            ImportTopics(self.topic, f"{PREFIX}rejected.v1", "/tests"),
        )

    async def target(self, file: ImportFile, *, register: bool = True) -> Target:
        return await self.job.target(UNIVERSITY, SOURCE, "SIS", file.sha256, register=register)

    async def imports(self, document: bytes) -> Summary:
        """The whole way of a file: checked, published, read from the topic, applied."""
        file = read_import(BytesIO(document))
        target = await self.target(file)
        summary = await self.job.check(target, file)
        await self.job.publish(target, file)
        await self.takes_in()
        return summary

    async def takes_in(self) -> None:
        """What the running service does with what was published since."""
        records = (await asyncio.to_thread(read_topic, self.servers, self.topic))[self.read :]
        self.read += len(records)
        await self.path.take(
            *(Record("bursar-payment.v1", one.value, one.headers, one.key) for one in records)
        )

    async def fates(self, document: bytes) -> dict[int, Fate]:
        file = read_import(BytesIO(document))
        planned: list[Planned] = []
        await self.job.check(await self.target(file, register=False), file, planned.append)
        return {one.line.n: one.fate for one in planned}


@pytest.fixture
async def bursar(
    database_url: str, bootstrap_servers: str, kafka_admin: AdminClient, topic_prefix: str
) -> AsyncIterator[Bursar]:
    create_topic(kafka_admin, f"{topic_prefix}bursar-payment.v1", partitions=1)
    async with write_path(database_url) as path:
        yield Bursar(path, bootstrap_servers, topic_prefix)


async def exported(path: WritePath, amounts: Sequence[str]) -> tuple[list[str], bytes]:
    """Fines F-0, F-1 ... of these amounts, exported; their bursar ids and the file."""
    await path.take(
        *(
            fine(fine_id=f"F-{n}", amount=amount, type="CREDIT" if "-" in amount else "OVERDUEFINE")
            for n, amount in enumerate(amounts)
        )
    )
    profiles = profiles_of(PROFILE)
    await path.exports(profiles).run_profile(profiles.profiles[0])
    rows = await path.rows("SELECT line FROM fine ORDER BY fine_id")
    document = await path.value("SELECT document FROM export_batch")
    assert isinstance(document, bytes)
    return [str(row["line"]) for row in rows], document


def document(*lines: tuple[str, str]) -> bytes:
    """A file of (bursar id, sum)."""
    fines = "".join(
        f"<x:userFineFee><x:compositeSum><x:currency>USD</x:currency><x:sum>{amount}</x:sum>"
        f"</x:compositeSum><x:bursarTransactionId>{line}</x:bursarTransactionId></x:userFineFee>"
        for line, amount in lines
    )
    return (
        f'<x:xml-fragment xmlns:x="{XB}"><x:userExportedFineFees><x:userExportedList>'
        f"<x:userExportedFineFeesList><x:finefeeList>{fines}</x:finefeeList>"
        "</x:userExportedFineFeesList></x:userExportedList></x:userExportedFineFees>"
        "</x:xml-fragment>"
    ).encode()


async def outstanding(path: WritePath) -> dict[str, int]:
    rows = await path.rows("SELECT fine_id, outstanding FROM fine WHERE line IS NOT NULL")
    return {str(row["fine_id"]): int(str(row["outstanding"])) for row in rows}


async def test_a_file_sent_back_as_it_came_settles_every_line(bursar: Bursar) -> None:
    _, sent = await exported(bursar.path, ["95.50", "3.00", "-2.25"])

    summary = await bursar.imports(sent)

    assert summary.counts == {(Fate.PAID, None, "USD"): 3}
    assert summary.sums == {(Fate.PAID, None, "USD"): 95_50 + 3_00 + 2_25}
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

    assert summary.counts == {(Fate.REPEAT, None, "USD"): 4}
    after = await tables_of(bursar.path.pool)
    before.pop("consumer_offset")
    after.pop("consumer_offset")
    assert after == before


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
        1: Fate.PARTIAL,
        2: Fate.PAID,
        3: Fate.OVERPAID,
        4: Fate.PAID,
        5: Fate.REVERSED,
        6: Fate.REJECTED,
        7: Fate.UNKNOWN,
        8: Fate.NOT_OWED,
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
    await bursar.imports(document((line, "95.0")))
    await bursar.imports(document((line, "-95")))
    assert await outstanding(bursar.path) == {"F-0": 0}
    assert await bursar.path.rows("SELECT active, transferred FROM account") == [
        {"active": 0, "transferred": 0}
    ]


async def test_the_plan_of_a_reversal_sees_that_the_credit_of_its_excess_is_used(
    bursar: Bursar,
) -> None:
    (line,), _ = await exported(bursar.path, ["95.00"])
    await bursar.imports(document((line, "100")))
    profiles = profiles_of(PROFILE)
    await bursar.path.exports(profiles).run_profile(profiles.profiles[0])
    assert await bursar.fates(document((line, "-100"))) == {1: Fate.REJECTED}
    await bursar.imports(document((line, "-100")))
    assert await bursar.path.value("SELECT reason FROM rejected") == "credit_already_exported"


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
        own = (institution_id, SOURCE, "SIS", file.sha256)
        await bursar.job.publish(await bursar.job.target(*own, register=True), file)
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


class Desk:
    """The command as an operator calls it, beside a service that takes in what it publishes."""

    def __init__(self, bursar: Bursar, commands: Commands, folder: Path) -> None:
        self.bursar = bursar
        self._commands = commands
        self._folder = folder

    async def imports(self, content: bytes, *options: str) -> Result:
        file = self._folder / "back.xml"
        file.write_bytes(content)
        called = asyncio.create_task(
            self._commands.call("import", str(file), "--profile", "SIS", *options)
        )
        while not called.done():
            await self.bursar.takes_in()
        return await called

    async def lines(self, content: bytes, *options: str) -> list[dict[str, Any]]:
        ended = await self.imports(content, *options, "--json")
        return [json.loads(line) for line in ended.stdout.splitlines()]

    async def paid_already(self) -> bytes:
        """A file of which F-0 was paid by event, and F-1 in part."""
        lines, _ = await exported(self.bursar.path, ["95.50", "3.00", "7.00"])
        for number, amount in (("0", "95.50"), ("1", "1.00")):
            await self.bursar.path.take(
                payment(
                    source="WEB",
                    payment_id=f"web-{number}",
                    bursar_transaction_id=lines[int(number)],
                    fine_id=f"F-{number}",
                    amount=amount,
                )
            )
        return document((lines[0], "95.50"), (lines[1], "3.00"), (lines[2], "7.00"))


@pytest.fixture
def desk(bursar: Bursar, database_url: str, topic_prefix: str, tmp_path: Path) -> Desk:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(PROFILE)
    settings = {
        "BURSAR_TOPIC_PREFIX": topic_prefix,
        "BURSAR_PROFILES_FILE": str(profiles),
    }
    return Desk(bursar, Commands(database_url, bursar.servers, **settings), tmp_path)


OTHER = """
[[institution]]
id = "6051"
zone = "Europe/Berlin"

[[profile]]
code = "OTHER"
name = "Another institution's"
institution = "6051"
mode = "export_import"
currency = "USD"
fine_types = ["OVERDUEFINE"]
match = "02"
"""


async def test_a_file_of_another_institution_is_refused_as_a_whole(
    desk: Desk, tmp_path: Path
) -> None:
    """Its ids may be this one's as well: they would be paid."""
    lines, _ = await exported(desk.bursar.path, ["95.50"])
    (tmp_path / "profiles.toml").write_text(PROFILE + OTHER)
    owner = b"<x:owneredEntity><x:InstitutionId>%b</x:InstitutionId></x:owneredEntity>"
    file = document((lines[0], "95.50"))
    theirs = file.replace(b"<x:compositeSum>", owner % b"6051" + b"<x:compositeSum>")
    for options in ((), ("--dry-run",)):
        ended = await desk.imports(theirs, *options)
        assert ended.exit_code == 1
        assert "InstitutionId: is another institution's" in ended.stderr
    assert read_topic(desk.bursar.servers, desk.bursar.topic) == []
    ours = file.replace(b"<x:compositeSum>", owner % b" 6050 " + b"<x:compositeSum>")
    assert (await desk.imports(ours)).exit_code == 0


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


async def test_a_dry_run_tells_each_line_and_its_credit(desk: Desk) -> None:
    told = await desk.lines(await desk.paid_already(), "--dry-run")

    assert [(one.get("line"), one["would_be"], one["credit"]) for one in told] == [
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

    told = await desk.lines(file, "--dry-run")

    assert [(one["line"], one["would_be"], one["reason"]) for one in told if "line" in one] == [
        (1, "paid", None),
        (2, "bad line", "invalid_amount"),
        (3, "unknown", "unknown_line"),
        (4, "paid", None),
    ]


async def test_what_an_earlier_import_did_is_told_as_such(desk: Desk) -> None:
    lines, _ = await exported(desk.bursar.path, ["95.50", "3.00"])
    file = document((lines[0], "95.50"), (lines[1], "3.00"))

    told = [await desk.lines(file) for _ in range(2)]

    for rows, before in zip(told, (None, 2), strict=True):
        (row,) = rows
        assert (row["became"], row["lines"], row["imported_before"]) == ("applied", 2, before)
    assert "imported before" in (await desk.imports(file)).stdout


async def test_the_outcome_names_what_was_not_published_and_what_was_there_before(
    desk: Desk,
) -> None:
    lines, _ = await exported(desk.bursar.path, ["95.50"])
    file = document((lines[0], "10"), (lines[0], "-7"), (lines[0], "oops"))
    expected = [("applied", None, 1), ("rejected", "no_matching_payment", 1), ("bad line", None, 1)]

    for _ in range(2):
        told = await desk.lines(file)
        assert [(one["became"], one.get("reason"), one["lines"]) for one in told] == expected
    again = await desk.imports(file)
    assert again.exit_code == 1
    assert "1 of the lines were imported before: they did nothing now" in again.stderr


async def test_overpaid_lines_are_allowed_only_where_they_would_stop_the_rest(desk: Desk) -> None:
    assert (await desk.imports(document(), "--allow-overpaid")).exit_code == 2


@pytest.mark.parametrize("options", [(), ("--json",), ("--all-or-nothing",)])
async def test_a_file_without_lines_says_so(desk: Desk, options: tuple[str, ...]) -> None:
    for more, text in (((), "nothing was imported"), (("--dry-run",), "nothing would be imported")):
        ended = await desk.imports(document(), *options, *more)
        assert (ended.exit_code, ended.stdout) == (0, "")
        assert f"the file has no lines: {text}" in ended.stderr
    assert await desk.bursar.path.rows("SELECT sha256 FROM import_file") == []
