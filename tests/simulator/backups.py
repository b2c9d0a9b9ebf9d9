"""Backups of a simulation's database, and the older database that comes back from one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random

from service.database.session import Connection
from tests.simulator.cluster import Group, Stored
from tests.simulator.control import Control
from tests.simulator.databases import START_SERVER
from tests.simulator.history import History
from tests.support.restoring import IGNORED_TABLES

TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    " AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version' ORDER BY 1"
)
DIGEST = (
    "SELECT '{name}' AS name, md5(coalesce(string_agg(k.line, ',' ORDER BY k.line), '')) AS digest"
    " FROM (SELECT (to_jsonb(t) - 'owner_epoch')::text AS line FROM \"{name}\" AS t) AS k"
)
SEQUENCES = (
    "SELECT sequencename AS name, last_value FROM pg_sequences"
    " WHERE schemaname = 'public' AND NOT starts_with(sequencename, 'simulated_')"
)
# Up to where output partitions hold what is the database's own, or was accepted by a recovery.
ACKNOWLEDGED = (
    "SELECT topic, partition, greatest(acknowledged_offset, accepted_offset) AS last"
    " FROM output_offset FULL JOIN output_accepted USING (topic, partition)"
)
# A recovery publishes the last event of an account again, which is no transaction.
KNOWN = (
    "SELECT EXISTS (SELECT FROM ledger_transaction WHERE institution_id = $1 AND patron_id = $2"
    " AND currency = $3 AND sequence = $4 AND recorded_at = $5) OR EXISTS (SELECT FROM"
    " recovery_account WHERE institution_id = $1 AND patron_id = $2 AND currency = $3"
    " AND announced_sequence = $4 AND announced_at = $5)"
)
# What is published and not acknowledged waits in the outbox; batches have their bytes beside it.
WAITING = (
    "SELECT EXISTS (SELECT FROM outbox WHERE topic = $1 AND $2 = any(payloads))"
    " OR EXISTS (SELECT FROM export_batch WHERE document = $2)"
)
# Rejected records are published for people, and are no evidence.
EVIDENT = (
    "balance-changed.v1",
    "export-manifest.v1",
    "export-batch.v1",
    "loan-closed.v1",
    "operator-action.v1",
)
NEW_BACKUPS = 0.5  # of the times at which one may be taken after a restore
RESTORES_MAX = 2


@dataclass(frozen=True, slots=True)
class Backup:
    """The rows of all tables, and where sequences are. `steps` is how many commits it has."""

    tables: Mapping[str, bytes]
    sequences: Mapping[str, object]
    steps: int


def take(control: Control, steps: int) -> Backup:
    """A backup of what has been committed."""

    async def read(connection: Connection) -> dict[str, bytes]:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            names = [name for (name,) in await connection.fetch(TABLES)]
            return {name: await _read_table(connection, name) for name in names}

    sequences = {str(row["name"]): row["last_value"] for row in control.rows(SEQUENCES)}
    return Backup(control.run(read), sequences, steps)


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
            # Of so few rows TRUNCATE would take longer, and all sessions would plan anew after it.
            await connection.execute("; ".join(f'DELETE FROM "{name}"' for name in backup.tables))
            for name, content in backup.tables.items():
                await connection.copy_to_table(name, source=_whole(content), format="binary")
            for name, value in backup.sequences.items():
                await connection.execute(
                    "SELECT pg_catalog.setval($1::regclass, $2, $3)",
                    f'"{name}"',
                    value or 1,
                    value is not None,
                )
            await connection.execute(START_SERVER)

    control.run(write)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


class Restores:
    """The backups that are taken in a simulation, and those that come back.

    There is one backup at a time, which may come back more than once. `is_restored` says that the
    database is an older one, and that no recovery of it has ended. `is_evident` says that Kafka
    knows of something which such a database does not know, and `tables` are the digests of tables
    that nobody may change.
    """

    def __init__(self, control: Control, history: History, random: Random) -> None:
        self._control = control
        self._history = history
        self._random = random
        self._backup: Backup | None = None
        self.count = 0
        self.is_restored = False
        self.is_evident = False
        self.tables: Mapping[str, object] = {}

    @property
    def takes_backup(self) -> bool:
        """Whether a backup is due, and not yet a restore."""
        if self._backup is None:
            return True
        return self.count > 0 and self._random.random() < NEW_BACKUPS

    @property
    def has_backup(self) -> bool:
        """Whether there is one that may come back."""
        return self._backup is not None

    @property
    def can_restore(self) -> bool:
        """Whether a backup may come back."""
        return self._backup is not None and not self.is_restored and self.count < RESTORES_MAX

    def take(self) -> None:
        """Takes a backup, in the place of the one there is."""
        self._backup = take(self._control, len(self._history.steps))

    @property
    def lost(self) -> int:
        """How many commits the backup lacks."""
        assert self._backup is not None
        return len(self._history.steps) - self._backup.steps

    def put_back(self) -> None:
        """The backup takes the place of the database. Nobody else has a session."""
        assert self._backup is not None
        history = self._history
        put_back(self._control, self._backup)
        del history.steps[self._backup.steps :]
        self.count += 1
        self.is_restored = True
        self.is_evident = is_evident(self._control, history, history.cluster.group)
        self.remember()

    def remember(self) -> None:
        """What the tables hold now may not be changed."""
        self.tables = digests(self._control)

    def ended(self) -> None:
        """The database was recovered."""
        self.is_restored = self.is_evident = False

    def changed(self) -> list[str]:
        """The tables of the ledger that were changed all the same."""
        now = digests(self._control)
        return [name for name, digest in self.tables.items() if now[name] != digest]

    def is_reading(self) -> bool:
        """Whether a recovered database has to read again."""
        return bool(
            self._control.value("SELECT EXISTS (SELECT FROM recovery WHERE state <> 'done')")
        )

    def has_verdict(self) -> bool:
        """Whether the database says itself that nobody may write."""
        return bool(self._control.value("SELECT EXISTS (SELECT FROM restore_verdict)"))


def digests(control: Control) -> Mapping[str, object]:
    """A digest of each table of the ledger, but of who reads which partition."""
    names = [str(row["table_name"]) for row in control.rows(TABLES)]
    queries = [DIGEST.format(name=name) for name in names if name not in IGNORED_TABLES]
    return {str(row["name"]): row["digest"] for row in control.rows(" UNION ALL ".join(queries))}


def is_evident(control: Control, history: History, group: Group) -> bool:
    """Whether Kafka knows of something that the database does not know any more."""
    rows = control.rows("SELECT topic, partition, next_offset FROM consumer_offset")
    known = {(row["topic"], row["partition"]): int(str(row["next_offset"])) for row in rows}
    if any(offset > known.get(tuple(at), 0) for at, offset in group.offsets.items()):
        return True
    acknowledged = {
        (row["topic"], row["partition"]): int(str(row["last"]))
        for row in control.rows(ACKNOWLEDGED)
    }
    return not all(
        offset <= acknowledged.get(tuple(at), -1) or _knows(control, contract, at.topic, each)
        for contract in EVIDENT
        for at, offset, each in history.output(contract)
    )


def _knows(control: Control, contract: str, topic: str, record: Stored) -> bool:
    if contract != EVIDENT[0]:
        return bool(control.value(WAITING, topic, record.value))
    event = json.loads(record.value or b"")
    known = control.value(
        KNOWN,
        event["institution_id"],
        event["patron_id"],
        event["currency"],
        event["sequence"],
        datetime.fromisoformat(dict(record.headers)["ce_time"].decode()),
    )
    return bool(known)
