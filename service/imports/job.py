"""A file from the bursar into the ledger: checked, published to the topic, outcomes awaited.

Published rather than applied here, so that a restored database reads the payments again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ..apply.tally import Tally, put_tally
from ..core.events import Rejection
from ..core.ledger import Origin
from ..core.words import KnownLines, Reason
from ..database import ledger_write, outbox
from ..database.ledger_read import LedgerReader
from ..database.session import Writes
from ..export.xml.read import BadLine, ImportFile
from ..kafka.clients import KafkaUnavailable, hard_close, new_producer, start
from ..messages.encode import encode_rejected
from ..runtime.failures import with_current_schema
from ..runtime.problems import OperatorError
from ..settings import KafkaAccess
from . import files
from .files import Accepted, FileKey
from .lines import TOPIC, Target, earlier_file_number, file_number, origin_of
from .plan import SQL, Fate, Planned, plan, refusal_detail

WINDOW_RECORDS = 500
REQUEST_BYTES_MAX = 1024 * 1024
BATCH_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class ImportTopics:
    payments: str
    rejected: str
    ce_source: str


NOTHING = Accepted()


class AmbiguousLines(OperatorError):
    """Another file has brought a line since this one was checked."""

    def __init__(self) -> None:
        super().__init__("another file with the same lines was imported meanwhile: import it again")


@dataclass(frozen=True, slots=True)
class Advance:
    """Lines that are done with, and how many of them were published."""

    lines: int
    published: int


Sort = tuple[Fate, Reason | None, str]  # the last is the currency


@dataclass(slots=True)
class Summary:
    """Counts and sums of what a file would do: minor units, absolute; `excess` is of the sums."""

    counts: Counter[Sort] = field(default_factory=Counter)
    sums: Counter[Sort] = field(default_factory=Counter)
    excess: Counter[Sort] = field(default_factory=Counter)
    bad: int = 0

    def add(self, planned: Planned) -> None:
        sort = (planned.fate, planned.reason, planned.line.currency)
        self.counts[sort] += 1
        self.sums[sort] += planned.line.amount
        self.excess[sort] += planned.excess

    def lines(self, fate: Fate) -> int:
        return sum(count for (own, _, _), count in self.counts.items() if own is fate)

    @property
    def passes(self) -> bool:
        return self.bad == 0 and all(fate.passes for fate, _, _ in self.counts)

    @property
    def overpays(self) -> bool:
        return any(fate.overpays for fate, _, _ in self.counts)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger made of the published lines of one sort; `total` and `excess` in minor units.

    `became` is the payment's state; of what was overpaid, the fate that says so.
    """

    kind: str
    became: str
    reason: str | None
    currency: str
    lines: int
    total: int
    excess: int


