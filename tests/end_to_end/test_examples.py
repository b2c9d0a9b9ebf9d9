"""The programs under examples/, run as a reader runs them, against the service."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass

import pytest

from tests.support.installation import institution, profile
from tests.support.process import COMMAND_SECONDS_MAX, Site, end
from tests.support.programs import ROOT
from tests.support.sealed import publish, sealed_chain
from tests.support.topics import produce

EXAMPLES = ROOT / "examples"
CLIENTS = ("aiokafka", "confluent")
PROFILES = institution("101", zone="America/New_York") + profile(
    "DAILY", institution="101", match="BARCODE", fines_max=1
)
CHANGED = ROOT / "contracts" / "examples" / "balance-changed.v1" / "valid" / "fine.json"
REJECTED = "contracts/examples/rejected.v1/valid/full.json"
CREATED_AT = "2026-11-01T09:00:00Z"
PAID_AT = "2026-11-26T10:00:00Z"


@dataclass(frozen=True)
class Erp:
    """A reader of the examples, with one client."""

    site: Site
    client: str

    async def program(self, name: str, *words: str, code: int = 0) -> str:
        """The output of `send` or `load` with this client, or its errors where they are wanted."""
        return await self.run(f"{name}_{self.client}.py", *words, code=code)

    async def run(self, name: str, *words: str, code: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / name), *words),
            cwd=self.site.folder,
            env=self._environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        try:
            async with asyncio.timeout(COMMAND_SECONDS_MAX):
                out, problems = await process.communicate()
        finally:
            await end(process)
        assert process.returncode == code, problems.decode()
        return out.decode() if code == 0 else problems.decode()

    @property
    def _environment(self) -> dict[str, str]:
        """Without coverage, which is of the service alone."""
        items = self.site.environment.items()
        kept = {name: text for name, text in items if not name.startswith("COVERAGE_")}
        return kept | {"LOADER_GROUP": f"{self.site.group}-loader"}

    async def took(self, answers: int) -> None:
        """Waits until the service has read so many answers besides the loader's two."""

        async def has_read() -> bool:
            rows = await self.site.rows(
                "SELECT sum(next_offset)::int AS n FROM consumer_offset"
                " WHERE topic LIKE '%export-response.v1'"
            )
            return rows == [{"n": 2 + answers}]

        await self.site.until(has_read, COMMAND_SECONDS_MAX)

    async def owes(self, patron: str, active: int, transferred: int) -> None:
        """Waits until it is so, minor units."""

        async def is_so() -> bool:
            rows = await self.site.rows(
                "SELECT active, transferred FROM account WHERE patron_id = $1", patron
            )
            return rows == [{"active": active, "transferred": transferred}]

        await self.site.until(is_so, COMMAND_SECONDS_MAX)


async def start(site: Site) -> None:
    """Starts a service with its own tables and topics."""
    site.write_profiles(PROFILES)
    await site.command("migrate")
    await site.command("topics", "create", "--partitions", "3")
    await site.start()


async def check_watched(erp: Erp) -> None:
    """The first three records that are watched."""
    watched = (await erp.run("watch.py", "3")).splitlines()
    kinds = [line.split()[0] for line in watched]  # the topics come in any order
    assert sorted(kinds) in (["balance"] * 3, ["balance", "balance", "rejected"])


async def check_reversed(erp: Erp) -> None:
    """A part of the payment R-1 is taken back, and then what is left of it."""
    part = ("reverse", "101", "R-1-part", PAID_AT, "R-1", "4.00", "USD")
    await erp.program("send", *part)
    await erp.owes("P-1", 0, 1800)
    await erp.program("send", "reverse", "101", "R-1-rest", PAID_AT, "R-1")
    await erp.owes("P-1", 0, 2400)


