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

from tests.bench.cpu import Cost
from tests.bench.throughput import Plan, Turn

# In the order they are told; each with what it says.
FIGURES: Mapping[str, str] = {
    "ratio_per_event": "fines: the service / one event per commit",
    "ratio_copy": "fines: the service / plain COPY of the rows it leaves",
    "payment_ratio_per_event": "payments: the service / one event per commit",
    "two_ratio_per_event": "fines: two processes / one event per commit",
    "two_ratio_copy": "fines: two processes / plain COPY of the rows",
    "two_payment_ratio_per_event": "payments: two processes / one event per commit",
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
    "p99_over_p50": "latency: p99 at half of the maximal rate / p50 at a tenth of it",
    "tenth_p50_ms": "fine-created due to balance-changed read, at a tenth of the maximal rate: p50",
    "tenth_p99_ms": "the same: p99",
    "half_p50_ms": "the same at half of the maximal rate: p50",
    "half_p99_ms": "the same: p99",
    "four_fifths_p50_ms": "the same at four fifths of the maximal rate: p50",
    "four_fifths_p99_ms": "the same: p99",
    "two_over_one": "fines: two processes / one",
    "four_over_one": "fines: four processes / one",
    "installations_over_two": "fines: two installations at once, together / two processes of one",
    "random_keys_over_keyed": "fines, two processes: with keys at random / with keys by patron",
    "random_keys_deadlocks": "with keys at random: deadlocks in PostgreSQL; must be 0",
    "random_keys_rollbacks": "with keys at random: transactions rolled back per 1 000 fines",
    "peak_mb": "the most memory that a process of the service has held; at most 400",
    "growth": "fines: with a large ledger / with a small one",
    "growth_small_rate": "with the small ledger: fines/s",
    "growth_large_rate": "with the large ledger: fines/s",
}
# What each figure of a Cost says.
COSTS: Mapping[str, str] = {
    "service": "processor of the service per event, µs",
    "postgres": "processor of PostgreSQL per event, µs",
    "kafka": "processor of Kafka per event, µs",
    "idle": "share of all cores that was idle",
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
    """Of several runs: figures that were measured, the absolute rates under them, and the costs.

    The name of a cost says what was measured and whose cost it is, such as `one_postgres`.
    """

    plan: Plan
    runs: int
    figures: Mapping[str, Spread]
    rates: Mapping[str, Spread]
    costs: Mapping[str, Spread]


def report_of(
    plan: Plan, runs: Sequence[Turn], more: Mapping[str, Sequence[float]] | None = None
) -> Report:
    """`more`: figures by name that are measured otherwise."""
    values: dict[str, list[float]] = {name: list(result) for name, result in (more or {}).items()}
    for run in runs:
        for name, value in run.figures.items():
            values.setdefault(name, []).append(value)
    figures = {name: Spread.over(values[name]) for name in FIGURES if name in values}
    rates = _spreads([run.rates for run in runs])
    costs = _spreads(
        [
            {
                f"{what}_{whose}": value
                for what, each in run.costs.items()
                for whose, value in _of(each)
            }
            for run in runs
        ]
    )
    return Report(plan, len(runs), figures, rates, costs)


def _of(cost: Cost) -> list[tuple[str, float]]:
    return list(asdict(cost).items())


def _spreads(turns: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    names = turns[0] if turns else {}
    return {name: Spread.over([turn[name] for turn in turns]) for name in names}


def new_table(title: str) -> Table:
    """A table of figures, each with what it says and its spread."""
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "what"):
        table.add_column(heading)
    for heading in ("min", "median", "max"):
        table.add_column(heading, justify="right")
    return table


def show(console: Console, report: Report) -> None:
    table = new_table(f"{report.runs} runs of {report.plan.events} events")
    for name, what in FIGURES.items():
        if (spread := report.figures.get(name)) is None:
            table.add_row(name, what, "", "not measured", "", style="dim")
        else:
            table.add_row(name, what, *(f"{value:.3g}" for value in asdict(spread).values()))
    table.add_section()
    for name, spread in report.rates.items():
        table.add_row(name, "events/s", *(f"{value:,.0f}" for value in asdict(spread).values()))
    table.add_section()
    for name, spread in report.costs.items():
        what = COSTS[name.rpartition("_")[2]]
        table.add_row(name, what, *(f"{value:.3g}" for value in asdict(spread).values()))
    console.print(table)


def key_values(figures: Mapping[str, Spread]) -> list[str]:
    """`key=value`: the median under the figure's name, then its spread."""
    result = []
    for name, spread in figures.items():
        result.append(f"{name}={spread.median:.4g}")
        result.append(f"{name}_min={spread.minimum:.4g}")
        result.append(f"{name}_max={spread.maximum:.4g}")
    return result


def lines(report: Report) -> list[str]:
    """`key=value` for figures, rates and costs."""
    result = key_values(report.figures)
    result += [f"rate_{name}={spread.median:.0f}" for name, spread in report.rates.items()]
    result += [f"cpu_{name}={spread.median:.3g}" for name, spread in report.costs.items()]
    return result


def write(path: Path, report: Report) -> None:
    body = {
        "plan": asdict(report.plan),
        "runs": report.runs,
        **machine(),
        "figures": {name: asdict(spread) for name, spread in report.figures.items()},
        "not_measured": [name for name in FIGURES if name not in report.figures],
        "rates_per_second": {name: asdict(spread) for name, spread in report.rates.items()},
        "cpu_per_event": {name: asdict(spread) for name, spread in report.costs.items()},
    }
    write_json(path, body)


def machine() -> dict[str, object]:
    """On what it was measured."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def write_json(path: Path, body: Mapping[str, object]) -> None:
    """Makes the folder as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=2) + "\n")
