"""The work of `bursar-bridge restore-check`: shows whether the database is older than the records
in Kafka, and carries out operators' decisions about it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

import orjson
import typer

from ..database.session import Connection, Pool
from ..messages.values import instant
from ..restore import operators
from ..restore.findings import CannotAsk, Finding, FindingKind
from ..settings import Settings
from ..wiring import new_check, new_outputs
from .commands.options import DecisionOptions
from .decisions import justification
from .errors import FAILED, OLDER, complain, settings_or_exit, usage_error
from .lists import Listing, Row, identifier, number, sentence, word
from .problems import operator_errors
from .session import database, read_database
from .tables import show, show_card, show_json

FINDINGS = Listing("the check finds nothing now", (word("finding"), sentence("text")))
BILLED = Listing(
    "no batch was published",
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
    kind="batch",
)


def show_check(as_json: bool) -> None:
    """Shows the stored verdict that keeps the service from writing, if there is one, and what the
    restore check finds now.
    """
    _show(_state(lambda pool, settings: operators.read_state(pool, new_check(settings))), as_json)


def _state(question: Callable[[Pool, Settings], Awaitable[operators.State]]) -> operators.State:
    settings = settings_or_exit()

    async def answer() -> operators.State:
        async with database(settings) as pool:
            return await question(pool, settings)

    with operator_errors():
        return asyncio.run(answer())


def clear(
    decision: DecisionOptions, accept_existing_topics: bool, accept_foreign_records: bool
) -> None:
    """Removes the verdict that keeps the service from writing, unless the restore check still finds
    something wrong.
    """
    if accept_existing_topics and accept_foreign_records:
        raise usage_error("name one of --accept-existing-topics, --accept-foreign-records")
    why = justification(decision.reason, decision.operator)
    decide = (
        operators.accept_existing_topics
        if accept_existing_topics
        else operators.accept_foreign_records
        if accept_foreign_records
        else operators.clear
    )

    async def decided(pool: Pool, settings: Settings) -> operators.State:
        check, outputs = new_check(settings), new_outputs(settings)
        return await decide(pool, check, outputs, why.operator, why.reason)

    state = _state(decided)
    if state.findings:
        _show_findings(state, decision.as_json)
        is_new = decide is operators.accept_existing_topics
        complain(f"not cleared: {way_out(state.findings, is_new=is_new)}")
        raise typer.Exit(OLDER)
    if state.verdict is None and decide is operators.clear:
        typer.echo("there was nothing to clear: the check finds nothing")
    else:
        typer.echo("cleared: the service can start")


def accept_move(decision: DecisionOptions) -> None:
    """Stores that the database belongs to the Kafka cluster and the topic prefix that the settings
    name now.
    """
    settings = settings_or_exit()
    why = justification(decision.reason, decision.operator)

    async def moved() -> operators.Move:
        async with database(settings) as pool:
            check, outputs = new_check(settings), new_outputs(settings)
            return await operators.accept_move(pool, check, outputs, why.operator, why.reason)

    with operator_errors():
        move = asyncio.run(moved())
    if decision.as_json:
        homes = {"before": asdict(move.before), "after": asdict(move.after)}
        show_json([{"moved": move.before != move.after, **homes}])
    elif move.before == move.after:
        typer.echo(f"there was nothing to accept: this database belongs to {move.after}")
    else:
        typer.echo(f"accepted: this database belongs to {move.after}")


def show_billed(unknown: bool, as_json: bool) -> None:
    """Lists the manifests that are in Kafka; with `unknown`, only those of batches that this
    database does not know.
    """
    settings = settings_or_exit()
    topic = f"{settings.topic_prefix}export-manifest.v1"
    group = settings.consumer_group

    async def manifests(connection: Connection) -> list[operators.PublishedManifest]:
        published = operators.published_manifests(connection, settings, group, topic)
        return [manifest async for manifest in published if not (unknown and manifest.is_known)]

    batches = sorted(read_database(manifests), key=_place)
    if as_json:
        show_json([{**batch.manifest, "known_here": batch.is_known} for batch in batches])
    else:
        show(BILLED, [billed_row(batch) for batch in batches], as_json)


def _place(batch: operators.PublishedManifest) -> tuple[str, int]:
    number = batch.manifest.get("batch_number")
    return str(batch.manifest.get("profile")), number if isinstance(number, int) else 0


def billed_row(batch: operators.PublishedManifest) -> Row:
    """Returns the row that `restore-check billed` prints for a manifest."""
    row = {column.name: batch.manifest.get(column.name) for column in BILLED.columns}
    sealed_at = instant(row["sealed_at"]) or row["sealed_at"]
    return {**row, "sealed_at": sealed_at, "known_here": batch.is_known}


def way_out(findings: Sequence[Finding], *, is_new: bool = False) -> str:
    """Returns a sentence that tells the operator what to do about findings of the restore check.
    `is_new` says that the database is new, so that there is nothing to recover.
    """
    kinds = {finding.kind for finding in findings}
    if FindingKind.OTHER_KAFKA in kinds:
        return "correct the settings, or say that the topics have moved, as the finding says"
    if is_new:
        return "set BURSAR_CONSUMER_GROUP to a group that has not read the input topics"
    if FindingKind.UNREADABLE in kinds:
        return "give the service the right that the finding names"
    if FindingKind.RECOVERY_INTERRUPTED in kinds:
        return "`bursar-bridge recover` goes on with the recovery"
    if kinds == {FindingKind.FOREIGN_RECORD}:
        clear = "bursar-bridge restore-check clear --accept-foreign-records --reason TEXT"
        return f"stop the program that wrote the records; then `{clear}` passes over them"
    return (
        "`bursar-bridge recover --dry-run` shows how this database would be made to go on; for "
        'other ways out see the runbook, "An older database"'
    )


def _show_findings(state: operators.State, as_json: bool) -> None:
    """Shows the verdict, and what the check finds now or why it cannot be asked."""
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
        show_card(row, as_json)
    if state.problem is not None:
        complain(f"not compared with Kafka now: {state.problem}")
    else:
        rows: list[Row] = [
            {"what": "now", "finding": finding.kind.value, "text": finding.text}
            for finding in state.findings
        ]
        show(FINDINGS, rows, as_json)


def _show(state: operators.State, as_json: bool) -> None:
    """Ends the command with 3 unless all is well, and says what to do."""
    _show_findings(state, as_json)
    if state.is_sound:
        return
    if state.findings:
        complain(way_out(state.findings))
    if state.verdict is None and not state.findings:
        raise typer.Exit(FAILED)
    if not state.findings and state.problem is None:
        complain("the verdict stands: `bursar-bridge restore-check clear --reason TEXT` lifts it")
    raise typer.Exit(OLDER)


@dataclass(frozen=True, slots=True)
class Stop:
    """The message with which the service would stop if it were started now.

    `is_elsewhere` says that the settings name another Kafka cluster or topic prefix than the one to
    which the database belongs.
    """

    message: str
    is_elsewhere: bool


async def stop_of(settings: Settings, pool: Pool) -> Stop | None:
    """Returns why the service would stop if it were started now; None if it would run. Raises
    CannotAsk.
    """
    state = await operators.read_state(pool, new_check(settings))
    elsewhere = [each for each in state.findings if each.kind is FindingKind.OTHER_KAFKA]
    if elsewhere:
        return Stop(elsewhere[0].message, is_elsewhere=True)
    if state.verdict is not None:
        return Stop(state.verdict.detail, is_elsewhere=False)
    if state.problem is not None:
        raise CannotAsk(state.problem)
    return Stop(state.findings[0].message, is_elsewhere=False) if state.findings else None


async def warn_of_older_database(settings: Settings, pool: Pool) -> bool:
    """Returns whether the database is older than the records in Kafka; prints a warning if it is,
    or if Kafka cannot be asked.

    Commands that only read use this function, because without the warning their result could
    mislead the operator.
    """
    try:
        stop = await stop_of(settings, pool)
    except CannotAsk as problem:
        complain(f"not compared with Kafka: {problem}")
        return False
    if stop is not None:
        complain(stop.message)
    return stop is not None
