"""Compares every record of the output topics with the database, both ways; writes nothing.

`reconcile` only compares sums inside the database. The audit also reads the output topics: so it
finds rows that somebody changed, deleted or added without the service, even if all sums in the
database agree.

The end offsets of the topics are read before and after the snapshot of the database is taken. A
record before the ends that were read first has to be in the database. A row of the database has to
be in its topic before the ends that were read second, or in the outbox or in quarantine. By reading
the ends twice, an audit works while the service goes on publishing.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import asyncpg
from aiokafka import TopicPartition

from ..database.outbox import unpack_headers
from ..database.session import Connection, Pool, keep_session_alive, statements
from ..restore.known import Record
from ..restore.topics import Offsets, Range, Topics, open_topics
from ..settings.access import KafkaAccess
from .audit_findings import Audited, AuditFinding, Kind, TopicTotal
from .comparisons import (
    COMPARISONS,
    UNREADABLE,
    WITHOUT_JSON,
    Comparison,
    Key,
    Published,
    Waiting,
    columns_of,
    differing,
    is_of_row,
    opened,
)

SQL, RESTORE_SQL = statements("audit"), statements("restore")
STATEMENT_SECONDS_MAX = 1_800
PAGE_ROWS = 5_000
# As many identities are remembered at a time. If more are recorded, the topic is read in several
# turns, each for a part of the identities.
IDENTITIES_MAX = 500_000
# What was recorded so shortly after the oldest record that a topic still has is not searched in it.
CLOCKS_DIFFER = timedelta(hours=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Progress = Callable[[str, int, int], None]  # contract, records so far, of how many


class Positions(NamedTuple):
    """Offsets of the output partitions. `before` are the ends before the snapshot of the database
    and `ends` those after it; `firsts` are the oldest offsets that the topics still have; a person
    has accepted records of other programs up to `accepted`. `lost` are the periods in which a lost
    database published records that the restored backup does not have.
    """

    before: Offsets
    ends: Offsets
    firsts: Offsets
    accepted: Offsets
    lost: Sequence[tuple[datetime, datetime]] = ()


async def audit(
    pool: Pool, access: KafkaAccess, group_id: str, limit: int, progress: Progress
) -> Audited:
    """Compares all output topics with the database; returns at most `limit` findings.

    Raises CannotAsk, TopicUnreadable, and what the database raises.
    """
    names = [access.topic_prefix + comparison.contract for comparison in COMPARISONS]
    async with open_topics(access, group_id) as topics:
        by_topic = await topics.partitions(names)
        partitions = [at for name in names for at in by_topic.get(name, ())]
        before = await topics.ends(partitions) if partitions else {}
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(SQL["patience"], f"{STATEMENT_SECONDS_MAX}s")
            rows = await connection.fetch(RESTORE_SQL["accepted_outputs"], names)
            positions = Positions(
                before,
                await topics.ends(partitions) if partitions else {},
                await topics.firsts(partitions) if partitions else {},
                {TopicPartition(row[0], row[1]): row[2] for row in rows},
                await _lost_times(connection),
            )
            prefix = access.topic_prefix
            return await audit_in(connection, topics, positions, prefix, limit, progress)


async def audit_in(
    connection: Connection,
    topics: Topics,
    positions: Positions,
    prefix: str,
    limit: int,
    progress: Progress,
) -> Audited:
    """Makes the audit in the caller's transaction, which must read one snapshot."""
    return await _Audit(connection, topics, positions, limit, progress).run(prefix)


