"""The work of `bursar-bridge recover`: makes a database that was restored from a backup continue
where the lost one had stopped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
from rich.progress import TaskID

from ..database.session import Connection
from ..operations.adopted_lines import LineFilter, WaitingLine, waiting_lines
from ..restore.recovered import Recovered, recovered
from ..restore.recovery import Recovery
from ..restore.survey import Advance, Plan, Step
from ..settings import Settings
from ..wiring import new_outputs, scope_of
from . import progress
from .decisions import confirm, justification
from .errors import settings_or_exit
from .lists import Listing, Row, identifier, number
from .problems import operator_errors
from .recovered import LINES, line_row
from .recovery_lists import ACCOUNTS, BATCHES, DECISIONS, account_row, batch_row, decision_row
from .session import database
from .tables import show, show_json
from .texts import counted

ROWS_MAX = 20
INPUTS = Listing(
    "the inputs are read as far as before",
    (identifier("topic"), number("partition"), number("goes_on_at"), number("read_up_to")),
)
NEXT = (
    "first pause again the profiles that were paused since the backup (`bursar-bridge recovered "
    "decisions`, `bursar-bridge export pause`); then start one instance with `bursar-bridge run`: "
    "it reads its input again, and exports nothing until it has; then look at `bursar-bridge "
    "recovered accounts` and `recovered decisions`"
)

R = TypeVar("R")
Shown = tuple[Recovered, list[WaitingLine], list[Row]]


def recover(*, dry_run: bool, yes: bool, operator: str | None, as_json: bool) -> None:
    """Shows what the recovery would do; unless `dry_run` is set, asks the operator for a
    confirmation and recovers the database.
    """
    who = justification("recover", operator).operator
    settings = settings_or_exit()

    async def preview(recovery: Recovery) -> Shown:
        async def report(connection: Connection, epoch: int, plan: Plan) -> Shown:
            return *await _outcome(connection, epoch), _inputs(plan)

        return await recovery.preview(report)

    async def run(recovery: Recovery) -> Shown:
        epoch = await recovery.run()
        async with recovery.pool.acquire() as connection:
            return *await _outcome(connection, epoch), []

    with operator_errors():
        if dry_run or not yes:
            _show(_with_recovery(settings, who, preview), as_json, is_done=False)
        if dry_run:
            return
        confirm("Recover this database?", yes=yes)
        done = _with_recovery(settings, who, run)
    if yes:
        _show(done, as_json, is_done=True)
    if not as_json:
        typer.echo(f"recovered, epoch {done[0].epoch}: {NEXT}")


async def _outcome(connection: Connection, epoch: int) -> tuple[Recovered, list[WaitingLine]]:
    """What the recovery of an epoch has adopted, and the lines of all recoveries that wait."""
    return await recovered(connection, epoch), await waiting_lines(connection, LineFilter())


def _with_recovery(
    settings: Settings, operator: str, work: Callable[[Recovery], Awaitable[R]]
) -> R:
    async def recovering() -> R:
        async with database(settings) as pool:
            with _bars() as advance:
                scope, outputs = scope_of(settings), new_outputs(settings)
                return await work(Recovery(pool, settings, scope, outputs, operator, advance))

    return asyncio.run(recovering())


@contextmanager
def _bars() -> Iterator[Advance]:
    """A bar for each step of the recovery."""
    with progress.steps() as bars:
        tasks: dict[str, TaskID] = {}

        def advance(step: Step) -> None:
            if step.name not in tasks:
                tasks[step.name] = bars.add_task(step.name)
            bars.update(tasks[step.name], completed=step.done, total=step.total)

        yield advance


def _inputs(plan: Plan) -> list[Row]:
    """The partitions that have to be read again."""
    inputs = plan.inputs
    return [
        {
            "topic": at.topic,
            "partition": at.partition,
            "goes_on_at": inputs.next_offsets[at],
            "read_up_to": mark,
        }
        for at, mark in sorted(inputs.marks.items())
        if mark > inputs.next_offsets[at]
    ]


def _show(shown: Shown, as_json: bool, *, is_done: bool) -> None:
    done, waiting, inputs = shown
    sections: list[tuple[str, str, Listing, list[Row]]] = [
        ("batch", "batches to adopt", BATCHES, [batch_row(row) for row in done.batches]),
        ("line", "lines that wait for their fines", LINES, list(map(line_row, waiting))),
        ("account", "accounts known better", ACCOUNTS, [account_row(row) for row in done.accounts]),
        ("decision", "decisions to repeat", DECISIONS, list(map(decision_row, done.decisions))),
        ("input", "inputs to read again", INPUTS, inputs),
    ]
    if as_json:
        _show_summary(done, is_done=is_done)
    for what, title, listing, rows in sections:
        if as_json:
            show(listing, [{"what": what, **row} for row in rows], as_json)
        elif rows:
            typer.echo(f"{title}: {len(rows)}" + _first(len(rows)))
            show(listing, rows[:ROWS_MAX], as_json)
    if done.erasures and not as_json:
        typer.echo(erasures_in_words(done.erasures))


def erasures_in_words(erasures: int) -> str:
    """Returns a sentence that tells the operator to repeat the erasures of personal data that were
    made after the backup.
    """
    have = "has" if erasures == 1 else "have"
    what = counted(erasures, "erasure")
    return f"{what} of personal data {have} to be asked for again: `bursar-bridge erase`"


def _first(rows: int) -> str:
    return f", of which the first {ROWS_MAX} (all with --json)" if rows > ROWS_MAX else ""


def _show_summary(done: Recovered, *, is_done: bool) -> None:
    row: Row = {
        "what": "recovery",
        "epoch": done.epoch,
        "state": done.state if is_done else "dry run",
        "erasures": done.erasures,
    }
    show_json([row])
