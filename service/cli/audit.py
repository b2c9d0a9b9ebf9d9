"""The work of `bursar-bridge audit`: compares records in the output topics with the database."""

import asyncio

import typer

from ..operations.audit import audit
from ..operations.audit_findings import REMEDIES, Audited, AuditFinding, Kind, TopicTotal
from ..settings import Settings
from . import progress
from .errors import FAILED, OLDER, complain, settings_or_exit
from .lists import Listing, Row, identifier, number, sentence, word
from .problems import operator_errors
from .restore_check import warn_of_older_database
from .session import database
from .tables import show

TOPICS = Listing(
    "there are no output topics",
    (
        word("contract"),
        number("published"),
        number("waiting"),
        number("recorded"),
        word("searched_after"),
    ),
)
FINDINGS = Listing(
    "no differences",
    (
        word("finding"),
        word("contract"),
        identifier("record"),
        identifier("place"),
        sentence("members"),
    ),
)


def audit_published(limit: int, as_json: bool) -> None:
    """Shows for each output topic how many records were compared, and at most `limit` differences
    between Kafka and the database.

    Ends the command with exit code 3 if the database is older than Kafka, else with 1 if anything
    differs.
    """
    settings = settings_or_exit()
    with operator_errors():
        report, is_older = asyncio.run(_audited(settings, limit))
    show(TOPICS, [_topic(total) for total in report.topics], as_json)
    if report.findings or not as_json:
        show(FINDINGS, [_finding(finding) for finding in report.findings], as_json)
    for kind in Kind:
        if any(finding.kind is kind for finding in report.findings):
            complain(f"{kind}: {REMEDIES[kind]}")
    if report.is_cut:
        complain(f"there are more differences than told: --limit {limit}")
    if is_older:
        raise typer.Exit(OLDER)
    if not report.agrees:
        raise typer.Exit(FAILED)


async def _audited(settings: Settings, limit: int) -> tuple[Audited, bool]:
    async with database(settings) as pool:
        with progress.steps() as bars:
            tasks = {}

            def show_progress(contract: str, done: int, records: int) -> None:
                if contract not in tasks:
                    tasks[contract] = bars.add_task(contract, total=records)
                bars.update(tasks[contract], completed=done, total=max(done, records))

            report = await audit(pool, settings, settings.consumer_group, limit, show_progress)
        return report, await warn_of_older_database(settings, pool)


def _topic(total: TopicTotal) -> Row:
    return {
        "what": "topic",
        "contract": total.contract,
        "published": total.published,
        "waiting": total.waiting,
        "recorded": total.recorded,
        "searched_after": total.searched_after,
    }


def _finding(finding: AuditFinding) -> Row:
    """A difference: the identity of the record, and its topic, partition and offset."""
    return {
        "what": "difference",
        "finding": finding.kind.value,
        "contract": finding.contract,
        "record": "/".join(map(str, finding.key)) or None,
        "place": None if finding.place is None else "/".join(map(str, finding.place)),
        "members": ", ".join(finding.members) or None,
    }