@pytest.mark.parametrize("client", CLIENTS)
async def test_batches_are_loaded_answered_paid_reversed_and_refused(
    site: Site, client: str
) -> None:
    erp = Erp(site, client)
    await start(site)
    full = ROOT / "contracts" / "examples" / "fine-created.v1" / "valid" / "full.json"
    sent = await erp.program("send", "file", "fine-created.v1", str(full))
    place = rf"sent to {site.topic('fine-created.v1')}, partition \d, offset 0\nnext: watch\.py"
    assert re.match(place, sent)
    for patron in ("P-1", "P-2"):
        words = (f"F-{patron}", CREATED_AT, patron, "OVERDUEFINE", "30.00", "USD")
        await erp.program("send", "fine", "101", *words)
        await erp.program("send", "change", "101", f"C-{patron}", PAID_AT, words[0], "disputed")
        await erp.program("send", "change", "101", f"D-{patron}", PAID_AT, words[0], "restored")
        desk = ("change", "101", f"E-{patron}", PAID_AT, words[0], "paid", "5.00", "USD")
        await erp.program("send", *desk)
        await erp.owes(patron, 2500, 0)
    await site.command("export", "run", "--profile", "DAILY")
    result = await erp.program("load", "inbox", "2", "--accept")
    first, second = (line.split() for line in result.splitlines())
    assert [first[1:], second[1:]] == [["1", "25.00"], ["1", "25.00"]]
    inbox = site.folder / "inbox"
    assert {path.name for path in inbox.glob("*.xml")} == {first[0], second[0]}
    manifests = [inbox / "manifests" / f"{name[0][:-4]}.json" for name in (first, second)]
    lines = [
        json.loads(path.read_bytes())["lines"][0]["bursar_transaction_id"] for path in manifests
    ]

    paid = ("pay", "101", "R-1", PAID_AT, lines[0], "10.00", "USD")
    await erp.program("send", *paid)
    await erp.owes("P-1", 0, 1500)
    await erp.program("send", *paid)  # the same words: the same payment
    by_fine = ("pay", "101", "R-2", PAID_AT, "fine:F-P-1", "1.00", "USD")
    await erp.program("send", *by_fine)
    await erp.owes("P-1", 0, 1400)
    await erp.program("send", "status", "101", "S-1", PAID_AT, lines[0], "invoiced")
    await check_reversed(erp)
    await erp.program("send", "write-off", "101", "W-1", PAID_AT, lines[0], "24.00", "USD")
    await erp.owes("P-1", 0, 0)
    # A line of the other batch is not this one's; the correction is an answer of its own.
    for line in (lines[0], lines[1], lines[1]):
        await erp.program("send", "refuse", str(manifests[1]), line, "unknown student")
    await erp.owes("P-2", 2500, 0)
    await erp.took(3)
    states = await site.rows("SELECT state FROM export_batch ORDER BY batch_number")
    assert [row["state"] for row in states] == ["accepted", "refused"]
    assert await site.rows("SELECT reason FROM rejected") == [{"reason": "unknown_line"}]
    assert await site.rows("SELECT * FROM parked") == []
    await check_watched(erp)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_batch_again_is_loaded_once_and_a_wrong_one_never(site: Site, client: str) -> None:
    erp = Erp(site, client)
    await site.command("topics", "create", "--partitions", "1")
    item, two, three = sealed_chain(3)
    publish(site.servers, site.prefix, item, item, two)
    for batch in (item, two):  # however many there are, it takes as many as it is told
        result = await erp.program("load", "inbox", "1")
        assert [line.split()[0] for line in result.splitlines()] == [batch.file_name]
    publish(site.servers, site.prefix, three.spoilt())
    result = await erp.program("load", "inbox", "1", code=1)
    assert "not loaded: sha256: the document differs from its manifest" in result
    inbox = site.folder / "inbox"
    assert {path.name for path in inbox.glob("*.xml")} == {item.file_name, two.file_name}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_gap_stops_the_loader(site: Site, client: str) -> None:
    erp = Erp(site, client)
    await site.command("topics", "create", "--partitions", "1")
    item, _, three = sealed_chain(3)
    publish(site.servers, site.prefix, item, three)
    result = await erp.program("load", "inbox", "2", code=1)
    assert "not loaded: 972/DAILY: batch 2 is missing before 3" in result
    inbox = site.folder / "inbox"
    assert [path.name for path in inbox.glob("*.xml")] == [item.file_name]


def changed(epoch: int, sequence: int, patron: str = "P-1") -> bytes:
    event = json.loads(CHANGED.read_bytes())
    event |= {"patron_id": patron, "epoch": epoch, "sequence": sequence}
    return json.dumps(event).encode()


async def test_the_watcher_prints_what_comes_and_alarms_on_a_gap_of_an_account_and_epoch(
    site: Site,
) -> None:
    erp = Erp(site, "aiokafka")
    await site.command("topics", "create", "--partitions", "1")
    # An account begins, misses two numbers, gets one of them late; a restore goes on at 9.
    numbers = ((1, 1), (1, 2), (1, 2), (1, 5), (1, 3), (2, 9), (2, 10))
    records = [(b"6050/P-1", changed(*number)) for number in numbers]
    records.append((b"6050/P-2", changed(1, 1, "P-2")))
    produce(site.servers, site.topic("balance-changed.v1"), records)
    problems = await erp.run("watch.py", str(len(records)), code=1)  # 4 is still missing
    assert problems.startswith("watching ")

    produce(site.servers, site.topic("balance-changed.v1"), [(b"6050/P-1", changed(1, 4))])
    lines = (await erp.run("watch.py", str(len(records) + 1))).splitlines()
    shown = [line.partition("number ")[2].rstrip(")") or line for line in lines]
    gap = "GAP       6050/P-1 USD: epoch 1: 3 to 4 did not come before 5"
    assert shown == ["1", "2", gap, "5", "3", "9", "10", "1", "4"]

    closed = EXAMPLES.parent / "contracts/examples/loan-closed.v1/valid/loan_closed.json"
    produce(site.servers, site.topic("loan-closed.v1"), [(b"6050/P-1001", closed.read_bytes())])
    values = json.loads((EXAMPLES.parent / REJECTED).read_bytes())
    headers = [(name, text.encode()) for name, text in values.items()]
    produce(site.servers, site.topic("rejected.v1"), [(None, b"{}")], headers=headers)
    lines = (await erp.run("watch.py", str(len(records) + 3))).splitlines()
    assert "loan      6050/P-1001: L-778 is closed, lost_fine_exported 15000000020004242" in lines
    rejected = "rejected  library.bursar-payment.v1/3/1042: currency_mismatch: "
    assert f"{rejected}currency: must be the fine's" in lines


SINGLE_FILES = ("pay.py", "load.py", "watch.py")
PROGRAMS = [
    *(f"{name}_{client}.py" for name in ("send", "load") for client in CLIENTS),
    *SINGLE_FILES,
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_answers_help_and_refuses_what_it_does_not_understand(name: str) -> None:
    """Without a broker: nothing is asked of it."""
    answer = subprocess.run(
        [sys.executable, EXAMPLES / name, "--help"], capture_output=True, text=True, check=True
    )
    assert (f"    {name} pay 101" if "send" in name else f" {name} ") in answer.stdout
    assert "KAFKA_BOOTSTRAP_SERVERS" in answer.stdout
    wrong = subprocess.run(
        [sys.executable, EXAMPLES / name, "a", "b", "c"], capture_output=True, check=False
    )
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"--help" in wrong.stderr
