"""What one transaction has to count, and where it is counted once it has committed.

A service counts in its own metrics. A command has no port that anybody could ask: it leaves what it
counts in the table `command_tally`, in the same commit, and a service adds it to its own metrics.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ..core.events import Rejection
from ..core.ledger import PaymentRef, Transaction
from ..core.words import Kind
from ..core.workspace import Changes
from ..database.session import Connection, Writes, statements
from ..runtime.telemetry import Event, Metrics, get_log

SQL = statements("tally")

log = get_log(__name__)


class TallyMetric(StrEnum):
    """Counters of what was committed, by services and by commands; fields of Metrics.

    They are kept in the database as well (`command_tally`): a name, its labels and their order stay
    as they are from one release to the next.
    """

    REJECTED = "rejected"
    UNPARKED = "unparked"
    CREDITS = "credits"
    CREDITED_MINOR_UNITS = "credited_minor_units"
    BATCHES = "batches"
    FINES_EXPORTED = "fines_exported"
    RUN_FAILURES = "run_failures"


Key = tuple[TallyMetric, tuple[str, ...]]  # the metric, and the values of its labels


@dataclass(slots=True)
class Tally:
    """Of one transaction. `first` is the partition and offset of the first record of each sort."""

    counts: Counter[Key] = field(default_factory=Counter)
    first: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, metric: TallyMetric, labels: tuple[str, ...], amount: int = 1) -> None:
        self.counts[metric, labels] += amount

    def add_changes(self, changes: Changes) -> None:
        """What the ledger has taken in, and what was rejected."""
        self.add_rejected(changes.rejections)
        for transaction in filter(_is_excess, changes.transactions):
            currency = transaction.after.key.currency
            self.add(TallyMetric.CREDITS, (currency,))
            self.add(TallyMetric.CREDITED_MINOR_UNITS, (currency,), abs(transaction.amount))
        for name, count in changes.outcomes.items():
            kind, _, wait = name.partition(":")
            if kind == "unparked":
                self.add(TallyMetric.UNPARKED, (wait,), count)

    def add_rejected(self, rejections: Iterable[Rejection]) -> None:
        for value in rejections:
            topic, partition, offset, *_ = value.origin
            self.add(TallyMetric.REJECTED, (topic, value.reason.value))
            self.first.setdefault((topic, value.reason.value), (partition, offset))

    def rejected(self) -> Iterator[tuple[str, str, int]]:
        """Topic, reason and how many."""
        for (metric, labels), count in self.counts.items():
            if metric is TallyMetric.REJECTED:
                topic, reason = labels
                yield topic, reason, count


def _is_excess(transaction: Transaction) -> bool:
    """A credit that the excess of a bursar's payment became; the library's own have no payment."""
    return transaction.kind is Kind.CREDIT and isinstance(transaction.cause, PaymentRef)


class TallySink(Protocol):
    """Who counts what commits."""

    def retrying(self, reason: str) -> None:
        """A commit is tried again."""

    async def keep(self, connection: Connection, tally: Tally) -> None:
        """Called last in the transaction."""

    def committed(self, tally: Tally) -> None:
        """Called once it has committed."""

    async def count(self, writer: Writes, tally: Tally, /) -> None:
        """Of something that is no commit, such as a run that failed."""


class TallyInMetrics:
    """In the metrics of this process. One line in the log for each topic and reason."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()

    def retrying(self, reason: str) -> None:
        self._metrics.commit_retries.labels(reason).inc()
        if reason == "DeadlockDetectedError":
            self._metrics.deadlocks.inc()

    async def keep(self, connection: Connection, tally: Tally) -> None:
        pass

    def committed(self, tally: Tally) -> None:
        for (metric, labels), amount in tally.counts.items():
            self._metrics.add(metric.value, labels, amount)
        for topic, reason, count in tally.rejected():
            partition, offset = tally.first[topic, reason]
            place = {"topic": topic, "partition": partition, "offset": offset}
            log.warning(
                Event.EVENT_REJECTED, **place, reason=reason, records=count, see=_listing(reason)
            )

    async def count(self, _writer: Writes, tally: Tally, /) -> None:
        self.committed(tally)


class TallyInDatabase:
    """In the table `command_tally`, for a service to count."""

    def retrying(self, reason: str) -> None:
        pass

    async def keep(self, connection: Connection, tally: Tally) -> None:
        await put_tally(connection, tally.counts)

    def committed(self, tally: Tally) -> None:
        pass

    async def count(self, writer: Writes, tally: Tally, /) -> None:
        async with writer.transaction() as connection:
            await put_tally(connection, tally.counts)


async def put_tally(connection: Connection, counts: Mapping[Key, int]) -> None:
    rows = [(metric.value, list(labels), amount) for (metric, labels), amount in counts.items()]
    if rows:
        await connection.executemany(SQL["put_tally"], rows)


def log_rejected_by_command(counts: Mapping[Key, int]) -> None:
    """The same line for what commands have rejected; they do not leave the places."""
    for topic, reason, count in Tally(Counter(counts)).rejected():
        kind = {"topic": topic, "reason": reason, "records": count}
        log.warning(Event.EVENT_REJECTED, **kind, by="command", see=_listing(reason))


def _listing(reason: str) -> str:
    return f"bursar-bridge rejected list --because {reason}"
