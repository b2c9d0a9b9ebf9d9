"""`bursar-bridge import`: the bursar XML that came back, line by line, into the ledger."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from service.cli.errors import FAILED, USAGE, complain, operator_errors, settings_or_exit
from service.core.money import format_minor
from service.database.ledger_store import LedgerStore
from service.database.pool import Pool, create_pool
from service.export.bursar_xml_reader import ImportFile, read_import
from service.export.profile import Profile
from service.export.profiles import read_profiles
from service.export.xml_stream import RefusedDocument
from service.imports.job import ImportJob, ImportTopics, Outcome, Summary
from service.imports.plan import Planned, Target
from service.messages import parse
from service.problems import OperatorError
from service.settings import Settings
from service.wiring import database_limits, kafka_access

ASKS_PER_SECOND = 4


def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The bursar XML.")],
    profile: Annotated[str, typer.Option(help="Code of the profile that exported it.")],
    source: Annotated[
        str | None, typer.Option(help="The paying system; the profile's code unless told.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each line would do; change nothing.")
    ] = False,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Publish nothing unless every line passes.")
    ] = False,
    wait_seconds: Annotated[
        int, typer.Option(min=0, max=86_400, help="How long to wait for the running service.")
    ] = 120,
) -> None:
    """Import what the bursar says was paid or taken back.

    The same file twice does nothing. Exit code 1: a line did not pass, or is not decided yet.
    """
    settings = settings_or_exit()
    with operator_errors():
        chosen = _profile(settings, profile)
        read = _read(file)
        run = _Run(settings, chosen, source or chosen.code, read)
        passed = asyncio.run(
            run.dry() if dry_run else run.real(wait_seconds, all_or_nothing=all_or_nothing)
        )
    if not passed:
        raise typer.Exit(FAILED)


def _profile(settings: Settings, code: str) -> Profile:
    if settings.profiles_file is None:
        raise OperatorError("BURSAR_PROFILES_FILE: is required to import")
    found = read_profiles(settings.profiles_file).profile(code)
    if found is None:
        complain("--profile: must be a profile's code")
        raise typer.Exit(USAGE)
    return found


def _read(file: Path) -> ImportFile:
    try:
        with file.open("rb") as stream:
            return read_import(stream)
    except RefusedDocument as problem:
        raise OperatorError(f"the file is refused as a whole: {problem}") from None


class _Run:
    """One import, with what it shows."""

    def __init__(self, settings: Settings, profile: Profile, source: str, file: ImportFile) -> None:
        self._settings = settings
        self._profile = profile
        self._source = source
        self._file = file
        self._console = Console()

    async def dry(self) -> bool:
        async with await self._pool() as pool:
            job = self._job(pool)
            target = await self._target(job, register=False)
            table = Table("line", "bursar transaction", "amount", "currency", "would be", "reason")
            summary = await self._check(job, target, lambda planned: _row(table, planned))
        self._console.print(table)
        self._tell_bad()
        self._show(summary)
        return summary.passes

    async def real(self, wait_seconds: int, *, all_or_nothing: bool) -> bool:
        async with await self._pool() as pool:
            job = self._job(pool)
            target = await self._target(job, register=False)
            summary = await self._check(job, target, lambda _: None)
            self._tell_bad()
            if all_or_nothing and not summary.passes:
                self._show(summary)
                complain("not every line passes: nothing was published")
                return False
            target = await self._target(job, register=True)
            before = await job.decided(target)
            with self._progress() as progress:
                task = progress.add_task("publishing", total=len(self._file.lines))
                sent = await job.publish(target, self._file, lambda n: progress.advance(task, n))
            whole = await self._await(job, target, before + sent, wait_seconds)
            self._show_outcomes(await job.outcomes(target))
        self._show(summary)
        return whole and summary.passes

    async def _await(self, job: ImportJob, target: Target, wanted: int, seconds: int) -> bool:
        with self._progress() as progress:
            task = progress.add_task("deciding", total=wanted)

            for _ in range(max(1, seconds * ASKS_PER_SECOND)):
                decided = await job.decided(target)
                progress.update(task, completed=decided)
                if decided >= wanted:
                    return True
                await asyncio.sleep(1 / ASKS_PER_SECOND)
        complain("published, but not decided yet: is the service running? Import again to see.")
        return False

    async def _check(
        self, job: ImportJob, target: Target, each: Callable[[Planned], None]
    ) -> Summary:
        with self._progress() as progress:
            task = progress.add_task("checking", total=len(self._file.lines))

            def told(planned: Planned) -> None:
                progress.advance(task)
                each(planned)

            return await job.check(target, self._file, told)

    async def _pool(self) -> Pool:
        url = self._settings.database_url.get_secret_value()
        return await create_pool(url, database_limits(self._settings))

    def _job(self, pool: Pool) -> ImportJob:
        prefix = self._settings.topic_prefix
        topics = ImportTopics(
            f"{prefix}bursar-payment.v1", f"{prefix}rejected.v1", self._settings.ce_source
        )
        return ImportJob(pool, LedgerStore(parse), kafka_access(self._settings), topics)

    async def _target(self, job: ImportJob, *, register: bool) -> Target:
        institution_id, code = self._profile.institution_id, self._profile.code
        sha256 = self._file.sha256
        return await job.target(institution_id, self._source, code, sha256, register=register)

    def _progress(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        return Progress(*columns, console=Console(stderr=True), transient=True)

    def _tell_bad(self) -> None:
        for line in self._file.bad:
            complain(f"line {line.n}: {line.reason}: {line.detail}")

    def _show(self, summary: Summary) -> None:
        table = Table("would be" if summary.counts else "nothing to do", "lines", "sum", "currency")
        for (fate, currency), amount in sorted(summary.sums.items()):
            count = str(summary.counts[(fate, currency)])
            table.add_row(fate, count, format_minor(amount, currency), currency)
        for reason, lines in sorted(summary.reasons.items()):
            table.add_row(f"  {reason}", str(lines), "", "")
        if summary.bad:
            table.add_row("bad lines", str(summary.bad), "", "")
        self._console.print(table)

    def _show_outcomes(self, outcomes: list[Outcome]) -> None:
        table = Table("became", "kind", "lines", "sum", "currency")
        for one in outcomes:
            state = "overpaid" if one.overpaid else one.state
            became = f"{state}: {one.reason}" if one.reason else state
            total = format_minor(one.total, one.currency)
            table.add_row(became, one.kind, str(one.lines), total, one.currency)
        self._console.print(table)


def _row(table: Table, planned: Planned) -> None:
    line = planned.line
    amount = format_minor(line.amount, line.currency)
    table.add_row(
        str(line.n),
        line.bursar_transaction_id,
        amount,
        line.currency,
        planned.fate,
        planned.reason or "",
    )
