"""What `bursar-bridge import` prints: with `--dry-run` the outcome that each line would have, else
what became of the lines.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.words import Reason
from ..export.xml.read import BadLine, ImportFile
from ..imports.job import LineGroup, OutcomeTotal, Summary
from ..imports.plan import LineOutcome, PlannedLine
from .errors import FAILED, INCOMPLETE, OK
from .lists import Listing, Row, identifier, number, word
from .texts import money

LINES = Listing(
    "no lines",
    (
        number("line"),
        identifier("bursar_transaction_id"),
        number("amount"),
        word("currency"),
        word("would_be"),
        word("reason"),
        number("credit"),
    ),
)
_SUMS = (number("lines"), number("sum"), word("currency"), number("credit"))
WOULD_BE = Listing("nothing to do", (word("would_be"), word("reason"), *_SUMS))
BECAME = Listing(
    "no line of this file has been decided",
    (word("became"), word("reason"), word("kind"), *_SUMS, number("imported_before")),
)


@dataclass(slots=True)
class Course:
    """How far one import has come. `is_begun` says that some lines of the file may have been
    published.

    `file` is None until the file was read; `published` counts the lines that were sent, `decided`
    those that the service has applied, parked or rejected.
    """

    file: ImportFile | None = None
    is_begun: bool = False
    is_complete: bool = False
    passed: bool = False
    published: int = 0
    decided: int = 0
    summary: Summary = field(default_factory=Summary)

    @property
    def status(self) -> int:
        """The exit code of the command, unless an error ends it with another one."""
        if self.is_begun and not self.is_complete:
            return INCOMPLETE
        return OK if self.is_complete and self.passed else FAILED


def end(course: Course, *, dry_run: bool) -> Row:
    """Returns the row that `--json` prints last: counts of lines, and the sums of the amounts in
    the file.

    `sums` adds amounts up by currency without their sign; lines that cannot be used are left out.
    """
    file, summary = course.file, course.summary
    sums = _by_currency(summary.sums)
    return {
        "complete": course.is_complete,
        "what": "end",
        "dry_run": dry_run,
        "passed": course.is_complete and course.passed,
        "lines": 0 if file is None else len(file.lines) + len(file.bad),
        "published": course.published,
        "decided": course.decided,
        "repeats": summary.lines(LineOutcome.REPEAT),
        "imported_from_another_file": summary.lines(LineOutcome.IMPORTED_FROM_ANOTHER_FILE),
        "not_passed": summary.bad
        + sum(summary.lines(outcome) for outcome in LineOutcome if not outcome.passes),
        "sums": {code: money(minor, code) for code, minor in sorted(sums.items())},
    }


def _by_currency(sums: Mapping[LineGroup, int]) -> Counter[str]:
    total = Counter[str]()
    for (_, _, currency), minor in sums.items():
        total[currency] += minor
    return total


def line_row(planned: PlannedLine) -> Row:
    """Returns the row that `--dry-run` prints for a line: what an import would do with it, and
    why.
    """
    line = planned.line
    return {
        "what": "line",
        "line": line.n,
        "bursar_transaction_id": line.bursar_transaction_id,
        "amount": money(line.amount, line.currency),
        "currency": line.currency,
        "would_be": planned.outcome.value,
        "reason": planned.reason,
        "credit": money(planned.excess or None, line.currency),
    }


def bad_line_row(bad: BadLine) -> Row:
    """Returns the row that `--dry-run` prints for a line that cannot be used: its number in the
    file and the reason, without its amount and id.
    """
    return {
        "what": "line",
        "line": bad.n,
        "bursar_transaction_id": None,
        "amount": None,
        "currency": None,
        "would_be": "bad line",
        "reason": bad.reason,
        "credit": None,
    }


def would_be(summary: Summary) -> list[Row]:
    """Returns the rows that say how many lines an import of the file would apply, park or reject,
    and with what sums.
    """
    return [*_sorts(summary, "would_be"), *_bad(summary, "would_be")]


def became(
    outcomes: Sequence[OutcomeTotal], earlier: Sequence[OutcomeTotal], summary: Summary
) -> list[Row]:
    """Returns the rows that say how many lines of a file the service has applied, parked or
    rejected, and how many lines could not be published.

    `earlier` counts the lines of the same file that had been imported before this command;
    importing them again has no effect.
    """
    before = {_sort(outcome): outcome.lines for outcome in earlier}
    decided: list[Row] = [
        {
            "what": "became",
            "became": outcome.became,
            "reason": outcome.reason,
            "kind": outcome.kind,
            "lines": outcome.lines,
            "imported_before": before.get(_sort(outcome)),
            "sum": money(outcome.total, outcome.currency),
            "currency": outcome.currency,
            "credit": money(outcome.excess or None, outcome.currency),
        }
        for outcome in outcomes
    ]
    unpublished = _sorts(summary, "became", only=Reason.NO_MATCHING_PAYMENT)
    return [*decided, *unpublished, *_bad(summary, "became")]


def _sort(outcome: OutcomeTotal) -> tuple[str, str, str | None, str]:
    return outcome.kind, outcome.became, outcome.reason, outcome.currency


def warnings(summary: Summary) -> Iterator[str]:
    """Yields sentences that warn of things in a file that are allowed and may still be mistakes,
    such as overpaid lines.
    """
    if summary.impossible:
        yield (
            f"{summary.impossible} of the unknown lines have an id that no line can have: its "
            "check digit or its number of digits is wrong. Was the file opened in a spreadsheet?"
        )
    if known := summary.lines(LineOutcome.IMPORTED_FROM_ANOTHER_FILE):
        yield (
            f"{known} of the lines are those of another file that was imported before: the same "
            "payments, they count once"
        )
    if ambiguous := summary.lines(LineOutcome.AMBIGUOUS):
        yield (
            f"{ambiguous} of the lines have the id and the sum of lines that another file has "
            "brought, and could be paid once more: say --known-lines skip if they are the same "
            "payments, --known-lines pay if every repeated line of this file is a further one"
        )
    if not summary.overpays:
        return
    held = summary.lines(LineOutcome.HELD)
    if held:
        yield (
            f"overpaid lines that a person has to decide about: {held} (the profile's overpayment "
            "or its overpayment_max)"
        )
    lines = summary.lines(LineOutcome.OVERPAID) + summary.lines(LineOutcome.NOT_OWED)
    if lines == 0:
        return
    excess = _by_currency(summary.excess)
    sums = ", ".join(
        f"{money(minor, code)} {code}" for code, minor in sorted(excess.items()) if minor
    )
    yield (
        f"overpaid lines: {lines}, of them with nothing outstanding: "
        f"{summary.lines(LineOutcome.NOT_OWED)}; {sums} would become credits. "
        "Were they published as payments too?"
    )


def _sorts(summary: Summary, heading: str, only: Reason | None = None) -> Iterator[Row]:
    ordered = sorted(summary.counts, key=lambda sort: (sort[0], sort[1] or "", sort[2]))
    for sort in ordered:
        outcome, reason, currency = sort
        if only is None or reason is only:
            yield {
                "what": heading,
                heading: outcome.value,
                "reason": reason,
                "lines": summary.counts[sort],
                "sum": money(summary.sums[sort], currency),
                "currency": currency,
                "credit": money(summary.excess[sort] or None, currency),
            }


def _bad(summary: Summary, heading: str) -> Iterator[Row]:
    if summary.bad:
        yield {"what": heading, heading: "bad line", "lines": summary.bad}
