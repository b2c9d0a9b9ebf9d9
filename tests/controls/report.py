"""The table of a run, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.controls.trial import ROOT, Result, Verdict
from tests.faults.report import write_report

FOLDER = ROOT / "var" / "faults"
NAME = "controls"
HEAD = "| protection | what is taken away | test | noticed | by |"


def write(verdicts: Sequence[Verdict], folder: Path = FOLDER) -> Path:
    """Writes the table as a page and as JSON; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{NAME}.md"
    page.write_text(table(verdicts), "utf-8")
    content = [_as_json(verdict) for verdict in verdicts]
    (folder / f"{NAME}.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    write_report(folder, [], keep=True)
    return page


def table(verdicts: Sequence[Verdict]) -> str:
    """A table in Markdown, a row for each test of each protection."""
    rows = [_row(verdict, result) for verdict in verdicts for result in verdict.results]
    missed = [verdict.protection.name for verdict in verdicts if not verdict.is_red]
    end = f"Not noticed: {', '.join(missed)}." if missed else "All are noticed."
    return "\n".join(["# Negative controls", "", HEAD, "|---|---|---|---|---|", *rows, "", end, ""])


def _row(verdict: Verdict, result: Result) -> str:
    protection = verdict.protection
    what = (
        f"{protection.what}; behind it: {protection.behind}"
        if protection.behind
        else protection.what
    )
    cells = (
        protection.name,
        what,
        result.test,
        "yes" if result.is_red else "NO",
        result.explanation.replace("|", "\\|"),
    )
    return f"| {' | '.join(cells)} |"


def _as_json(verdict: Verdict) -> dict[str, object]:
    tests = [
        {
            "test": result.test,
            "noticed": result.is_red,
            "by": result.explanation,
            "seconds": result.seconds,
        }
        for result in verdict.results
    ]
    protection = verdict.protection
    return {
        "protection": protection.name,
        "what": protection.what,
        "behind": protection.behind,
        "noticed": verdict.is_red,
        "tests": tests,
    }
