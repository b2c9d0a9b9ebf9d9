"""`bursar-bridge restore-check`: is this database older than Kafka, and what was found."""

import asyncio

import orjson
import typer

from ..messages.values import instant
from ..restore import operators
from ..restore.findings import CannotAsk, Finding
from ..restore.operators import PublishedManifest, State, published_manifests
from ..settings import Settings
from ..wiring import new_check
from .errors import FAILED, OLDER, complain, operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, sentence, word
from .shown import (
    database,
    misuse,
    said,
)
from .tables import show, show_json, show_one

FINDINGS = Listing("the check finds nothing now", (word("finding"), sentence("text")))
BILLED = Listing(
    "no batch of that kind",
    (
        identifier("profile"),
        number("batch_number"),
        identifier("export_number"),
        number("count"),
        number("total"),
        word("currency"),
        word("known_here"),
        word("sealed_at"),
    ),
)


def show_check(as_json: bool) -> None:
    settings = settings_or_exit()
    with operator_errors():
        state = asyncio.run(_look(settings))
    _show(state, as_json)


def clear(
    reason: str,
    operator: str | None,
    accept_existing_topics: bool,
    accept_foreign_records: bool,
    as_json: bool,
) -> None:
    if accept_existing_topics and accept_foreign_records:
        raise misuse("name one of --accept-existing-topics, --accept-foreign-records")
    why = said(reason, operator)
    settings = settings_or_exit()
    decide = operators.clear
    if accept_existing_topics:
        decide = operators.accept_existing_topics
    elif accept_foreign_records:
        decide = operators.accept_foreign_records

    async def decided() -> State:
        async with database(settings) as pool:
            return await decide(pool, new_check(settings), why.operator, why.reason)

    with operator_errors():
        state = asyncio.run(decided())
    if state.findings:
        _show(state, as_json)
    elif state.verdict is None and decide is operators.clear:
        typer.echo("there was nothing to clear: the check finds nothing")
    else:
        typer.echo("cleared: the service can start")


def show_billed(unknown: bool, as_json: bool) -> None:
    settings = settings_or_exit()
    with operator_errors():
        found = asyncio.run(_billed(settings))
    chosen = [one for one in found if not (unknown and one.is_known)]
    if as_json:
        show_json([{**batch.manifest, "known_here": batch.is_known} for batch in chosen])
        return
    show(BILLED, [billed_row(batch) for batch in chosen], as_json)


def billed_row(batch: PublishedManifest) -> Row:
    """What the list shows of a manifest; its instant as all lists show instants."""
    row = {column.name: batch.manifest.get(column.name) for column in BILLED.columns}
    sealed_at = instant(row["sealed_at"]) or row["sealed_at"]
    return {**row, "sealed_at": sealed_at, "known_here": batch.is_known}


async def _billed(settings: Settings) -> list[PublishedManifest]:
    topic = f"{settings.topic_prefix}export-manifest.v1"
    access, group = settings, settings.consumer_group
    async with database(settings) as pool, pool.acquire() as connection:
        found = [one async for one in published_manifests(connection, access, group, topic)]
    return sorted(found, key=lambda one: (str(one.manifest.get("profile")), _number(one)))


def _number(one: PublishedManifest) -> int:
    number = one.manifest.get("batch_number")
    return number if isinstance(number, int) else 0


async def _look(settings: Settings) -> State:
    async with database(settings) as pool:
        return await operators.read_state(pool, new_check(settings))


def _show(state: State, as_json: bool) -> None:
    """Ends the command with 3 unless all is well."""
    verdict = state.verdict
    if verdict is not None:
        row: Row = {
            "what": "verdict",
            "finding": verdict.finding,
            "detail": verdict.detail,
            "evidence": orjson.loads(verdict.evidence),
            "found_by": verdict.found_by,
            "found_at": verdict.found_at,
        }
        show_one(row, as_json)
    if state.problem is not None:
        complain(f"not compared with Kafka now: {state.problem}")
    else:
        show(FINDINGS, [_row(finding) for finding in state.findings], as_json)
    if state.is_sound:
        return
    if state.verdict is None and not state.findings:
        raise typer.Exit(FAILED)
    if not state.findings and state.problem is None:
        complain("the verdict stands: `bursar-bridge restore-check clear --reason TEXT` lifts it")
    raise typer.Exit(OLDER)


def _row(finding: Finding) -> Row:
    return {"what": "now", "finding": finding.kind.value, "text": finding.text}


async def finding_of(settings: Settings) -> str | None:
    """The line with which the service would stop now; None: it would start. Raises CannotAsk."""
    state = await _look(settings)
    if state.verdict is not None:
        return state.verdict.detail
    if state.problem is not None:
        raise CannotAsk(state.problem)
    return state.findings[0].message if state.findings else None


async def warn_of_older_database(settings: Settings) -> bool:
    """For commands that only read, and whose result would be misleading without it."""
    try:
        line = await finding_of(settings)
    except CannotAsk as problem:
        complain(f"not compared with Kafka: {problem}")
        return False
    if line is not None:
        complain(line)
    return line is not None
