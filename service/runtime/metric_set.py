"""The base of each set of metrics, which has a Prometheus registry of its own, and the buckets of
histograms.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds as text: this package has no floating point numbers, the client library reads them itself.
SECONDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30")
SIZES = (1, 5, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000, 50_000)


class MetricSet:
    """A set of metrics with a Prometheus registry that no other set shares."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def add(self, field: str, labels: tuple[str, ...], amount: int) -> None:
        """Adds `amount` to the counter in the field `field`, for the given values of its labels."""
        counter: Counter = getattr(self, field)
        counter.labels(*labels).inc(amount)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[str | int, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)
