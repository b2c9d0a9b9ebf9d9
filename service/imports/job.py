"""Imports a file of the bursar: checks it, publishes its payments, reads what became of them.

The payments are published rather than applied here, so that they are still in the topic if an
older database is restored.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ..apply.tally import Tally, put_tally
from ..core.bursar_ids import fault_of_unknown_id
from ..core.events import Rejection
from ..core.ledger import Origin
from ..core.outcomes import rejected
from ..core.words import KnownLines, Reason
from ..database import ledger_write, outbox
from ..database.ledger_read import LedgerReader
from ..database.outbox import Outputs
from ..database.session import Writes
from ..export.xml.read import ImportFile
from ..kafka.clients import KafkaUnavailable, hard_close, new_producer, start
from ..messages.encode import encode_rejected
from ..runtime.failures import with_current_schema
from ..runtime.problems import OperatorError
from ..settings.access import KafkaAccess
from . import files
from .files import SQL, TOPIC, Acceptance, FileKey, PaymentFile, origin_of
from .plan import LineOutcome, PlannedLine, plan

WINDOW_RECORDS = 500
REQUEST_BYTES_MAX = 1024 * 1024
BATCH_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class ImportTopics:
    """The topic of payments, and the topics of rejected records and of people's decisions."""

    payments: str
    outputs: Outputs


NOTHING = Acceptance()


class AmbiguousLines(OperatorError):
    """Another file has brought a line since this one was checked."""

    def __init__(self) -> None:
        super().__init__("another file with the same lines was imported meanwhile: import it again")


@dataclass(frozen=True, slots=True)
class PublishProgress:
    """A step of publishing: how many lines are done, and how many of them were published."""

    lines: int
    published: int


LineGroup = tuple[LineOutcome, Reason | None, str]  # the last is the currency


@dataclass(slots=True)
class Summary:
    """What a file would do, by outcome, reason and currency. `bad` counts unusable lines.

    `counts` are lines, `sums` and `excess` signed minor units; `excess` is a part of the sums.
    `impossible` counts the unknown lines with an id that no line can have.
    """

    counts: Counter[LineGroup] = field(default_factory=Counter)
    sums: Counter[LineGroup] = field(default_factory=Counter)
    excess: Counter[LineGroup] = field(default_factory=Counter)
    bad: int = 0
    impossible: int = 0

    def add(self, planned: PlannedLine) -> None:
        """Adds a planned line to the counts and sums."""
        group = (planned.outcome, planned.reason, planned.line.currency)
        self.counts[group] += 1
        self.sums[group] += planned.line.amount
        self.excess[group] += planned.excess
        if planned.outcome is LineOutcome.UNKNOWN:
            self.impossible += fault_of_unknown_id(planned.line.bursar_transaction_id) is not None

    def lines(self, outcome: LineOutcome) -> int:
        """The number of lines that have this outcome."""
        return sum(count for group, count in self.counts.items() if group[0] is outcome)

    @property
    def passes(self) -> bool:
        """Whether every line would be taken, now or later."""
        return self.bad == 0 and all(outcome.passes for outcome, _, _ in self.counts)

    @property
    def overpays(self) -> bool:
        """Whether a line has more than is outstanding."""
        return any(outcome.overpays for outcome, _, _ in self.counts)


@dataclass(frozen=True, slots=True)
class OutcomeTotal:
    """What the ledger made of a group of published lines; `total` and `excess` in minor units.

    `became` is the state of the payments, or the outcome of over-payments.
    """

    kind: str
    became: str
    reason: str | None
    currency: str
    lines: int
    total: int
    excess: int


