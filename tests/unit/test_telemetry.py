"""The list of metrics and its page, and the metrics and the code: each says the same."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from service.runtime.telemetry import Metrics

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
RUNBOOK = ROOT / "docs" / "runbook.md"
SOURCES = [path for path in (ROOT / "service").rglob("*.py") if path.name != "telemetry.py"]
ROW = re.compile(r"^\| `(bursar_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)


def registered() -> dict[str, tuple[str, tuple[str, ...]]]:
    """By the name that is scraped: type and labels."""
    metrics = (value for value in vars(Metrics()).values() if isinstance(value, MetricWrapperBase))
    return {
        metric._name + ("_total" if metric._type == "counter" else ""): (
            str(metric._type),
            tuple(metric._labelnames),
        )
        for metric in metrics
    }


def test_the_page_describes_each_metric_and_no_other() -> None:
    rows = ROW.findall(PAGE.read_text("utf-8"))
    described = {name: (kind, tuple(re.findall(r"`(\w+)`", cell))) for name, kind, cell in rows}
    assert len(rows) == len(described), "a metric has one row"
    assert described == registered()


def test_texts_name_metrics_that_there_are() -> None:
    known = registered()
    for path in (PAGE, RUNBOOK, ROOT / "README.md", ROOT / "docs" / "consumer-guide.md"):
        named = set(re.findall(r"\bbursar_[a-z_]+[a-z]\b(?=[`{\[ ,)\]])", path.read_text("utf-8")))
        metrics = {name for name in named if not name.startswith("bursar_transaction")}
        assert {name for name in metrics if name not in known} == set(), path.name


def test_each_metric_is_recorded_somewhere() -> None:
    """Or is one of the counters that are named by their field (service/apply/tally.py)."""
    text = "\n".join(path.read_text("utf-8") for path in SOURCES)
    fields = [
        name for name, value in vars(Metrics()).items() if isinstance(value, MetricWrapperBase)
    ]
    unused = [name for name in fields if f".{name}" not in text and f'"{name}"' not in text]
    assert unused == []
