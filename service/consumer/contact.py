"""Finds out whether the Kafka brokers answer, and whether they still deliver records of each
partition that this process reads.

A broker that hangs keeps its connections open, so that the Kafka client waits and reports no error.
Therefore the process not only polls for records, but also asks the brokers regularly for the end
offsets of the topics. The process asks for the end offsets even while the intake waits for the
database, so that the readiness checks can tell whether Kafka or the database does not answer.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import TopicPartition

from ..kafka.causes import LastProblem, last_problem
from ..runtime.process import collect_failed_connections
from ..runtime.telemetry import Metrics
from ..runtime.waiting import wait_any
from .membership import Member

UPDATE_MS = 1_000
ASK_INTERVAL_NS = 2_000_000_000
ASK_SECONDS_MAX = 6
FAILING_NS = 3_000_000_000  # longer than between two questions: connections may be failing
NAMED_MAX = 5


@dataclass(slots=True)
class PartitionContact:
    """What is known of a partition that this process reads: when it was last fetched, and its
    offsets; times ending in `_ns` are nanoseconds of the monotonic clock.
    """

    fetched_ns: int  # the last fetch, or when the partition was assigned
    fetched_at: int | None = None  # the client's own mark of it
    is_loaded: bool = False  # records may come
    next_offset: int | None = None  # the database's
    end: int | None = None
    end_ns: int = 0  # when `end` was asked for

    @property
    def lag(self) -> int | None:
        """The number of records of the partition that are not applied yet; None while that is not
        known. The control records that Kafka writes for producers' transactions are counted too.
        """
        if self.end is None or self.next_offset is None:
            return None
        return max(0, self.end - self.next_offset)


class Contact:
    """Watches when the brokers last answered this process, even if it leaves the consumer group and
    joins again.

    `topics` are the full names of the input topics, with the installation's prefix.
    `silence_seconds_max` is for how many seconds the brokers may leave requests, or the fetches of
    a partition, unanswered before that is reported as a problem.
    """

    def __init__(
        self, topics: Collection[str], metrics: Metrics, silence_seconds_max: int = 8
    ) -> None:
        self._topics = sorted(topics)
        self._metrics = metrics
        self._silence_seconds = silence_seconds_max
        self._is_running = False
        self._member: Member | None = None
        self._answered_ns = time.monotonic_ns()
        self._places: dict[TopicPartition, PartitionContact] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._ask_at_ns = 0
        self._last = LastProblem()

    def attach(self, member: Member | None) -> None:
        """Begins to watch a new member of the group, whose client has just had an answer from a
        broker; None ends the watch.
        """
        self._member = member
        self._places = {}
        if member is not None:
            self._answered_ns = time.monotonic_ns()
        else:
            self._show()

    async def run(self, stop: asyncio.Event) -> None:
        """Updates the times of the brokers' last answers every second, until `stop` is set."""
        self._is_running, self._answered_ns = True, time.monotonic_ns()
        try:
            with last_problem() as self._last:
                while not stop.is_set():
                    self.update()
                    await wait_any((stop,), UPDATE_MS)
        finally:
            self._is_running = False
            await self._end_asking()

    def heard(self) -> None:
        """Notes that a broker has answered a request that this class did not send, for example with
        a refusal.
        """
        self._answered_ns = time.monotonic_ns()

    def problem(self) -> str | None:
        """Returns a sentence that says that no broker answers, with the cause if the client knows
        one; None if a broker answers, or if `run` has ended.
        """
        if not self._is_running or not self._is_silent(self._answered_ns):
            return None
        text = f"no broker has answered for {self._silence_seconds} s or longer"
        cause = self._last.cause_since(self._answered_ns)
        return f"{text}: {cause}" if cause else text

    def unread_problem(self) -> str | None:
        """Returns a sentence with the partitions that are assigned to this process and not fetched
        although they may have more records; None if there is no such partition.
        """
        unread = sorted(self.unread())
        if not unread:
            return None
        names = ", ".join(f"partition {at.partition} of {at.topic}" for at in unread[:NAMED_MAX])
        more = f" and {len(unread) - NAMED_MAX} more" if len(unread) > NAMED_MAX else ""
        return f"no records come from {names}{more}"

    def unread(self) -> frozenset[TopicPartition]:
        """Returns the partitions from which no fetch was answered for too long, although the client
        has no prefetched records of them and they may not be read to their end.
        """
        member = self._member
        if member is None or not self._is_running or self.problem() is not None:
            return frozenset()
        return frozenset(
            at
            for at, place in self._places.items()
            if self._is_unread(place) and not member.has_prefetched(at)
        )

    def update(self) -> None:
        """Notes when each partition was last fetched, asks the brokers for the end offsets every
        two seconds, and sets the gauges of the metrics. While no broker answers, frees the memory
        that connections have left which could not be made.
        """
        if time.monotonic_ns() - self._answered_ns >= FAILING_NS:
            collect_failed_connections()
        if self._member is not None:
            self._note(self._member)
            self._ask(self._member)
        self._show()

    def _is_unread(self, place: PartitionContact) -> bool:
        is_fetched = not place.is_loaded or not self._is_silent(place.fetched_ns)
        return not is_fetched and (place.lag != 0 or self._is_silent(place.end_ns))

    def _is_silent(self, since_ns: int) -> bool:
        return time.monotonic_ns() - since_ns >= self._silence_seconds * 1_000_000_000

    def _note(self, member: Member) -> None:
        now_ns, next_offsets = time.monotonic_ns(), member.next_offsets()
        self._places = {
            at: self._places.get(at) or PartitionContact(now_ns) for at in member.group.assigned
        }
        for at, place in self._places.items():
            was_loaded = place.is_loaded
            is_left = at in member.suspects or member.is_paused(at)
            place.is_loaded = at in next_offsets and not is_left
            if place.is_loaded and not was_loaded:
                place.fetched_ns = now_ns  # from now on it can be fetched
            place.next_offset = next_offsets.get(at, place.next_offset)
            fetched_at = member.fetched_at(at)
            if fetched_at is not None and fetched_at != place.fetched_at:
                place.fetched_at, place.fetched_ns = fetched_at, now_ns
                self._answered_ns = now_ns

    def _ask(self, member: Member) -> None:
        """Each topic by itself: where one of them is gone, the others are answered."""
        if time.monotonic_ns() < self._ask_at_ns:
            return
        self._ask_at_ns = time.monotonic_ns() + ASK_INTERVAL_NS
        for topic in self._topics:
            task = self._asking.get(topic)
            if task is None or task.done():
                self._asking[topic] = asyncio.create_task(self._ask_topic(member, topic))

    async def _ask_topic(self, member: Member, topic: str) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                ends = await member.ends(topic)
        except Exception:  # noqa: BLE001 - whatever a client raises, there was no answer
            return
        self._answered_ns = now_ns = time.monotonic_ns()
        for at, end in ends.items():
            if at in self._places:
                self._places[at].end, self._places[at].end_ns = end, now_ns

    async def _end_asking(self) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _show(self) -> None:
        now_ns, lags = time.monotonic_ns(), Counter[str]()
        self._metrics.contact_age.set((now_ns - self._answered_ns) // 1_000_000_000)
        # A partition that another member reads now is shown by that member alone.
        for gauge in (self._metrics.fetch_age, self._metrics.partition_lag):
            gauge.clear()
        for at, place in self._places.items():
            labels = (at.topic, str(at.partition))
            age = (now_ns - place.fetched_ns) // 1_000_000_000
            self._metrics.fetch_age.labels(*labels).set(age)
            if place.lag is not None:
                self._metrics.partition_lag.labels(*labels).set(place.lag)
                lags[at.topic] += place.lag
        unread = Counter(at.topic for at in self.unread())
        if self._member is not None:
            coverage = self._member.coverage
            unread += Counter(at.topic for at in coverage.unread())
            unread |= Counter(coverage.absent())  # nobody knows how many partitions they had
        for topic in self._topics:
            self._metrics.topic_lag.labels(topic).set(lags[topic])
            self._metrics.partitions_unread.labels(topic).set(unread[topic])
