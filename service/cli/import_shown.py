"""What an import shows: each line's fate, what the file would do, what became of it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from service.cli.lists import Listing, Row, identifier, number, word
from service.cli.shown import money
from service.core.words import Reason
from service.export.bursar_xml_reader import BadLine
from service.imports.job import Outcome, Summary
from service.imports.plan import Fate, Planned

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
    "nothing is decided yet",
    (word("became"), word("reason"), word("kind"), *_SUMS, number("imported_before")),
)


def line(planned: Planned) -> Row:
    own = planned.line
    return {
        "what": "line",
        "line": own.n,
        "bursar_transaction_id": own.bursar_transaction_id,
        "amount": money(own.amount, own.currency),
        "currency": own.currency,
        "would_be": planned.fate.value,
        "reason": planned.reason,
        "credit": money(planned.excess or None, own.currency),
    }


def bad_line(bad: BadLine) -> Row:
    """Beside the others: of what it says nothing is usable."""
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
    """What a file would do, before it does."""
    return [*_sorts(summary, "would_be"), *_bad(summary, "would_be")]


def became(outcomes: Sequence[Outcome], earlier: Sequence[Outcome], summary: Summary) -> list[Row]:
    """What the ledger made of a file, and what of it could not be published.

    `earlier`: what it had made of the file before this import; that did nothing now.
    """
    before = {_sort(one): one.lines for one in earlier}
    decided: list[Row] = [
        {
            "what": "became",
            "became": one.became,
            "reason": one.reason,
            "kind": one.kind,
            "lines": one.lines,
            "imported_before": before.get(_sort(one)),
            "sum": money(one.total, one.currency),
            "currency": one.currency,
            "credit": money(one.excess or None, one.currency),
        }
        for one in outcomes
    ]
    unpublished = _sorts(summary, "became", only=Reason.NO_MATCHING_PAYMENT)
    return [*decided, *unpublished, *_bad(summary, "became")]


def _sort(one: Outcome) -> tuple[str, str, str | None, str]:
    return one.kind, one.became, one.reason, one.currency


def warnings(summary: Summary) -> Iterator[str]:
    """In words, what is allowed and may yet be a mistake."""
    if not summary.overpays:
        return
    lines = summary.lines(Fate.OVERPAID) + summary.lines(Fate.NOT_OWED)
    excess = Counter[str]()
    for (_, _, currency), minor in summary.excess.items():
        excess[currency] += minor
    sums = ", ".join(
        f"{money(minor, code)} {code}" for code, minor in sorted(excess.items()) if minor
    )
    yield (
        f"overpaid lines: {lines}, of them with nothing outstanding: "
        f"{summary.lines(Fate.NOT_OWED)}; {sums} would become credits. "
        "Were they published as payments too?"
    )


def _sorts(summary: Summary, heading: str, only: Reason | None = None) -> Iterator[Row]:
    ordered = sorted(summary.counts, key=lambda sort: (sort[0], sort[1] or "", sort[2]))
    for sort in ordered:
        fate, reason, currency = sort
        if only is None or reason is only:
            yield {
                "what": heading,
                heading: fate.value,
                "reason": reason,
                "lines": summary.counts[sort],
                "sum": money(summary.sums[sort], currency),
                "currency": currency,
                "credit": money(summary.excess[sort] or None, currency),
            }


def _bad(summary: Summary, heading: str) -> Iterator[Row]:
    if summary.bad:
        yield {"what": heading, heading: "bad line", "lines": summary.bad}
