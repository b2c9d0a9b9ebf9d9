"""A service whose database is put back to an earlier day, and what must not happen then."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from service.core.money import parse_sum
from service.kafka.topics import OUTPUTS
from tests.support import inputs
from tests.support.installation import institution, profile
from tests.support.process import Site, connected, end
from tests.support.programs import start_program
from tests.support.topics import end_offsets, produce, read_topic

SECONDS_MAX = 60
OLDER = 3
# What says who works here and why not, but nothing about fines.
IGNORED_TABLES = ("alembic_version", "process_commit", "relay_lease", "restore_verdict")
LOST = "LOSTITEMREPLACEMENTFEE"
PROFILE = institution() + profile(fine_types=["OVERDUEFINE", LOST], close_paid_lost_loan=True)


class Ended(NamedTuple):
    """How a process of the service ended, and the line it ended with."""

    code: int | None
    line: str


@dataclass(slots=True)
class Backups:
    """Copies of the database of a site, taken and put back by the server."""

    site: Site
    admin_url: str
    names: list[str] = field(default_factory=list)

    @property
    def live(self) -> str:
        return urlsplit(self.site.database_url).path.removeprefix("/")

    async def take(self) -> str:
        """A copy as of now; the service loses its connections for a moment, and goes on."""
        name = f"{self.live}_b{uuid4().hex[:6]}"
        async with connected(self.admin_url) as connection:
            await self._alone(connection)
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self.live}"')
            await connection.execute(f'ALTER DATABASE "{self.live}" ALLOW_CONNECTIONS true')
        self.names.append(name)
        return name

    async def put_back(self, name: str) -> str:
        """The copy takes the place of the database, at one stroke; the name of what it replaced."""
        fresh, former = f"{name}_c{uuid4().hex[:6]}", f"{self.live}_f{uuid4().hex[:6]}"
        async with connected(self.admin_url) as connection:
            await connection.execute(f'CREATE DATABASE "{fresh}" TEMPLATE "{name}"')
            await self._alone(connection)
            async with connection.transaction():
                await connection.execute(f'ALTER DATABASE "{self.live}" RENAME TO "{former}"')
                await connection.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{self.live}"')
            await connection.execute(f'ALTER DATABASE "{former}" ALLOW_CONNECTIONS true')
        self.names.append(former)
        return former

    async def empty(self) -> None:
        """A new database takes its place."""
        name = f"{self.live}_e{uuid4().hex[:6]}"
        async with connected(self.admin_url) as connection:
            await connection.execute(f'CREATE DATABASE "{name}"')
        self.names.append(name)
        await self.put_back(name)

    def url_of(self, name: str) -> str:
        """A copy's own URL."""
        return urlsplit(self.site.database_url)._replace(path=f"/{name}").geturl()

    async def drop_all(self) -> None:
        async with connected(self.admin_url) as connection:
            for name in self.names:
                await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _alone(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Nobody else is in the database, or comes in."""
        await connection.execute(f'ALTER DATABASE "{self.live}" ALLOW_CONNECTIONS false')
        async with asyncio.timeout(SECONDS_MAX):
            while await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", self.live
            ):
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                    self.live,
                )
                await asyncio.sleep(0.01)


def send(site: Site, contract: str, *events: Mapping[str, object]) -> int:
    """Published in structured mode; how many."""
    for event in events:
        value, headers = inputs.structured(contract, event)
        produce(site.servers, site.topic(contract), [(b"key", value)], headers=headers)
    return len(events)


def fine(number: int, kind: str = "OVERDUEFINE") -> Mapping[str, object]:
    return inputs.fine_created(
        fine_id=f"F-{number}",
        loan_id=f"L-{number}",
        type=kind,
        patron={
            "patron_id": f"P-{number}",
            "name": "Doe, Jane",
            "user_group": "STUDENT",
            "identifiers": [{"type": "02", "value": f"A{number}"}],
        },
    )


async def start_and_end(site: Site, *arguments: str) -> Ended:
    """`run`, or a command, that ends by itself; its last line in words."""
    process = await start_program(
        *(arguments or ("run",)), environment=site.environment, output=DEVNULL
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            _, problems = await process.communicate()
    finally:
        await end(process)
    return Ended(process.returncode, last_line(problems.decode()))


def last_line(output: str) -> str:
    """The one line that says why: of the log of a service, or of a command."""
    lines = []
    for line in output.splitlines():
        if line.startswith("bursar-bridge: "):
            lines.append(line.removeprefix("bursar-bridge: "))
        elif '"failed"' in line:
            lines.append(str(json.loads(line).get("text")))
    assert len(lines) == 1, output
    return lines[0]


async def state_of(site: Site) -> Mapping[str, object]:
    """A digest of each table of the ledger, and where the topics end."""
    members: dict[str, object] = {}
    async with connected(site.database_url) as connection:
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            " AND table_name <> all($1::text [])",
            IGNORED_TABLES,
        )
        for (name,) in tables:
            row = "to_jsonb(t) - 'owner_epoch'" if name == "consumer_offset" else "to_jsonb(t)"
            members[name] = await connection.fetchval(
                f"SELECT md5(coalesce(string_agg(({row})::text, ','"
                f" ORDER BY ({row})::text), '')) FROM \"{name}\" AS t"
            )
    for contract in (*OUTPUTS, "bursar-payment.v1"):
        members[contract] = await asyncio.to_thread(end_offsets, site.servers, site.topic(contract))
    return members


def writing_commands(import_file: str) -> Sequence[tuple[str, ...]]:
    """Every command that writes, called so that it would find whatever there is."""
    why = ("--reason", "tried on an older database")
    every = ("--all", "--yes", *why)
    return (
        ("export", "run", "--all"),
        ("export", "resend", "--profile", "bursar", "--batch", "1"),
        ("parked", "release", *every),
        ("parked", "discard", *every),
        ("rejected", "replay", *every),
        ("rejected", "discard", *every),
        ("held", "release", *every),
        ("quarantined", "release", *every),
        ("import", import_file, "--profile", "bursar", "--source", "SAP", "--wait-seconds", "1"),
    )


# What a recovered ledger has in common with the lost one, whatever was numbered or recorded anew.
LEDGER = {
    "account": "institution_id, patron_id, currency, active, transferred",
    "fine": "institution_id, fine_id, status, considered, remaining, outstanding, line,"
    " payments_live, refused_reason",
    "export_line": "institution_id, bursar_transaction_id, fine_id, profile, batch_number, amount,"
    " state",
    "export_batch": "institution_id, profile, batch_number, export_number, state, currency,"
    " fine_count, total, file_name, sha256, previous_sha256, document, manifest, cutoff",
    "profile_counter": "institution_id, profile, batch_number, sha256",
    "payment": "institution_id, source, payment_id, state, fine_id, applied, excess, credit_id,"
    " reason",
    "loan_closed": "institution_id, loan_id, fine_id, batch_number, closed_at",
    "rejected": "topic, partition, record_offset, reason",
}


async def ledger_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    """The rows of each table of the ledger, as far as a recovery brings them back."""
    async with connected(url) as connection:
        return {
            table: sorted(
                (
                    tuple(row.values())
                    for row in await connection.fetch(f"SELECT {columns} FROM {table}")
                ),
                key=repr,
            )
            for table, columns in LEDGER.items()
        }


def published_sequences(site: Site) -> dict[tuple[str, ...], tuple[tuple[int, int], object]]:
    """What a reader of the balances has in the end: the highest event of each account."""
    latest: dict[tuple[str, ...], tuple[tuple[int, int], object]] = {}
    for record in read_topic(site.servers, site.topic("balance-changed.v1")):
        event = json.loads(record.value or b"")
        key = (event["institution_id"], event["patron_id"], event["currency"])
        balance = tuple(
            parse_sum(event["balance"][name], key[2]) for name in ("active", "transferred")
        )
        place = (event["epoch"], event["sequence"])
        if key not in latest or place > latest[key][0]:
            latest[key] = (place, balance)
    return latest
