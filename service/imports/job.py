"""Imports a payment file of the bursar: checks it, publishes its payments to Kafka, and reads from
the ledger what became of them.

An import does not write payments to the ledger itself: the service reads them from the topic, and
reads them again if the database is replaced by an older backup.
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
    """The names of the topics of payments, and (`outputs`) of rejected records and decisions."""

    payments: str
    outputs: Outputs


NOTHING = Acceptance()


class AmbiguousLines(OperatorError):
    """Since this file was checked, another file with the same line was imported, so that it is not
    clear whether the line is a new payment.
    """

    def __init__(self) -> None:
        super().__init__("another file with the same lines was imported meanwhile: import it again")


@dataclass(frozen=True, slots=True)
class PublishProgress:
    """One step of publishing: how many lines it has handled, and how many it has published."""

    lines: int
    published: int


LineGroup = tuple[LineOutcome, Reason | None, str]  # the last is the currency


@dataclass(slots=True)
class Summary:
    """What the import of a file would do: its lines, grouped by outcome, reason and currency. `bad`
    counts unusable lines.

    `counts` are numbers of lines; `sums` and `excess` are signed amounts in minor units. `excess`
    is the part of each sum that would become credits. `impossible` counts lines whose bursar
    transaction id the service cannot have given to any export line, for example because the check
    digit is wrong.
    """

    counts: Counter[LineGroup] = field(default_factory=Counter)
    sums: Counter[LineGroup] = field(default_factory=Counter)
    excess: Counter[LineGroup] = field(default_factory=Counter)
    bad: int = 0
    impossible: int = 0

    def add(self, planned: PlannedLine) -> None:
        """Adds one planned line to the counts and sums of its outcome, reason and currency."""
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
        """Whether the service would accept every line, at once or after it has waited."""
        return self.bad == 0 and all(outcome.passes for outcome, _, _ in self.counts)

    @property
    def overpays(self) -> bool:
        """Whether at least one line pays more than its fine still owes at the bursar."""
        return any(outcome.overpays for outcome, _, _ in self.counts)


@dataclass(frozen=True, slots=True)
class OutcomeTotal:
    """What became of a group of published lines; `total` and `excess` are in minor units.

    `became` is the state of these payments, such as `applied`; for over-payments it is `overpaid`,
    or `not_owed` if the fine owed nothing.
    """

    kind: str
    became: str
    reason: str | None
    currency: str
    lines: int
    total: int
    excess: int


class ImportJob:
    """Imports files. When the same file is imported again, only lines whose payments the ledger
    does not know yet are published.
    """

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
        """Returns the file with the time of its first import; `register` stores the file, and a dry
        run calls this without it.

        Raises DoubtfulSource if the source looks wrong and `acceptance` does not confirm it.
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
        """Returns what the import of the file would do. Nothing is written to the database or to
        Kafka; `each` is called with the planned outcome of every usable line.
        """
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
        """Publishes the usable lines as payments, which the service then decides, and stores the
        unusable lines as rejected records.

        Returns the number of published lines. Raises KafkaUnavailable, AmbiguousLines,
        OlderDatabase; lines that were published before the error stay published, and the next
        import of the same file publishes the rest.
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
        """Returns how many of the file's payments the service has read from Kafka and stored in the
        ledger so far, whatever became of them.
        """
        async with self._pool.acquire() as connection:
            count: int = await connection.fetchval(SQL["decided"], *_identity(file))
        return count

    async def outcomes(self, file: PaymentFile) -> list[OutcomeTotal]:
        """Returns what has become of the file's payments in the ledger so far, in groups."""
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
