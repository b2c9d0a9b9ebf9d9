"""An alarm on a topic that has no other records than rejected ones."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..runtime.telemetry import Event, Metrics, get_log

log = get_log(__name__)

LOG_INTERVAL_MS = 10_000


@dataclass(slots=True)
class Rejections:
    """What the polls of this process rejected; `now_ms` is a clock that only goes forward."""

    metrics: Metrics
    alarm_records: int
    _logged_ms: dict[str, int] = field(default_factory=dict)
    _in_a_row: Counter[str] = field(default_factory=Counter)

    def note(
        self, read: Mapping[str, int], rejected: Mapping[tuple[str, str], int], now_ms: int
    ) -> None:
        """One poll: records read by topic, and those rejected by topic and reason."""
        of_topic: Counter[str] = Counter()
        for (topic, _), count in rejected.items():
            of_topic[topic] += count
        for topic, count in read.items():
            # A parked record that is rejected now counts for its topic, too: hence not equality.
            self._in_a_row[topic] = self._in_a_row[topic] + count if of_topic[topic] >= count else 0
            records = self._in_a_row[topic]
            self.metrics.rejected_in_a_row.labels(topic).set(records)
            if records >= self.alarm_records and self._is_due(topic, now_ms):
                log.error(Event.TOPIC_REJECTED, topic=topic, records=records)

    def _is_due(self, topic: str, now_ms: int) -> bool:
        last_ms = self._logged_ms.get(topic)
        if last_ms is not None and now_ms - last_ms < LOG_INTERVAL_MS:
            return False
        self._logged_ms[topic] = now_ms
        return True
