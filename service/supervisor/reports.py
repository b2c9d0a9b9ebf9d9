"""What a member process tells its parent every second, and what the reports of all members say
together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import orjson

from ..runtime.readiness import Finding

MEMBERS = "members"


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of a member's readiness checks, and its metrics as a scrape would show them."""

    findings: tuple[Finding, ...]
    metrics: str

    def encode(self) -> bytes:
        """Returns the report as a row of text that ends with a line feed."""
        findings = [[each.check, each.problem, each.is_advisory] for each in self.findings]
        return orjson.dumps([findings, self.metrics]) + b"\n"

    @classmethod
    def decode(cls, row: bytes) -> Self:
        """Reads what `encode` returned."""
        findings, metrics = orjson.loads(row)
        return cls(tuple(Finding(*each) for each in findings), metrics)


def merged_findings(
    reports: Mapping[int, Report], missing: Mapping[int, str]
) -> tuple[Finding, ...]:
    """Merges the findings of all members: a check passes if it passes in every member; otherwise
    its problem names the members in which it fails.

    A further check, `members`, names the members that do not work; `missing` has the reason for
    each, by the member's number.
    """
    gone = [f"member {number} {reason}" for number, reason in sorted(missing.items())]
    merged = [Finding(MEMBERS, "; ".join(gone) or None)]
    checks = {finding.check: finding for report in reports.values() for finding in report.findings}
    for check, finding in checks.items():
        by_problem: dict[str, list[int]] = {}
        for number, report in sorted(reports.items()):
            for each in report.findings:
                if each.check == check and each.problem is not None:
                    by_problem.setdefault(each.problem, []).append(number)
        problems = [f"{_named(numbers)}: {problem}" for problem, numbers in by_problem.items()]
        merged.append(Finding(check, "; ".join(problems) or None, finding.is_advisory))
    return tuple(merged)


def _named(numbers: list[int]) -> str:
    word = "member" if len(numbers) == 1 else "members"
    return f"{word} {', '.join(map(str, numbers))}"
