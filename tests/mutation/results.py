"""What became of the mutants, and the two reports of it."""

import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutation.mutants import Mutant

REPORT = "report"
EXPLAINED = Path(__file__).with_name("explained.toml")
Identity = tuple[str, str, str, str, int]  # source, line, operator, change, occurrence


class Outcome(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    EXPLAINED = "explained"
    EXPLAINED_BUT_KILLED = "explained but killed"


@dataclass(frozen=True, slots=True)
class Result:
    mutant: Mutant
    outcome: Outcome
    noticed_by: str | None  # the first test that failed

    @property
    def counts_as_killed(self) -> bool:
        return self.outcome in (Outcome.KILLED, Outcome.EXPLAINED_BUT_KILLED)


def explanations() -> dict[Identity, str]:
    """Why a mutant does what the code does, by what the mutant is. Raises ValueError for two."""
    reasons: dict[Identity, str] = {}
    for entry in tomllib.loads(EXPLAINED.read_text("utf-8")).get("explained", ()):
        what = (entry["source"], entry["line"], entry["operator"], entry["change"])
        identity = (*what, entry.get("occurrence", 1))
        if identity in reasons:
            raise ValueError(f"explained twice: {identity}")
        reasons[identity] = entry["reason"]
    return reasons


def identity_of(mutant: Mutant) -> Identity:
    """Not its line's number, which every other change of the file would move."""
    return mutant.source, mutant.line, mutant.operator, mutant.change, mutant.occurrence


def outcome_of(mutant: Mutant, noticed: bool, reasons: dict[Identity, str]) -> Outcome:
    is_explained = identity_of(mutant) in reasons
    if noticed:
        return Outcome.EXPLAINED_BUT_KILLED if is_explained else Outcome.KILLED
    return Outcome.EXPLAINED if is_explained else Outcome.SURVIVED


def score_percent(results: Sequence[Result]) -> float:
    """How many of the mutants that could be noticed were noticed; without any, all were."""
    counted = [result for result in results if result.outcome is not Outcome.EXPLAINED]
    killed = sum(result.counts_as_killed for result in counted)
    return 100 * killed / len(counted) if counted else 100.0


def write_reports(folder: Path, title: str, results: Sequence[Result]) -> None:
    """The report as Markdown for people, and as JSON for programs."""
    ordered = sorted(results, key=lambda result: (result.mutant.source, result.mutant.number))
    (folder / REPORT).with_suffix(".md").write_text(_markdown(title, ordered), "utf-8")
    document = {
        "title": title,
        "score_percent": round(score_percent(results), 1),
        "outcomes": Counter(str(result.outcome) for result in ordered),
        "mutants": [
            {**asdict(result.mutant), "outcome": result.outcome, "noticed_by": result.noticed_by}
            for result in ordered
        ],
    }
    (folder / REPORT).with_suffix(".json").write_text(
        json.dumps(document, indent=1) + "\n", "utf-8"
    )


def summary(results: Sequence[Result]) -> str:
    counts = Counter(result.outcome for result in results)
    parts = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])
    return f"{len(results)} mutants: {parts or 'none'}; score {score_percent(results):.1f} %"


def _markdown(title: str, results: Sequence[Result]) -> str:
    lines = [f"# {title}", "", summary(results), ""]
    lines += ["| file | mutants | killed | explained | survived |", "|---|---|---|---|---|"]
    for source in dict.fromkeys(result.mutant.source for result in results):
        lines.append(_row(source, [item for item in results if item.mutant.source == source]))
    for outcome in (Outcome.SURVIVED, Outcome.EXPLAINED_BUT_KILLED):
        listed = [result.mutant for result in results if result.outcome is outcome]
        if listed:
            lines += ["", f"## {outcome.capitalize()}"]
        for mutant in listed:
            lines += ["", f"- `{mutant.name}`, in", "", f"      {mutant.line}"]
    return "\n".join((*lines, ""))


def _row(source: str, results: Sequence[Result]) -> str:
    killed = sum(result.counts_as_killed for result in results)
    counts = Counter(result.outcome for result in results)
    explained, survived = counts[Outcome.EXPLAINED], counts[Outcome.SURVIVED]
    return f"| {source} | {len(results)} | {killed} | {explained} | {survived} |"
