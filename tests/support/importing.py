"""Files from the bursar in tests: the whole way of a file, by the job and by the command."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from typer.testing import Result

from service.core.words import KnownLines
from service.database.ledger_read import LedgerReader
from service.export.xml.read import ImportFile, read_import
from service.imports.files import FileKey, PaymentFile
from service.imports.job import ImportJob, ImportTopics, Summary
from service.imports.plan import LineOutcome, PlannedLine
from service.messages.decode import parse
from service.settings.access import KafkaAccess
from tests.support.commands import Commands
from tests.support.guards import Unguarded
from tests.support.installation import institution, profile
from tests.support.topics import read_topic
from tests.support.write_path import OUTPUTS, Record, WritePath, fine, payment, profiles_of

UNIVERSITY = "6050"
SOURCE = "SIS"
PROFILE = institution() + profile(
    "SIS", fine_types=["OVERDUEFINE", "CREDIT"], credits={"included": True}
)
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
            LedgerReader(parse),
            KafkaAccess(kafka_bootstrap_servers=servers),
            ImportTopics(self.topic, OUTPUTS),
        )

    async def target(self, file: ImportFile, *, register: bool = True) -> PaymentFile:
        key = FileKey(UNIVERSITY, SOURCE, file.sha256)
        return await self.job.file(key, "SIS", register=register)

    async def imports(
        self, document: bytes, known_lines: KnownLines = KnownLines.REFUSE
    ) -> Summary:
        """The whole way of a file: checked, published, read from the topic, applied."""
        file = read_import(BytesIO(document))
        target = await self.target(file)
        summary = await self.job.check(target, file, known_lines=known_lines)
        await self.job.publish(target, file, known_lines=known_lines)
        await self.takes_in()
        return summary

    async def takes_in(self) -> None:
        """What the running service does with what was published since."""
        records = (await asyncio.to_thread(read_topic, self.servers, self.topic))[self.read :]
        self.read += len(records)
        await self.path.take(
            *(
                Record("bursar-payment.v1", record.value, record.headers, record.key)
                for record in records
            )
        )

    async def fates(self, document: bytes) -> dict[int, LineOutcome]:
        file = read_import(BytesIO(document))
        planned: list[PlannedLine] = []
        await self.job.check(await self.target(file, register=False), file, planned.append)
        return {item.line.n: item.outcome for item in planned}


async def exported(
    path: WritePath, amounts: Sequence[str], text: str = PROFILE
) -> tuple[list[str], bytes]:
    """Fines F-0, F-1 ... of these amounts, exported; their bursar ids and the file."""
    await path.take(
        *(
            fine(fine_id=f"F-{n}", amount=amount, type="CREDIT" if "-" in amount else "OVERDUEFINE")
            for n, amount in enumerate(amounts)
        )
    )
    profiles = profiles_of(text)
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


class Desk:
    """The command as an operator calls it, beside a service that takes in what it publishes."""

    def __init__(self, bursar: Bursar, commands: Commands, folder: Path) -> None:
        self.bursar = bursar
        self._commands = commands
        self._folder = folder

    @property
    def topic_prefix(self) -> str:
        return self._commands.topic_prefix

    @property
    def environment(self) -> dict[str, str]:
        """For the program as a process of its own."""
        foreign = ("BURSAR_", "DATABASE_URL", "KAFKA_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
        return kept | self._commands.environment

    def write(self, content: bytes) -> Path:
        file = self._folder / "back.xml"
        file.write_bytes(content)
        return file

    async def call(self, file: Path, *options: str) -> Result:
        """Nothing is taken in meanwhile."""
        return await self._commands.call("import", str(file), "--profile", "SIS", *options)

    async def imports(self, content: bytes, *options: str) -> Result:
        called = asyncio.create_task(self.call(self.write(content), *options))
        while not called.done():
            await self.bursar.takes_in()
        return await called

    async def lines(self, content: bytes, *options: str) -> list[dict[str, Any]]:
        """What `--json` says of the lines, without the last line, which is about the import."""
        ended = await self.imports(content, *options, "--json")
        return [json.loads(line) for line in ended.stdout.splitlines()][:-1]

    async def end(self, content: bytes, *options: str) -> tuple[int, dict[str, Any]]:
        """The exit code, and the last line of `--json`."""
        ended = await self.imports(content, *options, "--json")
        return ended.exit_code, json.loads(ended.stdout.splitlines()[-1])

    async def check(self) -> str:
        """What `bursar-bridge check` prints."""
        return (await self._commands.call("check")).stdout

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