class _Audit:
    """The comparison in one snapshot."""

    def __init__(
        self,
        connection: Connection,
        topics: Topics,
        positions: Positions,
        limit: int,
        progress: Progress,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._positions = positions
        self._limit = limit
        self._progress = progress
        self._findings: list[AuditFinding] = []
        self._is_cut = False

    async def run(self, prefix: str) -> Audited:
        counts = await self._connection.fetchrow(SQL["recorded_counts"])
        assert counts is not None
        totals = []
        for comparison in COMPARISONS:
            total = TopicTotal(comparison.contract, recorded=counts[comparison.rows])
            totals.append(total)
            turns = max(1, -(-total.recorded // IDENTITIES_MAX))
            for turn in range(turns):
                await self._compare(prefix, comparison, total, turn, turns)
        await self._compare_accounts()
        return Audited(tuple(totals), tuple(self._findings), self._is_cut)

    def _add(self, finding: AuditFinding) -> None:
        if len(self._findings) < self._limit:
            self._findings.append(finding)
        else:
            self._is_cut = True

    async def _compare(
        self, prefix: str, comparison: Comparison, total: TopicTotal, turn: int, turns: int
    ) -> None:
        """One turn over a topic: remembers the identities of its part, and misses the others."""
        topic, published = prefix + comparison.contract, set[int]()
        parts = [at for at in self._positions.ends if at.topic == topic]
        records = sum(self._positions.ends[at] - self._positions.firsts[at] for at in parts)
        done = 0
        await self._connection.execute(SQL["by_key"])
        async with aclosing(self._pages(parts, topic)) as pages:
            async for page in pages:
                keys = await self._compare_page(comparison, page, is_silent=turn > 0)
                published.update(d for key in keys if (d := _digest(key)) % turns == turn)
                if turn == 0:
                    self._count(total, page)
                done += len(page)
                self._progress(comparison.contract, turn * records + done, turns * records)
        await self._connection.execute(SQL["by_any_way"])
        async for row in self._connection.cursor(SQL[comparison.all_keys], prefetch=PAGE_ROWS):
            key = tuple(row.values())[:-1]
            is_searched = total.searched_after is None or row["recorded_at"] > total.searched_after
            digest = _digest(_published_key(key))
            if digest % turns == turn and is_searched and digest not in published:
                self._add(AuditFinding(Kind.NOT_PUBLISHED, comparison.contract, key))

    def _count(self, total: TopicTotal, page: Sequence[Record]) -> None:
        """Counts the records, and notes from when on the topic has all of them."""
        for record in page:
            if record.partition < 0:
                total.waiting += 1
                continue
            total.published += 1
            at = TopicPartition(record.topic, record.partition)
            if 0 < record.offset == self._positions.firsts[at]:
                oldest = datetime.fromtimestamp(record.timestamp // 1_000, UTC) + CLOCKS_DIFFER
                total.searched_after = max(total.searched_after or oldest, oldest)

    async def _pages(
        self, parts: Sequence[TopicPartition], topic: str
    ) -> AsyncGenerator[Sequence[Record], None]:
        """The records of a topic page by page, and behind them those that wait for it."""
        positions = self._positions
        ranges = [Range(at, positions.firsts[at], positions.ends[at]) for at in parts]
        async with aclosing(self._topics.read(ranges)) as pages:
            while page := await keep_session_alive(self._connection, anext(pages, None)):
                yield page
        async for waiting in self._waiting(topic):
            yield waiting

    async def _waiting(self, topic: str) -> AsyncIterator[Sequence[Record]]:
        """The records of the outbox for a topic, a row at a time, and those in quarantine."""
        after = 0
        while row := await self._connection.fetchrow(SQL["waiting_after"], topic, after):
            after = row["id"]
            columns = zip(row["keys"], row["payloads"], row["headers"], strict=True)
            yield [
                Waiting(topic, key, value, unpack_headers(headers))
                for key, value, headers in columns
            ]
        place = (0, -1)
        while row := await self._connection.fetchrow(SQL["quarantined_after"], topic, *place):
            place = (row["outbox_id"], row["place"])
            headers = unpack_headers(row["headers"])
            yield [Waiting(topic, row["record_key"], row["payload"], headers)]

    async def _compare_page(
        self, comparison: Comparison, page: Sequence[Record], *, is_silent: bool
    ) -> list[Key]:
        """Compares a page with its rows; returns the identities of its records."""
        readable: list[tuple[Published, Key]] = []
        for record in page:
            try:
                published = opened(record, has_json=comparison.contract not in WITHOUT_JSON)
                readable.append((published, comparison.key(published)))
            except UNREADABLE:
                if not is_silent and not self._is_accepted(record):
                    self._add(
                        AuditFinding(Kind.UNREADABLE, comparison.contract, (), _place(record))
                    )
        if not is_silent and readable:
            await self._compare_rows(comparison, readable)
        return [key for _, key in readable]

    async def _compare_rows(
        self, comparison: Comparison, readable: Sequence[tuple[Published, Key]]
    ) -> None:
        columns = columns_of(enumerate(key for _, key in readable))
        rows: dict[int, list[asyncpg.Record]] = {}
        for row in await self._connection.fetch(SQL[comparison.by_key], *columns):
            rows.setdefault(row["place"], []).append(row)
        for place, (published, key) in enumerate(readable):
            record = published.record
            if place not in rows:
                if self._has_to_be_recorded(record):
                    kind = Kind.NOT_RECORDED
                    self._add(AuditFinding(kind, comparison.contract, key, _place(record)))
                continue
            try:
                stored = rows[place]
                if self._is_accepted(record):
                    stored = [row for row in stored if is_of_row(published, row)]
                members, kind = differing(published, stored, comparison), Kind.DIFFERENT
            except UNREADABLE:
                members, kind = ["record"], Kind.UNREADABLE
            if members:
                finding = (kind, comparison.contract, key, _place(record), tuple(members))
                self._add(AuditFinding(*finding))

    def _has_to_be_recorded(self, record: Record) -> bool:
        """Whether the record was there before the snapshot, and no person has passed over it."""
        at = TopicPartition(record.topic, record.partition)
        is_before = record.partition < 0 or record.offset < self._positions.before.get(at, 0)
        return is_before and not self._is_accepted(record)

    def _is_accepted(self, record: Record) -> bool:
        """Whether a person or a recovery has passed over it: it may be another database's."""
        if any(_ms(began) <= record.timestamp <= _ms(end) for began, end in self._positions.lost):
            return True
        at = TopicPartition(record.topic, record.partition)
        return 0 <= record.offset <= self._positions.accepted.get(at, -1)

    async def _compare_accounts(self) -> None:
        rows = await self._connection.fetch(SQL["differing_accounts"], self._limit + 1)
        for row in rows:
            key = tuple(row.values())
            self._add(AuditFinding(Kind.ACCOUNT_DIFFERS, "balance-changed.v1", key))


async def _lost_times(connection: Connection) -> list[tuple[datetime, datetime]]:
    """The times in which a lost database has published."""
    rows = await connection.fetch(SQL["lost_times"])
    return [(row["began_at"] or _EPOCH, row["ended_at"]) for row in rows]


def _ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _place(record: Record) -> tuple[str, int, int] | None:
    """Where the record stands; None for a record that waits."""
    return None if record.partition < 0 else (record.topic, record.partition, record.offset)


def _published_key(key: Key) -> Key:
    """The key as records have it: that of an earlier record at a place has `@` and a time."""
    first, *others = key
    return (first.partition("@")[0], *others) if isinstance(first, str) else key


def _digest(key: Key) -> int:
    """Eight bytes of a digest: few enough to remember many, and enough to tell them apart."""
    text = "\n".join(map(str, key)).encode("utf-8", "replace")
    return int.from_bytes(blake2b(text, digest_size=8).digest())
