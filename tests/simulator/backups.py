"""A backup of a simulation's database, and the older database that comes back from it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from service.database.session import Connection
from tests.simulator.cluster import Group, Stored
from tests.simulator.control import Control
from tests.simulator.history import History
from tests.support.restoring import IGNORED_TABLES

TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    " AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version' ORDER BY 1"
)
SEQUENCES = (
    "SELECT sequencename AS name, last_value FROM pg_sequences"
    " WHERE schemaname = 'public' AND sequencename <> 'simulated_clock'"
)


@dataclass(frozen=True, slots=True)
class Backup:
    """The rows of all tables, and where sequences are. `steps` is how many commits it has."""

    tables: Mapping[str, bytes]
    sequences: Mapping[str, int | None]
    steps: int


def take(control: Control, steps: int) -> Backup:
    """A backup of what has been committed."""

    async def read(connection: Connection) -> dict[str, bytes]:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            names = [name for (name,) in await connection.fetch(TABLES)]
            return {name: await _read_table(connection, name) for name in names}

    sequences = {str(row["name"]): row["last_value"] for row in control.rows(SEQUENCES)}
    return Backup(control.run(read), sequences, steps)  # type: ignore[arg-type]


async def _read_table(connection: Connection, name: str) -> bytes:
    parts: list[bytes] = []

    async def keep(part: bytes) -> None:
        parts.append(part)

    await connection.copy_from_table(name, output=keep, format="binary")
    return b"".join(parts)


def put_back(control: Control, backup: Backup) -> None:
    """The rows of the backup take the place of those that are there. Nobody else has a session."""

    async def write(connection: Connection) -> None:
        async with connection.transaction():
            # Triggers that keep rows as they are do not hold for a restore.
            await connection.execute("SET LOCAL session_replication_role = replica")
            names = ", ".join(f'"{name}"' for name in backup.tables)
            await connection.execute(f"TRUNCATE {names}")
            for name, content in backup.tables.items():
                await connection.copy_to_table(name, source=_whole(content), format="binary")
            for name, value in backup.sequences.items():
                await connection.execute(
                    "SELECT pg_catalog.setval($1::regclass, $2, $3)",
                    f'"{name}"',
                    value or 1,
                    value is not None,
                )

    control.run(write)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


def digests(control: Control) -> Mapping[str, object]:
    """A digest of each table of the ledger, but of who reads which partition."""
    names = [str(row["table_name"]) for row in control.rows(TABLES)]
    return {
        name: control.value(
            "SELECT md5(coalesce(string_agg(k.line, ',' ORDER BY k.line), '')) FROM"
            f" (SELECT (to_jsonb(t) - 'owner_epoch')::text AS line FROM \"{name}\" AS t) AS k"
        )
        for name in names
        if name not in IGNORED_TABLES
    }


def is_evident(control: Control, history: History, group: Group) -> bool:
    """Whether Kafka knows of something that the database does not know any more."""
    rows = control.rows("SELECT topic, partition, next_offset FROM consumer_offset")
    known = {(row["topic"], row["partition"]): int(str(row["next_offset"])) for row in rows}
    if any(offset > known.get(tuple(at), 0) for at, offset in group.offsets.items()):
        return True
    return not all(_knows(control, each) for _, _, each in history.output("balance-changed.v1"))


def _knows(control: Control, record: Stored) -> bool:
    event = json.loads(record.value or b"")
    known = control.value(
        "SELECT EXISTS (SELECT FROM ledger_transaction WHERE institution_id = $1 AND patron_id = $2"
        " AND currency = $3 AND sequence = $4 AND recorded_at = $5)",
        event["institution_id"],
        event["patron_id"],
        event["currency"],
        event["sequence"],
        datetime.fromisoformat(dict(record.headers)["ce_time"].decode()),
    )
    return bool(known)
