"""The write path on a database of a test's own: records in, tables and outbox out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from service.apply.applier import Applier
from service.apply.poll import Poll, Report
from service.core.ledger import Origin
from service.database import offsets
from service.database.ledger_read import LedgerReader
from service.database.offsets import Assignment
from service.database.outbox import Outputs, unpack_headers
from service.database.session import Pool, create_pool
from service.export.job import ExportJob
from service.export.plan import STEP_FINES_MAX
from service.export.profiles.profile import Profile, Profiles
from service.export.profiles.reading import parse_profiles
from service.export.publish import ExportTopics
from service.messages.decode import parse
from service.operations.sweep import Sweep
from service.settings.access import DatabaseLimits
from tests.support import inputs
from tests.support.guards import Unguarded

PREFIX = "library."
OUTPUTS = Outputs(
    balance_changed=f"{PREFIX}balance-changed.v1",
    loan_closed=f"{PREFIX}loan-closed.v1",
    rejected=f"{PREFIX}rejected.v1",
    operator_action=f"{PREFIX}operator-action.v1",
    ce_source="/tests",
)
TOPICS = ExportTopics(f"{PREFIX}export-batch.v1", f"{PREFIX}export-manifest.v1")
# Waits as long as a loaded machine takes, where what is traced takes many times its own time.
CONNECTIONS = DatabaseLimits(
    database_connections_max=4,
    database_lock_wait_ms_max=30_000,
    database_idle_in_transaction_ms_max=50_000,
)

Row = dict[str, object]
Tables = dict[str, list[Row]]


class Record(NamedTuple):
    """What a producer sends; `contract` is the topic without its prefix."""

    contract: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    key: bytes | None = b"key"
    timestamp_ms: int | None = None


def record(contract: str, data: object, time: str = inputs.EVENT_TIME) -> Record:
    """In binary mode; bytes are taken as they are."""
    return Record(contract, *inputs.binary(contract, data, time))


def fine(**overrides: object) -> Record:
    return record("fine-created.v1", inputs.fine_created(**overrides))


def change(**overrides: object) -> Record:
    return record("fine-changed.v1", inputs.fine_changed(**overrides))


def payment(**overrides: object) -> Record:
    return record("bursar-payment.v1", inputs.bursar_payment(**overrides))


def reversal(payment_id: str, original: str, **overrides: object) -> Record:
    """A reversal that names nothing but the payment `original`."""
    members = {**dict.fromkeys(("fine_id", "amount", "currency"), inputs.ABSENT), **overrides}
    return payment(payment_id=payment_id, kind="reversal", reverses_payment_id=original, **members)


def response(**overrides: object) -> Record:
    return record("export-response.v1", inputs.export_response(**overrides))


class WritePath:
    """One owner of one partition of every topic, as a service process would be."""

    def __init__(self, pool: Pool, partition: int) -> None:
        self.pool = pool
        self.applier = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS)
        self._partition = partition
        self._assignments: dict[str, Assignment] = {}

    async def take(self, *records: Record) -> Report:
        """All of them in one poll."""
        return await self.apply(await self.poll(records))

    async def take_in_polls(self, records: Sequence[Record], size: int) -> None:
        for start in range(0, len(records), size):
            await self.take(*records[start : start + size])

    async def poll(self, records: Iterable[Record]) -> Poll:
        """The records as read from Kafka, not applied yet."""
        taken: dict[str, int] = defaultdict(int)
        read = []
        for item in records:
            topic = PREFIX + item.contract
            offset = (await self._assignment(topic)).next_offset + taken[topic]
            taken[topic] += 1
            origin = Origin(
                topic,
                self._partition,
                offset,
                item.key,
                item.value,
                item.headers,
                timestamp_ms=item.timestamp_ms,
            )
            read.append(parse(item.contract, origin))
        return Poll(tuple(read), tuple(self._assignments[topic] for topic in sorted(taken)))

    async def apply(self, poll: Poll) -> Report:
        report = await self.applier.apply(poll)
        self._assignments |= {part.topic: part for part in report.assignments}
        return report

    async def sweep(self) -> None:
        """Until nothing moves any more."""
        sweep = Sweep(self.pool, self.applier)
        while await sweep.run_once() > 0:
            pass

    def exports(self, profiles: Profiles, step_fines_max: int = STEP_FINES_MAX) -> ExportJob:
        return ExportJob(self.applier, TOPICS, profiles, step_fines_max=step_fines_max)

    async def export(self, configuration: str) -> None:
        """Runs each profile of the configuration, a TOML text, once."""
        profiles = profiles_of(configuration)
        for profile in profiles.profiles:
            await self.exports(profiles).run_profile(profile)

    async def rows(self, query: str, *arguments: object) -> list[Row]:
        return [dict(row) for row in await self.pool.fetch(query, *arguments)]

    async def value(self, query: str, *arguments: object) -> object:
        value: object = await self.pool.fetchval(query, *arguments)
        return value

    async def _assignment(self, topic: str) -> Assignment:
        if topic not in self._assignments:
            async with self.pool.acquire() as connection:
                (self._assignments[topic],) = await offsets.take_over(
                    connection, [(topic, self._partition)]
                )
        return self._assignments[topic]


@asynccontextmanager
async def write_path(database_url: str, partition: int = 0) -> AsyncIterator[WritePath]:
    pool = await create_pool(database_url, CONNECTIONS)
    try:
        yield WritePath(pool, partition)
    finally:
        await pool.close()


async def miss_the_fine(path: WritePath, *records: Record) -> None:
    """The records are parked for a fine that is unknown, and then it is there, unseen by them."""
    await path.pool.execute("CREATE TABLE hidden AS SELECT * FROM fine")
    await path.pool.execute("DELETE FROM fine")
    await path.take(*records)
    await path.pool.execute("INSERT INTO fine SELECT * FROM hidden")
    await path.pool.execute("DROP TABLE hidden")


async def tables_of(pool: Pool) -> Tables:
    """Every table but the outbox and the counts of bad records, sorted, without what differs
    between two equal histories.
    """
    names = await pool.fetch(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public'"
        " AND table_name NOT IN ('outbox', 'alembic_version', 'process_commit', 'bad_count')"
    )
    members: Tables = {}
    for (name,) in names:
        order = " ORDER BY arrival" if name in ("parked", "payment_sum") else ""
        rows = await pool.fetch(f'SELECT * FROM "{name}"{order}')
        values = [_comparable(dict(row), rank) for rank, row in enumerate(rows)]
        members[name] = sorted(values, key=repr)
    return members


def _comparable(row: Row, rank: int) -> Row:
    """`arrival` numbers with gaps: only its order counts."""
    row.pop("recorded_at", None)
    if "arrival" in row:
        row["arrival"] = rank
    return row


class Sent(NamedTuple):
    """One record of the outbox."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def data(self) -> Row:
        assert self.value is not None
        result: Row = json.loads(self.value)
        return result

    def header(self, name: str) -> str:
        return dict(self.headers)[name].decode()