class ImportJob:
    """Imports files. Importing the same file again publishes only what was not published before."""

    def __init__(
        self, writer: Writes, store: LedgerReader, access: KafkaAccess, topics: ImportTopics
    ) -> None:
        self._writer = writer
        self._pool = writer.pool
        self._store = store
        self._access = access
        self._topics = topics

    async def file(
        self, key: FileKey, profile: str, acceptance: Acceptance = NOTHING, *, register: bool
    ) -> PaymentFile:
        """The file with the time of its first import. A dry run does not register it.

        Raises DoubtfulSource unless `acceptance` says that the source is meant.
        """
        if register:
            async with self._writer.transaction() as connection:
                return await files.register(
                    connection, self._topics.outputs, key, profile, acceptance
                )
        async with self._pool.acquire() as connection:
            await files.require_source(connection, key, acceptance)
            return await files.payment_file(connection, key)

    async def check(
        self,
        file: PaymentFile,
        content: ImportFile,
        each: Callable[[PlannedLine], None] = lambda _: None,
        known_lines: KnownLines = KnownLines.REFUSE,
    ) -> Summary:
        """What the file would do. Writes nothing; `each` is called with every usable line."""
        summary = Summary(bad=len(content.bad))
        async with self._pool.acquire() as connection:
            async for page in plan(connection, self._store, file, content.lines, known_lines):
                for planned in page:
                    summary.add(planned)
                    each(planned)
        return summary

    async def publish(
        self,
        file: PaymentFile,
        content: ImportFile,
        advanced: Callable[[PublishProgress], None] = lambda _: None,
        known_lines: KnownLines = KnownLines.REFUSE,
    ) -> int:
        """Publishes the lines that the service has to decide, and records the unusable ones.

        Returns the number published. Raises KafkaUnavailable, AmbiguousLines, OlderDatabase; what
        was published until then stays, and importing the same file again continues behind it.
        """
        await self._record(
            file,
            [
                (line.reason, line.detail, Origin(TOPIC, file.number, line.n, None, line.value))
                for line in content.bad
            ],
        )
        producer = await start(new_producer(self._access, REQUEST_BYTES_MAX, BATCH_BYTES_MAX))
        published = 0
        try:
            async with self._pool.acquire() as connection:
                async for page in plan(connection, self._store, file, content.lines, known_lines):
                    if any(planned.outcome is LineOutcome.AMBIGUOUS for planned in page):
                        raise AmbiguousLines
                    sent = await self._publish_page(producer, page)
                    await self._record(file, _unmatched(file, page))
                    published += sent
                    advanced(PublishProgress(len(page), sent))
        except KafkaError as problem:
            raise KafkaUnavailable(f"the broker has not taken a line: {problem}") from problem
        finally:
            await hard_close(producer)
        return published

    async def _publish_page(self, producer: AIOKafkaProducer, page: Sequence[PlannedLine]) -> int:
        """In windows, each acknowledged before the next. Raises KafkaError, OlderDatabase."""
        async with self._writer.transaction():
            pass  # raises if the database is not the one on which the page was planned
        events = [planned.event for planned in page if planned.event is not None]
        for begin in range(0, len(events), WINDOW_RECORDS):
            sent = [
                await producer.send(
                    self._topics.payments,
                    key=event.origin.key,
                    value=event.origin.value,
                    headers=list(event.origin.headers),
                )
                for event in events[begin : begin + WINDOW_RECORDS]
            ]
            await asyncio.gather(*sent)
        return len(events)

    async def _record(
        self, file: PaymentFile, unusable: Sequence[tuple[Reason, str, Origin]]
    ) -> None:
        """Writes rejected lines to the table and the topic, as every other rejected record."""
        if unusable:
            rejections = [Rejection(*line, file.institution_id) for line in unusable]
            await with_current_schema(partial(self._put, file, rejections))

    async def _put(self, file: PaymentFile, rejections: Sequence[Rejection]) -> None:
        numbers = [file.number, file.earlier_number]
        offsets = [value.origin.offset for value in rejections]
        async with self._writer.transaction() as connection:
            rows = await connection.fetch(
                SQL["recorded_lines"], TOPIC, numbers, offsets, file.institution_id
            )
            known = {row["record_offset"] for row in rows}
            values = [value for value in rejections if value.origin.offset not in known]
            at: datetime = await connection.fetchval(SQL["clock"])
            await ledger_write.put_rejected(connection, values, at)
            outputs = self._topics.outputs
            messages = [encode_rejected(value, at, outputs.ce_source) for value in values]
            await outbox.put(connection, outputs.rejected, messages, at)
            tally = Tally()
            tally.add_rejected(values)
            await put_tally(connection, tally.counts)

    async def decided(self, file: PaymentFile) -> int:
        """How many of the file's payments the ledger has taken in so far."""
        async with self._pool.acquire() as connection:
            count: int = await connection.fetchval(SQL["decided"], *_identity(file))
        return count

    async def outcomes(self, file: PaymentFile) -> list[OutcomeTotal]:
        """What the ledger has made of the file's payments so far."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(SQL["outcomes"], *_identity(file))
        return [
            OutcomeTotal(
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


def _identity(file: PaymentFile) -> tuple[str, ...]:
    return (file.institution_id, file.source, *file.id_range)


def _unmatched(file: PaymentFile, page: Sequence[PlannedLine]) -> list[tuple[Reason, str, Origin]]:
    """The lines of a page that cannot be published: reversals of no known payment."""
    return [
        (planned.reason, rejected(planned.reason).detail, origin_of(file, planned.line, None))
        for planned in page
        if planned.event is None and planned.reason is not None
    ]
