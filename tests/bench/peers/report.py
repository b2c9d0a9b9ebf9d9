"""What was measured, for people, for scripts, and for later; and what the peer leaves out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from tests.bench.cpu import Cost
from tests.bench.peers.figures import PeerTurn
from tests.bench.report import Spread, key_values, machine, new_table, write_json

LEFT_OUT = """\
The sink writes a row of one table for each record, and nothing else. It leaves out
  the ledger: accounts, balances, the transactions that explain them, fines that change or close
  patrons: the newest snapshot of each, whatever the order of the records
  records that come again with other content: they replace the row, and nobody hears of it
  bad records: the first stops the task, where the service sets it aside with its reason
  events: no balance-changed, no outbox, no order of what is sent
  export, payments, responses, corrections by staff, and the audit of all that
Its records are flat, and the worker is told their schema; the service reads fines as they are.
"""
# In the order they are told; each with what it says.
FIGURES: Mapping[str, str] = {
    "ratio_sink": "fines of the service / rows of the sink",
    "two_ratio_sink": "the same with two processes / two tasks",
}
COSTS: Mapping[str, str] = {
    "program": "processor of the program itself, per event",
    "postgres": "processor of PostgreSQL, per event",
    "kafka": "processor of the broker, per event",
    "idle": "share of all cores that was idle",
}


@dataclass(frozen=True)
class PeerReport:
    """Each figure over all runs: ratios, rates per second, and costs by the name of the rate."""

    events: int
    warm_up: int
    runs: int
    figures: Mapping[str, Spread]
    rates: Mapping[str, Spread]
    costs: Mapping[str, Mapping[str, Spread]]


def report_of(events: int, warm_up: int, turns: Sequence[PeerTurn]) -> PeerReport:
    """The spread of each figure; one run at least."""
    names = list(turns[0].paces)
    costs = {name: [_by_part(turn.paces[name].cost) for turn in turns] for name in names}
    return PeerReport(
        events,
        warm_up,
        len(turns),
        {name: Spread.over([turn.figures[name] for turn in turns]) for name in FIGURES},
        {name: Spread.over([turn.paces[name].rate for turn in turns]) for name in names},
        {
            name: {part: Spread.over([cost[part] for cost in costs[name]]) for part in COSTS}
            for name in names
        },
    )


def _by_part(cost: Cost) -> Mapping[str, float]:
    """Costs by what they are of; `service` is whatever was measured."""
    return {"program" if part == "service" else part: value for part, value in asdict(cost).items()}


def show(console: Console, report: PeerReport) -> None:
    """A table, and below it what the peer leaves out."""
    table = new_table(f"{report.runs} runs of {report.events} fines")
    for name, what in FIGURES.items():
        table.add_row(name, what, *_texts(report.figures[name], ".3g"))
    table.add_section()
    for name, spread in report.rates.items():
        table.add_row(name, "per second", *_texts(spread, ",.0f"))
    for name, costs in report.costs.items():
        table.add_section()
        for part, spread in costs.items():
            unit = "" if part == "idle" else ", µs"
            table.add_row(name, COSTS[part] + unit, *_texts(spread, ".3g"))
    console.print(table)
    console.print(LEFT_OUT, markup=False, highlight=False)


def _texts(spread: Spread, form: str) -> list[str]:
    return [format(value, form) for value in asdict(spread).values()]


def lines(report: PeerReport) -> list[str]:
    """`key=value` for figures, rates and costs."""
    result = key_values(report.figures)
    result += [f"rate_{name}={spread.median:.0f}" for name, spread in report.rates.items()]
    for name, costs in report.costs.items():
        result += [f"cpu_{name}_{part}={spread.median:.3g}" for part, spread in costs.items()]
    return result


def write(path: Path, report: PeerReport) -> None:
    """The same as JSON, with the machine."""
    write_json(path, asdict(report) | machine())