def member_of(data: Mapping[str, object], name: str) -> Row:
    """The object within a JSON object."""
    member = data[name]
    assert isinstance(member, dict)
    return member


async def outbox_of(pool: Pool, contract: str, prefix: str = PREFIX) -> list[Sent]:
    """The records waiting for a contract's topic, in order."""
    rows = await pool.fetch(
        "SELECT * FROM outbox WHERE topic = $1 ORDER BY id", f"{prefix}{contract}"
    )
    return [sent for row in rows for sent in _sent(row)]


def _sent(row: asyncpg.Record) -> Iterable[Sent]:
    columns = zip(row["keys"], row["payloads"], row["headers"], strict=True)
    for key, value, headers in columns:
        yield Sent(row["topic"], key, value, unpack_headers(headers))


async def balance_streams(pool: Pool) -> dict[str, list[Row]]:
    """Balance-changed events per account in their order, without when they were recorded."""
    streams: dict[str, list[Row]] = defaultdict(list)
    for sent in await outbox_of(pool, "balance-changed.v1"):
        data = sent.data
        del data["recorded_at"]
        data["headers"] = [header for header in sent.headers if header[0] != "ce_time"]
        streams[f"{data['institution_id']}/{data['patron_id']}/{data['currency']}"].append(data)
    return dict(streams)


def profiles_of(text: str) -> Profiles:
    return parse_profiles(text, Path("profiles.toml"))


def profile_of(profiles: Profiles, code: str) -> Profile:
    result = profiles.profile(code)
    assert result is not None
    return result
