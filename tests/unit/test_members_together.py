"""What the reports of several members say together: the checks, and the sums of their metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder

from service.runtime.readiness import Finding
from service.runtime.telemetry import Metrics
from service.supervisor.reports import Report, merged_findings
from service.supervisor.sums import OF_PARENT, WAYS_OF_GAUGES, Sums, Way

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(bursar_\w+)` \| gauge \|(.*)$", re.MULTILINE)


def report(**problems: str | None) -> Report:
    """`stopped_topics` is advisory."""
    return Report(
        tuple(
            Finding(check, problem, check == "stopped_topics")
            for check, problem in problems.items()
        ),
        "",
    )


def test_a_report_arrives_as_it_was_sent() -> None:
    sent = Report(
        (Finding("database", None), Finding("stopped_topics", "Zeile\n2 „ä“", is_advisory=True)),
        '# TYPE a gauge\na{b="c\\n"} 1.0\n',
    )
    row = sent.encode()
    assert row.count(b"\n") == 1
    assert row.endswith(b"\n")
    assert Report.decode(row) == sent


@pytest.mark.parametrize(
    ("reports", "missing", "merged"),
    [
        pytest.param({}, {}, {"members": None}, id="nobody_yet"),
        pytest.param(
            {1: report(kafka=None), 2: report(kafka=None)},
            {},
            {"members": None, "kafka": None},
            id="all_pass",
        ),
        pytest.param(
            {1: report(kafka=None), 2: report(kafka="silent")},
            {},
            {"members": None, "kafka": "member 2: silent"},
            id="a_member_fails",
        ),
        pytest.param(
            {1: report(kafka="silent"), 2: report(kafka="silent"), 3: report(kafka="slow")},
            {},
            {"members": None, "kafka": "members 1, 2: silent; member 3: slow"},
            id="the_same_problem_is_said_once",
        ),
        pytest.param(
            {1: report(kafka=None), 2: report(started="waits for the database")},
            {},
            {"members": None, "kafka": None, "started": "member 2: waits for the database"},
            id="a_check_that_not_all_have",
        ),
        pytest.param(
            {1: report(kafka=None)},
            {3: "hung, starts in 2 s", 2: "is starting"},
            {"members": "member 2 is starting; member 3 hung, starts in 2 s", "kafka": None},
            id="members_are_missing",
        ),
    ],
)
def test_a_check_passes_if_it_passes_in_all_members(
    reports: Mapping[int, Report], missing: Mapping[int, str], merged: dict[str, str | None]
) -> None:
    findings = merged_findings(reports, missing)
    assert {finding.check: finding.problem for finding in findings} == merged
    assert next(finding.check for finding in findings) == "members"


def test_an_advisory_check_stays_advisory() -> None:
    findings = merged_findings({1: report(stopped_topics="x"), 2: report(stopped_topics=None)}, {})
    assert [finding.allows_work for finding in findings] == [True, True]
    assert findings[1].problem == "member 1: x"


def shown(sums: Sums) -> dict[tuple[str, str], object]:
    """Value by name and labels."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in sums.families()
        for sample in family.samples
    }


def member(polls: int, parked: int, assigned: int, poll_size: int) -> str:
    metrics = Metrics()
    metrics.polls.labels("applied").inc(polls)
    for _ in range(polls):
        metrics.poll_records.observe(7)
    metrics.parked.labels("export").set(parked)
    metrics.partitions.set(assigned)
    metrics.poll_size.set(poll_size)
    metrics.up.set(1)
    return generate_latest(metrics.registry).decode()


def test_counters_are_summed_and_gauges_as_the_page_says() -> None:
    sums = Sums()
    sums.add(member(polls=3, parked=5, assigned=7, poll_size=2_000))
    sums.add(member(polls=4, parked=4, assigned=6, poll_size=500))
    result = shown(sums)
    assert result["bursar_polls_total", "applied"] == 7
    assert result["bursar_poll_records_count", ""] == 7
    assert result["bursar_poll_records_sum", ""] == 49
    assert result["bursar_poll_records_bucket", "5.0"] == 0
    assert result["bursar_poll_records_bucket", "10.0"] == 7
    assert result["bursar_parked", "export"] == 5
    assert result["bursar_partitions_assigned", ""] == 13
    assert result["bursar_poll_size", ""] == 500
    assert not {name for name, _ in result} & {"bursar_ready", "bursar_polls_created"}


def test_what_a_member_has_counted_stays_when_it_has_ended_and_its_gauges_go() -> None:
    ended = Sums()
    ended.add(member(polls=3, parked=5, assigned=7, poll_size=2_000), has_ended=True)
    together = ended.copy()
    together.add(member(polls=1, parked=1, assigned=13, poll_size=2_000))
    result = shown(together)
    assert result["bursar_polls_total", "applied"] == 4
    assert result["bursar_poll_records_count", ""] == 4
    assert (result["bursar_parked", "export"], result["bursar_partitions_assigned", ""]) == (1, 13)
    assert shown(ended)["bursar_polls_total", "applied"] == 3, "the copy is another one"
    assert ("bursar_parked", "export") not in shown(ended)


class Shown:
    """For the encoders of the client library."""

    def __init__(self, sums: Sums) -> None:
        self.collect = sums.families


def test_the_sums_of_one_member_are_what_it_shows_itself() -> None:
    text = member(polls=3, parked=5, assigned=7, poll_size=2_000)
    sums = Sums()
    sums.add(text)
    rows = generate_latest(Shown(sums)).decode().splitlines()
    assert rows == [
        row
        for row in text.splitlines()
        if not re.search(r"_created\b|bursar_(ready|check|mem)", row)
    ]


def test_the_sums_can_be_read_as_open_metrics() -> None:
    sums = Sums()
    sums.add(member(polls=3, parked=5, assigned=7, poll_size=2_000))
    generate, _ = choose_encoder("application/openmetrics-text")
    rows = generate(Shown(sums)).decode().splitlines()
    assert rows[-1] == "# EOF"
    types = {row for row in rows if row.startswith("# TYPE")}
    assert {
        "# TYPE bursar_polls counter",
        "# TYPE bursar_poll_records histogram",
        "# TYPE bursar_parked gauge",
    } <= types


def test_gauges_of_the_database_have_the_maximum() -> None:
    """They are the same in every member: a sum would say them twice."""
    rows = dict(ROW.findall(PAGE.read_text("utf-8")))
    of_database = {name for name, text in rows.items() if "*database*" in text}
    assert len(of_database) > 10
    assert of_database & (WAYS_OF_GAUGES.keys() | OF_PARENT) == set()
    assert WAYS_OF_GAUGES.keys() <= rows.keys()


def test_what_members_read_for_themselves_is_summed() -> None:
    """Each partition is read by a single member."""
    rows = dict(ROW.findall(PAGE.read_text("utf-8")))
    read_here = {
        name for name, text in rows.items() if re.search(r"partitions? .*read here \|", text)
    }
    assert len(read_here) >= 3
    assert read_here <= {name for name, way in WAYS_OF_GAUGES.items() if way is Way.SUM}
