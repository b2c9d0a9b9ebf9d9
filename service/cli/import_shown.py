"""What an import shows: each line's fate, what the file would do, what became of it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from service.cli.shown import Row, money
from service.core.words import Reason
from service.export.bursar_xml_reader import BadLine
from service.imports.job import Outcome, Summary
from service.imports.plan import Fate, Planned


def line(planned: Planned, as_json: bool) -> Row:
    own = planned.line
    return {
        **_what("line", as_json),
        "line": own.n,
        "bursar_transaction_id": own.bursar_transaction_id,
        "amount": money(own.amount, own.currency),
        "currency": own.currency,
        "would_be": planned.fate.value,
        "reason": planned.reason,
        "credit": money(planned.excess or None, own.currency),
    }


def bad_line(bad: BadLine, as_json: bool) -> Row:
    """Beside the others: of what it says nothing is usable."""
    return {
        **_what("line", as_json),
        "line": bad.n,
        "bursar_transaction_id": None,
        "amount": None,
        "currency": None,
        "would_be": "bad line",
        "reason": bad.reason,
        "credit": None,
    }


def would_be(summary: Summary, as_json: bool) -> list[Row]:
    """What a file would do, before it does."""
    return [*_sorts(summary, "would_be", as_json), *_bad(summary, "would_be", as_json)]


def became(
    outcomes: Sequence[Outcome], earlier: Sequence[Outcome], summary: Summary, as_json: bool
) -> list[Row]:
    """What the ledger made of a file, and what of it could not be published.

    `earlier`: what it had made of the file before this import; that did nothing now.
    """
    before = {_sort(one): one.lines for one in earlier}
    decided: list[Row] = [
        {
            **_what("became", as_json),
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
    unpublished = _sorts(summary, "became", as_json, only=Reason.NO_MATCHING_PAYMENT)
    return [*decided, *unpublished, *_bad(summary, "became", as_json)]


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


def _sorts(
    summary: Summary, heading: str, as_json: bool, only: Reason | None = None
) -> Iterator[Row]:
    ordered = sorted(summary.counts, key=lambda sort: (sort[0], sort[1] or "", sort[2]))
    for sort in ordered:
        fate, reason, currency = sort
        if only is None or reason is only:
            yield {
                **_what(heading, as_json),
                heading: fate.value,
                "reason": reason,
                "lines": summary.counts[sort],
                "sum": money(summary.sums[sort], currency),
                "currency": currency,
                "credit": money(summary.excess[sort] or None, currency),
            }


def _bad(summary: Summary, heading: str, as_json: bool) -> Iterator[Row]:
    if summary.bad:
        yield {**_what(heading, as_json), heading: "bad line", "lines": summary.bad}


def _what(name: str, as_json: bool) -> Row:
    """Programs tell the rows apart by it."""
    return {"what": name} if as_json else {}