class ImportJob:
    """One file at a time; the same file again changes nothing."""

    def __init__(
        self, writer: Writes, store: LedgerReader, access: KafkaAccess, topics: ImportTopics
    ) -> None:
        self._writer = writer
        self._pool = writer.pool
        self._store = store
        self._access = access
        self._topics = topics

    async def target(
        self, file: FileKey, profile: str, accepted: Accepted = NOTHING, *, register: bool
    ) -> Target:
        """The file's identity, with the instant of its first import; a dry run registers none.

        Raises RefusedSource unless `accepted` says that the source is meant.
        """
        if register:
            async with self._writer.transaction() as connection:
                return await files.register(connection, file, profile, accepted)
        async with self._pool.acquire() as connection:
            await files.require_source(connection, file, accepted)
            return await files.target_of(connection, file)

    async def check(
        self,
        target: Target,
        file: ImportFile,
        each: Callable[[Planned], None] = lambda _: None,
        known_lines: KnownLines = KnownLines.REFUSE,
    ) -> Summary:
        """What the file would do; nothing is written. `each` is told every line."""
        summary = Summary(bad=len(file.bad))
        async with self._pool.acquire() as connection:
            async for page in plan(connection, self._store, target, file.lines, known_lines):
                for planned in page:
                    summary.add(planned)
                    each(planned)
        return summary

    async def publish(
        self,
        target: Target,
        file: ImportFile,
        advanced: Callable[[Advance], None] = lambda _: None,
        known_lines: KnownLines = KnownLines.REFUSE,
    ) -> int:
        """Publishes what is to be decided, records what cannot be; the number published.

        Raises KafkaUnavailable, AmbiguousLines, OlderDatabase; what was published until then
        stays, and the same file again goes on behind it.
        """
        await self._record_bad(target, file.bad)
        producer = await start(new_producer(self._access, REQUEST_BYTES_MAX, BATCH_BYTES_MAX))
        published = 0
        try:
            async with self._pool.acquire() as connection:
                async for page in plan(connection, self._store, target, file.lines, known_lines):
                    if any(planned.fate is Fate.AMBIGUOUS for planned in page):
                        raise AmbiguousLines
                    sent = await self._publish_page(producer, page)
                    await self._record_unmatched(target, page)
                    published += sent
                    advanced(Advance(len(page), sent))
        except KafkaError as problem:
            raise KafkaUnavailable(f"the broker has not taken a line: {problem}") from problem
        finally:
            await hard_close(producer)
        return published

    async def _publish_page(self, producer: AIOKafkaProducer, page: Sequence[Planned]) -> int:
        """In windows, each acknowledged before the next. Raises KafkaError, OlderDatabase."""
        async with self._writer.transaction():
            pass  # the page was planned on this database: is it still the one we know?
        events = [planned.event for planned in page if planned.event is not None]
        for begin in range(0, len(events), WINDOW_RECORDS):
            window = events[begin : begin + WINDOW_RECORDS]
            sent = [
                await producer.send(
                    self._topics.payments,
                    key=event.origin.key,
                    value=event.origin.value,
                    headers=list(event.origin.headers),
                )
                for event in window
            ]
            await asyncio.gather(*sent)
        return len(events)

    async def _record_bad(self, target: Target, bad: Sequence[BadLine]) -> None:
        number = file_number(target)
        await self._record(
            target,
            (
                Rejection(
                    line.reason,
                    line.detail,
                    Origin(TOPIC, number, line.n, None, line.value),
                    target.institution_id,
                )
                for line in bad
            ),
        )

    async def _record_unmatched(self, target: Target, page: Sequence[Planned]) -> None:
        await self._record(
            target,
            (
                Rejection(
                    planned.reason,
                    refusal_detail(planned.reason),
                    origin_of(target, planned.line, None),
                    target.institution_id,
                )
                for planned in page
                if planned.event is None and planned.reason is not None
            ),
        )

    async def _record(self, target: Target, refused: Iterable[Rejection]) -> None:
        """Rejected lines in the table and on the topic, as every other rejected record."""
        if came := tuple(refused):
            await with_current_schema(partial(self._put, target, came))

    async def _put(self, target: Target, came: Sequence[Rejection]) -> None:
        numbers = [file_number(target), earlier_file_number(target)]
        offsets = [value.origin.offset for value in came]
        async with self._writer.transaction() as connection:
            rows = await connection.fetch(
                SQL["recorded_lines"], TOPIC, numbers, offsets, target.institution_id
            )
            known = {row["record_offset"] for row in rows}
            values = [value for value in came if value.origin.offset not in known]
            at: datetime = await connection.fetchval(SQL["clock"])
            await ledger_write.put_rejected(connection, values, at)
            messages = [encode_rejected(value, at, self._topics.ce_source) for value in values]
            await outbox.put(connection, self._topics.rejected, messages, at)
            tally = Tally()
            tally.add_rejected(values)
            await put_tally(connection, tally.counts)

    async def decided(self, target: Target) -> int:
        """How many of the file's payments the ledger has taken in so far."""
        own = (target.institution_id, target.source, *target.id_range)
        async with self._pool.acquire() as connection:
            count: int = await connection.fetchval(SQL["decided"], *own)
        return count

    async def outcomes(self, target: Target) -> list[Outcome]:
        """What the ledger made of them."""
        own = (target.institution_id, target.source, *target.id_range)
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(SQL["outcomes"], *own)
        return [
            Outcome(
                row["kind"],
                row["became"],
                row["reason"],
                row["currency"],
                row["lines"],
                int(row["total"]),
                int(row["excess"]),
            )
            for row in rows
        ]
