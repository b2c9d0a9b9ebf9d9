"""What a transaction counts, and where its counts go when it has committed.

A service counts in its own metrics. A command has no port from which metrics could be read: it
writes its counts to the table `command_tally`, in the same commit, and a service adds them to its
own metrics. `Sources` notes who has sent records.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..core.changes import Transaction
from ..core.events import Incoming, Rejection
from ..database.session import Connection, Writes, statements
from ..runtime.telemetry import Event, Metrics, get_log
from .poll import Sender

SQL = statements("tally")

log = get_log(__name__)

SENDERS_MAX = 1_000


class TallyMetric(StrEnum):
    """The counters of what services and commands have committed; each is a field of Metrics.

    The table `command_tally` keeps them, so a name, its labels and their order never change from
    one release to the next.
    """

    REJECTED = "rejected"
    UNPARKED = "unparked"
    CREDITS = "credits"
    CREDITED_MINOR_UNITS = "credited_minor_units"
    BATCHES = "batches"
    FINES_EXPORTED = "fines_exported"
    RUN_FAILURES = "run_failures"
    TEXTS_CUT = "texts_cut"
    PURGED = "purged"


Key = tuple[TallyMetric, tuple[str, ...]]  # the metric, and the values of its labels


@dataclass(slots=True)
class Tally:
    """The counts of one transaction.

    `first` has the partition and the offset of the first record for each topic and reason.
    """

    counts: Counter[Key] = field(default_factory=Counter)
    first: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, metric: TallyMetric, labels: tuple[str, ...], amount: int = 1) -> None:
        """Adds an amount to the metric with these values of its labels."""
        self.counts[metric, labels] += amount

    def add_changes(
        self,
        rejections: Iterable[Rejection],
        credits_of_excess: Iterable[Transaction],
        outcomes: Mapping[str, int],
    ) -> None:
        """Adds what is counted of a change of the ledger: the records that were rejected, the
        credits that the excess of payments has become, and the parked records that were set free.
        """
        self.add_rejected(rejections)
        for transaction in credits_of_excess:
            currency = transaction.after.key.currency
            self.add(TallyMetric.CREDITS, (currency,))
            self.add(TallyMetric.CREDITED_MINOR_UNITS, (currency,), abs(transaction.amount))
        for name, count in outcomes.items():
            kind, _, wait = name.partition(":")
            if kind == "unparked":
                self.add(TallyMetric.UNPARKED, (wait,), count)

    def add_rejected(self, rejections: Iterable[Rejection]) -> None:
        """Adds records that were rejected."""
        for value in rejections:
            topic, partition, offset, *_ = value.origin
            self.add(TallyMetric.REJECTED, (topic, value.reason.value))
            self.first.setdefault((topic, value.reason.value), (partition, offset))

    def add_cuts(self, events: Iterable[Incoming]) -> None:
        """Adds the texts that were cut when the records of these events were read."""
        for event in events:
            for member in event.cuts:
                self.add(TallyMetric.TEXTS_CUT, (event.origin.topic, member))

    def rejected(self) -> Iterator[tuple[str, str, int]]:
        """Yields topic, reason and number of the records that were rejected."""
        for (metric, labels), count in self.counts.items():
            if metric is TallyMetric.REJECTED:
                topic, reason = labels
                yield topic, reason, count


class TallySink:
    """Takes what commits have counted; this one takes nothing."""

    def retrying(self, reason: str) -> None:
        """Is called when a commit is made again."""

    async def keep(self, connection: Connection, tally: Tally) -> None:
        """Stores the counts of a transaction; called as its last step."""

    def committed(self, tally: Tally) -> None:
        """Is called when the transaction has committed."""

    async def count(self, writer: Writes, tally: Tally) -> None:
        """Takes the counts of something that is no commit, such as a run that failed."""


class TallyInMetrics(TallySink):
    """Counts in the metrics of this process, with one log line for each topic and reason."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()

    def retrying(self, reason: str) -> None:
        """Counts a commit that is made again."""
        self._metrics.commit_retries.labels(reason).inc()
        if reason == "DeadlockDetectedError":
            self._metrics.deadlocks.inc()

    def committed(self, tally: Tally) -> None:
        """Counts what was committed and logs what was rejected."""
        for (metric, labels), amount in tally.counts.items():
            self._metrics.add(metric.value, labels, amount)
        for topic, reason, count in tally.rejected():
            partition, offset = tally.first[topic, reason]
            log.warning(
                Event.EVENT_REJECTED,
                topic=topic,
                partition=partition,
                offset=offset,
                reason=reason,
                records=count,
                see=_listing(reason),
            )

    async def count(self, _writer: Writes, tally: Tally) -> None:
        """Counts as if it had been committed."""
        self.committed(tally)


class TallyInDatabase(TallySink):
    """Counts in the table `command_tally`, from which a service adds it to its metrics."""

    async def keep(self, connection: Connection, tally: Tally) -> None:
        """Writes the counts in the transaction that they are of."""
        await put_tally(connection, tally.counts)

    async def count(self, writer: Writes, tally: Tally) -> None:
        """Writes the counts in a transaction of their own, because what they count made no
        commit.
        """
        async with writer.transaction() as connection:
            await put_tally(connection, tally.counts)


async def put_tally(connection: Connection, counts: Mapping[Key, int]) -> None:
    """Writes counts to the table `command_tally`, inside the caller's transaction."""
    rows = [(metric.value, list(labels), amount) for (metric, labels), amount in counts.items()]
    if rows:
        await connection.executemany(SQL["put_tally"], rows)


def log_rejected_by_command(counts: Mapping[Key, int]) -> None:
    """Logs what commands have rejected; they do not keep the places of the records."""
    for topic, reason, count in Tally(Counter(counts)).rejected():
        log.warning(
            Event.EVENT_REJECTED,
            topic=topic,
            reason=reason,
            records=count,
            by="command",
            see=_listing(reason),
        )


def _listing(reason: str) -> str:
    return f"bursar-bridge rejected list --because {reason}"


class Sources:
    """The senders of sound records since they were taken last, for the table `source_seen`.

    Not more than SENDERS_MAX senders are kept; the others are noted with their next record.
    """

    def __init__(self) -> None:
        self._senders: set[Sender] = set()

    def note(self, senders: Iterable[Sender]) -> None:
        """Notes the senders of records that were taken in."""
        for sender in senders:
            if len(self._senders) < SENDERS_MAX:
                self._senders.add(sender)

    def take(self) -> list[Sender]:
        """Removes and returns the senders, in the order in which their rows are locked."""
        senders, self._senders = sorted(self._senders), set()
        return senders

    def put_back(self, senders: Iterable[Sender]) -> None:
        """Adds senders that were taken and could not be written."""
        self._senders.update(senders)
