"""What one database transaction counts, such as rejected records, and where the counts go when it
has committed.

The running service adds the counts to its own metrics. A command has no port from which metrics
could be read. Therefore a command writes its counts to the table `command_tally`, in the commit
that they describe, and a running service adds them to its own metrics. The class `Sources` notes
which institutions and systems have sent records.
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
    """The names of the counters for what services and commands have committed; each is a field of
    the class Metrics.

    The names and labels of the counters are stored in the table `command_tally`, which another
    release may read: therefore a counter's name, its labels and their order never change.
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
    """The counts of one database transaction.

    `first` has the partition and offset of the first rejected record for each topic and reason.
    """

    counts: Counter[Key] = field(default_factory=Counter)
    first: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, metric: TallyMetric, labels: tuple[str, ...], amount: int = 1) -> None:
        """Adds an amount to the counter `metric` with these values of its labels."""
        self.counts[metric, labels] += amount

    def add_changes(
        self,
        rejections: Iterable[Rejection],
        credits_of_excess: Iterable[Transaction],
        outcomes: Mapping[str, int],
    ) -> None:
        """Counts what a commit has changed in the ledger: rejected records, credits that were made
        of the excess of payments, and parked records that were decided at last.
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
        """Counts rejected records by topic and reason."""
        for value in rejections:
            topic, partition, offset, *_ = value.origin
            self.add(TallyMetric.REJECTED, (topic, value.reason.value))
            self.first.setdefault((topic, value.reason.value), (partition, offset))

    def add_cuts(self, events: Iterable[Incoming]) -> None:
        """Counts the texts that were too long and were cut when the records of these events were
        decoded.
        """
        for event in events:
            for member in event.cuts:
                self.add(TallyMetric.TEXTS_CUT, (event.origin.topic, member))

    def rejected(self) -> Iterator[tuple[str, str, int]]:
        """Yields each topic and reason with the number of records that were rejected."""
        for (metric, labels), count in self.counts.items():
            if metric is TallyMetric.REJECTED:
                topic, reason = labels
                yield topic, reason, count


class TallySink:
    """The interface to which the counts of commits are given; this class itself ignores them."""

    def retrying(self, reason: str) -> None:
        """Called when a commit has failed and is repeated; `reason` is the name of the error."""

    async def keep(self, connection: Connection, tally: Tally) -> None:
        """Stores the counts of a transaction; called as the last step of that transaction."""

    def committed(self, tally: Tally) -> None:
        """Called with the counts of a transaction after it has committed."""

    async def count(self, writer: Writes, tally: Tally) -> None:
        """Takes counts that belong to no commit, such as that of an export run that failed."""


class TallyInMetrics(TallySink):
    """Adds the counts to the metrics of this process, and writes one log line for each topic and
    reason of rejected records.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()

    def retrying(self, reason: str) -> None:
        """Counts a commit that has failed and is repeated; `reason` is the name of the error."""
        self._metrics.commit_retries.labels(reason).inc()
        if reason == "DeadlockDetectedError":
            self._metrics.deadlocks.inc()

    def committed(self, tally: Tally) -> None:
        """Adds a committed transaction's counts to the metrics, and logs rejected records."""
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
        """Adds the counts to the metrics at once, because there is no commit to wait for."""
        self.committed(tally)


class TallyInDatabase(TallySink):
    """Writes the counts of a command to the table `command_tally`; a running service adds them to
    its metrics from there.
    """

    async def keep(self, connection: Connection, tally: Tally) -> None:
        """Writes the counts in the transaction that they describe, so that they are stored only if
        it commits.
        """
        await put_tally(connection, tally.counts)

    async def count(self, writer: Writes, tally: Tally) -> None:
        """Writes the counts in a database transaction of their own, because what is counted, such
        as a failed export run, made no commit.
        """
        async with writer.transaction() as connection:
            await put_tally(connection, tally.counts)


async def put_tally(connection: Connection, counts: Mapping[Key, int]) -> None:
    """Writes counts to the table `command_tally`, inside the caller's database transaction."""
    rows = [(metric.value, list(labels), amount) for (metric, labels), amount in counts.items()]
    if rows:
        await connection.executemany(SQL["put_tally"], rows)


def log_rejected_by_command(counts: Mapping[Key, int]) -> None:
    """Writes a log line for each topic and reason of records that commands have rejected; it names
    no partition or offset, because the counts of commands do not have them.
    """
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
    """Collects the senders of records that could be decoded, until `take` returns them to be
    written to the table `source_seen`.

    At most SENDERS_MAX senders are collected at a time; a sender that did not fit is collected with
    a later record.
    """

    def __init__(self) -> None:
        self._senders: set[Sender] = set()

    def note(self, senders: Iterable[Sender]) -> None:
        """Notes the senders of records that were applied."""
        for sender in senders:
            if len(self._senders) < SENDERS_MAX:
                self._senders.add(sender)

    def take(self) -> list[Sender]:
        """Removes and returns the senders, sorted, so that all processes lock the rows of
        `source_seen` in the same order.
        """
        senders, self._senders = sorted(self._senders), set()
        return senders

    def put_back(self, senders: Iterable[Sender]) -> None:
        """Adds senders again that `take` has returned and that could not be written to the
        database.
        """
        self._senders.update(senders)
