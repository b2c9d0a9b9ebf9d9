"""Combines the metrics of all member processes into metrics like those of one process."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Key = tuple[str, tuple[tuple[str, str], ...]]


class Way(StrEnum):
    """How the values of one metric in several members become one value (metrics.md, How to
    add up).
    """

    SUM = "sum"
    MAX = "max"
    MIN = "min"


# Counters and histograms are summed. Every other gauge has the maximum: members read the same of
# the database, some of them later than others.
WAYS_OF_GAUGES = {
    "bursar_partitions_assigned": Way.SUM,
    "bursar_partitions_held": Way.SUM,
    "bursar_topic_partitions": Way.SUM,
    "bursar_topic_lag_records": Way.SUM,
    "bursar_partition_lag_records": Way.SUM,
    "bursar_relay_lease_held": Way.SUM,
    "bursar_poll_size": Way.MIN,
}
# What the parent itself says of all members.
OF_PARENT = frozenset({"bursar_ready", "bursar_check_ok", "bursar_members", "bursar_member_ends"})


@dataclass(slots=True)
class _Family:
    kind: str
    text: str
    samples: dict[Key, Sample] = field(default_factory=dict)


class Sums:
    """The combined metrics of several member processes."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def add(self, metrics: str, *, has_ended: bool = False) -> None:
        """Adds the metrics of one member, as text in the form in which Prometheus scrapes them.

        With `has_ended`, the gauges of the member are left out, because a member that has ended has
        no current values. The sum of a counter over all members therefore never falls, although a
        member that is started again counts from 0.
        """
        for family in text_string_to_metric_families(metrics):
            # The client library also shows when each counter was made: of a sum that says nothing.
            if family.name in OF_PARENT or family.name.endswith("_created"):
                continue
            if not (has_ended and family.type == "gauge"):
                self._add_family(family)

    def _add_family(self, family: Metric) -> None:
        target = self._families.setdefault(family.name, _Family(family.type, family.documentation))
        is_gauge = family.type == "gauge"
        way = WAYS_OF_GAUGES.get(family.name, Way.MAX) if is_gauge else Way.SUM
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            before = target.samples.get(key)
            target.samples[key] = sample if before is None else _combined(way, before, sample)

    def copy(self) -> "Sums":
        """Returns a copy to which more metrics can be added without changing this object."""
        other = Sums()
        for name, family in self._families.items():
            other._families[name] = _Family(family.kind, family.text, dict(family.samples))
        return other

    def families(self) -> Iterator[Metric]:
        """Yields the combined metrics as objects of the Prometheus client library."""
        for name, family in self._families.items():
            metric = Metric(name, family.text, family.kind)
            metric.samples = list(family.samples.values())
            yield metric


def _combined(way: Way, first: Sample, second: Sample) -> Sample:
    match way:
        case Way.SUM:
            return first._replace(value=first.value + second.value)
        case Way.MAX:
            return first._replace(value=max(first.value, second.value))
        case Way.MIN:
            return first._replace(value=min(first.value, second.value))
