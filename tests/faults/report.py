"""What the rows of the fault matrix report: one line for each row, as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

HEAD = """\
# Faults

One line for each row of the fault matrix ([docs/faults.md](../../docs/faults.md)).

- *in flight*: records that were published or queued, and neither applied nor acknowledged, when a
  fault began; the most of the row's faults.
- *progress*: seconds from the end of a fault until records were applied and acknowledged again; the
  longest of the row's faults.
- *judged*: the verdict of the independent auditor on each invariant, and of the comparison with the
  model.

| row | outcome | faults | events | in flight | progress | restarts | peak memory | judged |
|---|---|---|---|---|---|---|---|---|
"""


CONTROLS_HEAD = """
## Negative controls

Each protection was taken away in turn; its tests must fail (red). The page
of the controls, beside this one, names the tests.

| protection | its tests without it |
|---|---|
"""
REPORT = "report"
OUTCOMES = ("failed", "not run", "passed")  # the worst first

Cells = dict[str, Any]  # the cells of a row of the report by name, as JSON takes them


@dataclass(slots=True)
class Row:
    """What a row did; the test fills it in while it runs.

    `judged` has the name of each invariant, and `model`, with whether it holds. `notes` are whole
    sentences for the readers of the report. Each instance of the row is as many `processes` under a
    parent; 1 stands for a process without one. `is_alone`: it stays so, whatever is asked for.
    """

    name: str
    processes: int = 1
    is_alone: bool = False
    faults: Counter[str] = field(default_factory=Counter)
    events: int = 0
    in_flight: list[int] = field(default_factory=list)
    progress_seconds: list[float] = field(default_factory=list)
    restarts: int = 0
    peak_bytes: int = 0
    judged: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, fault: str, times: int = 1) -> None:
        """Notes that a fault was injected. The name becomes a plain text: the cells go from one
        process of the tests to another.
        """
        self.faults[str(fault)] += times

    def cells(self) -> Cells:
        """As JSON takes them."""
        cells = {part.name: getattr(self, part.name) for part in fields(self)}
        return {**cells, "faults": dict(self.faults)}


def write_report(folder: Path, rows: Iterable[Cells], *, keep: bool, name: str = "report") -> None:
    """Writes the report, or another one of this `name`, into the folder: as a page and as JSON.

    With `keep`, rows of the report that is there stay, if they did not run again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    kept = json.loads(file.read_text("utf-8"))["rows"] if keep and file.exists() else []
    by_name = {row["name"]: row for row in kept} | together(rows)
    ordered = [by_name[each] for each in sorted(by_name)]
    controls = read_controls(folder) if name == REPORT else []
    content = {"rows": ordered, "controls": controls}
    file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    page = HEAD + "".join(map(_text_line, ordered)) + controls_table(controls)
    (folder / f"{name}.md").write_text(page, "utf-8")


def together(rows: Iterable[Cells]) -> dict[str, Cells]:
    """The rows by name. A row of several tests has the worst outcome of them."""
    by_name: dict[str, Cells] = {}
    tests: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: OUTCOMES.index(row["outcome"])):
        by_name.setdefault(row["name"], row)
        tests[row["name"]] += 1
    for name, count in tests.items():
        if count > 1:
            by_name[name]["notes"] = [*by_name[name]["notes"], f"{count} tests."]
    return by_name


def read_controls(folder: Path) -> list[Cells]:
    """What `make faults-controls` wrote last; nothing if it did not run here."""
    file = folder / "controls.json"
    return list(json.loads(file.read_text("utf-8"))) if file.exists() else []


def controls_table(controls: Sequence[Cells]) -> str:
    """The protections, each with whether the tests have noticed that it was taken away."""
    if not controls:
        return ""
    lines = [f"| {each['protection']} | {_noticed(each)} |\n" for each in controls]
    return CONTROLS_HEAD + "".join(lines)


def _noticed(control: Cells) -> str:
    return "red" if control["noticed"] else "NOT NOTICED"


def _text_line(row: Cells) -> str:
    faults = ", ".join(f"{number} {name}" for name, number in sorted(row["faults"].items()))
    progress = row["progress_seconds"]
    cells = (
        row["name"],
        " ".join([row["outcome"], *row["notes"]]),
        faults,
        f"{row['events']:,}" if row["events"] else "",
        str(max(row["in_flight"])) if row["in_flight"] else "",
        f"{max(progress):.1f} s" if progress else "",
        str(row["restarts"] or ""),
        f"{row['peak_bytes'] / 2**20:.0f} MB" if row["peak_bytes"] else "",
        _judged(row["judged"]),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _judged(judged: Mapping[str, bool]) -> str:
    broken: Sequence[str] = [name for name, holds in judged.items() if not holds]
    if broken:
        return "BROKEN: " + ", ".join(broken)
    return f"all {len(judged)} hold" if judged else ""
