"""Metrics and log lines about polls, and an alarm if all records of a topic are rejected for some
time.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..runtime.telemetry import Event, Metrics, get_log

log = get_log(__name__)

LOG_INTERVAL_MS = 10_000


def count_applied(metrics: Metrics, read: Counter[str], outcomes: Mapping[str, int]) -> None:
    """Counts a poll that was applied in the metrics: its records by topic and by outcome."""
    metrics.polls.labels("applied").inc()
    metrics.poll_records.observe(read.total())
    for topic, count in read.items():
        metrics.records.labels(topic).inc(count)
    for outcome, count in outcomes.items():
        if not outcome.startswith("unparked:"):  # a record of an earlier poll
            metrics.outcomes.labels(outcome).inc(count)
        if outcome.startswith("repeat:"):
            log.info(Event.EVENT_REPEATED, outcome=outcome, records=count)


@dataclass(slots=True)
class RejectionAlarm:
    """Writes an error to the log if, in one poll after the other, all records of a topic are
    rejected, and they are `alarm_records` or more.
    """

    metrics: Metrics
    alarm_records: int
    _logged_ms: dict[str, int] = field(default_factory=dict)
    _in_a_row: Counter[str] = field(default_factory=Counter)

    def note(
        self, read: Mapping[str, int], rejected: Mapping[tuple[str, str], int], now_ms: int
    ) -> None:
        """Counts one poll: `read` has the number of its records by topic, and `rejected` the number
        of rejected records by topic and reason.

        `now_ms` is the time in milliseconds on a clock that only goes forward.
        """
        rejected_by_topic: Counter[str] = Counter()
        for (topic, _), count in rejected.items():
            rejected_by_topic[topic] += count
        for topic, count in read.items():
            # A parked record that is rejected now counts for its topic, too: hence not equality.
            is_rejected = rejected_by_topic[topic] >= count
            records = self._in_a_row[topic] + count if is_rejected else 0
            self._in_a_row[topic] = records
            self.metrics.rejected_in_a_row.labels(topic).set(records)
            last_ms = self._logged_ms.get(topic, now_ms - LOG_INTERVAL_MS)
            if records >= self.alarm_records and now_ms - last_ms >= LOG_INTERVAL_MS:
                self._logged_ms[topic] = now_ms
                log.error(Event.TOPIC_REJECTED, topic=topic, records=records)
