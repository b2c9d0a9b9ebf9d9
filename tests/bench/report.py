"""What was measured, for people, for scripts, and for later."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Plan, Rates

# In the order they are told; each with what it says.
FIGURES: Mapping[str, str] = {
    "ratio_per_event": "fines: the service / one event per commit",
    "ratio_copy": "fines: the service / plain COPY of the rows it leaves",
    "payment_ratio_per_event": "payments: the service / one event per commit",
    "export_ratio_copy": "an export run / plain COPY of the rows it leaves",
    "export_memory_mb": "peak memory: a large export less a small one",
    "export_large_rate": "a large export: fines/s, its events sent, intake meanwhile",
    "export_last_over_first": "a large export: the rate of its last tenth / its first",
    "export_intake_wait_ms": "a large export: what a poll of its patrons takes meanwhile",
    "sparse_memory_mb": "peak memory: 1 000 due among the large export's fines, less 1 000 alone",
    "sparse_rate": "1 000 due among the large export's fines: open fines passed/s",
    "sparse_commits": "1 000 due among the large export's fines: commits of the run",
    "sparse_intake_wait_ms": "1 000 due among them: what a poll of their patrons takes meanwhile",
    "refusal_memory_mb": "peak memory: the refusal of a batch of as many lines as the small export",
    "p99_over_p50": "latency at half the rate",
    "two_over_one": "two instances / one",
    "growth": "with a large ledger / with a small one",
}


@dataclass(frozen=True)
class Spread:
    minimum: float
    median: float
    maximum: float

    @classmethod
    def over(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True)
class Report:
    """Of several runs: figures that were measured, and the absolute rates under them."""

    plan: Plan
    runs: int
    figures: Mapping[str, Spread]
    rates: Mapping[str, Spread]


def report_of(
    plan: Plan, runs: Sequence[Rates], more: Mapping[str, Sequence[float]] | None = None
) -> Report:
    """`more`: figures by name that are measured otherwise."""
    values: dict[str, list[float]] = {name: list(result) for name, result in (more or {}).items()}
    rates: dict[str, list[float]] = {}
    for run in runs:
        for name, value in run.figures.items():
            values.setdefault(name, []).append(value)
        for name, value in asdict(run).items():
            rates.setdefault(name, []).append(value)
    figures = {name: Spread.over(values[name]) for name in FIGURES if name in values}
    spreads = {name: Spread.over(result) for name, result in rates.items()}
    return Report(plan, len(runs), figures, spreads)


def show(console: Console, report: Report) -> None:
    table = Table(title=f"{report.runs} runs of {report.plan.events} events", title_justify="left")
    for heading in ("figure", "what"):
        table.add_column(heading)
    for heading in ("min", "median", "max"):
        table.add_column(heading, justify="right")
    for name, what in FIGURES.items():
        if (spread := report.figures.get(name)) is None:
            table.add_row(name, what, "", "not measured", "", style="dim")
        else:
            table.add_row(name, what, *(f"{value:.3g}" for value in asdict(spread).values()))
    table.add_section()
    for name, spread in report.rates.items():
        table.add_row(name, "events/s", *(f"{value:,.0f}" for value in asdict(spread).values()))
    console.print(table)


def lines(report: Report) -> list[str]:
    """`key=value`: the median under the figure's name, then its spread."""
    result = []
    for name, spread in report.figures.items():
        result.append(f"{name}={spread.median:.4g}")
        result.append(f"{name}_min={spread.minimum:.4g}")
        result.append(f"{name}_max={spread.maximum:.4g}")
    result += [f"rate_{name}={spread.median:.0f}" for name, spread in report.rates.items()]
    return result


def write(path: Path, report: Report) -> None:
    body = {
        "plan": asdict(report.plan),
        "runs": report.runs,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "figures": {name: asdict(spread) for name, spread in report.figures.items()},
        "not_measured": [name for name in FIGURES if name not in report.figures],
        "rates_per_second": {name: asdict(spread) for name, spread in report.rates.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=2) + "\n")
