"""The counters of a service have their first samples before anything is counted."""

from __future__ import annotations

from prometheus_client import Counter

from service.core.words import Reason
from service.kafka.topics import INPUTS, OUTPUTS
from service.operations.counters import begin_at_zero
from service.runtime.telemetry import Metrics
from tests.support.installation import institution, profile
from tests.support.write_path import profiles_of

PROFILES = profiles_of(institution() + profile("A") + profile("B", currency="EUR"))
# Nobody knows the values of their labels before; docs/metrics.md names these counters.
COUNTED_FIRST = {"bursar_texts_cut", "bursar_producer_rebuilds", "bursar_delivered"}


def begun() -> Metrics:
    metrics = Metrics()
    begin_at_zero(metrics, INPUTS, OUTPUTS, ["too_large"], PROFILES)
    return metrics


def test_each_counter_is_shown_with_0_from_the_start() -> None:
    counters = [value for value in vars(begun()).values() if isinstance(value, Counter)]
    samples = {counter._name: next(iter(counter.collect())).samples for counter in counters}
    assert {name for name, values in samples.items() if not values} == COUNTED_FIRST
    assert {
        sample.value
        for values in samples.values()
        for sample in values
        if sample.name.endswith("_total")
    } == {0}


def test_each_reason_is_shown_for_each_topic_and_for_files() -> None:
    def shown(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    metrics = begun()
    for topic in (*INPUTS, "import"):
        for reason in Reason:
            assert shown("bursar_rejected_total", topic=topic, reason=reason.value) == 0
    assert shown("bursar_record_outcomes_total", outcome="rejected:overpaid") == 0
    assert shown("bursar_record_outcomes_total", outcome="parked:unknown_fine") == 0
    assert shown("bursar_run_failures_total", profile="B") == 0
    assert shown("bursar_credits_made_total", currency="EUR") == 0
    assert shown("bursar_set_aside_total", topic="rejected.v1", reason="too_large") == 0
