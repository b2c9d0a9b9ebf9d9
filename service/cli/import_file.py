"""`bursar-bridge import`: the bursar XML that came back, line by line, into the ledger."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from service.cli import import_shown, progress
from service.cli.errors import FAILED, complain, operator_errors, settings_or_exit
from service.cli.shown import JsonOption, database, misuse, writing
from service.cli.tables import show
from service.database.ledger_store import LedgerStore
from service.database.pool import ReadOnly, Writes
from service.export.bursar_xml_reader import ImportFile, read_import
from service.export.profile import Profile, Profiles
from service.export.profiles import read_profiles
from service.export.xml_stream import RefusedDocument
from service.imports.job import ImportJob, ImportTopics, Summary
from service.imports.plan import Fate, Planned, Target
from service.messages import parse
from service.problems import OperatorError
from service.settings import Settings
from service.wiring import COMMAND, kafka_access

ASKS_PER_SECOND = 4


@dataclass(frozen=True, slots=True)
class _How:
    """What was asked for besides the file."""

    all_or_nothing: bool
    allow_overpaid: bool
    wait_seconds: int
    as_json: bool

    def forbids(self, summary: Summary) -> bool:
        overpaid = summary.overpays and not self.allow_overpaid
        return self.all_or_nothing and (overpaid or not summary.passes)


def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The bursar XML.")],
    profile: Annotated[str, typer.Option(help="Code of the profile that exported it.")],
    source: Annotated[
        str | None, typer.Option(help="The paying system's code; the profile's if absent.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each line would do; change nothing.")
    ] = False,
    all_or_nothing: Annotated[
        bool,
        typer.Option(
            "--all-or-nothing",
            help="Publish nothing unless every line passes and none pays more than is outstanding.",
        ),
    ] = False,
    allow_overpaid: Annotated[
        bool,
        typer.Option(
            "--allow-overpaid",
            help="With --all-or-nothing: lines may pay more than is outstanding.",
        ),
    ] = False,
    wait_seconds: Annotated[
        int,
        typer.Option(
            min=0, max=86_400, help="Seconds to wait for the running service to decide the lines."
        ),
    ] = 120,
    as_json: JsonOption = False,
) -> None:
    """Import what the bursar says was paid or taken back.

    The same file twice does nothing. A line pays its whole sum: more than is outstanding, because
    it was published as a payment too, becomes a credit if the profile says so (`--dry-run` tells).
    A file without lines imports nothing, and says so. Exit code 1: a line did not pass, or the
    running service has not decided it in time; what it parked has passed and waits.
    """
    if allow_overpaid and not all_or_nothing:
        raise misuse("--allow-overpaid: only with --all-or-nothing")
    settings = settings_or_exit()
    with operator_errors():
        profiles, chosen = _profile(settings, profile)
        how = _How(all_or_nothing, allow_overpaid, wait_seconds, as_json)
        found = _read(file)
        _refuse_another_institutions(found, profiles, chosen)
        run = _Run(settings, chosen, source or chosen.code, found, how)
        passed = asyncio.run(run.dry() if dry_run else run.real())
    if not passed:
        raise typer.Exit(FAILED)


def _profile(settings: Settings, code: str) -> tuple[Profiles, Profile]:
    if settings.profiles_file is None:
        raise OperatorError("BURSAR_PROFILES_FILE: is required to import")
    profiles = read_profiles(settings.profiles_file)
    found = profiles.profile(code)
    if found is None:
        raise misuse("--profile: must be a profile's code")
    return profiles, found


def _refuse_another_institutions(file: ImportFile, profiles: Profiles, chosen: Profile) -> None:
    """Ids are unique per institution: the wrong profile would pay somebody else's fines."""
    known = {one.institution_id for one in profiles.profiles} - {chosen.institution_id}
    if file.institutions & known:
        raise OperatorError(
            "the file is refused as a whole: InstitutionId: is another institution's, "
            "--profile must be one of that institution's profiles"
        )


def _read(file: Path) -> ImportFile:
    try:
        with file.open("rb") as stream:
            return read_import(stream)
    except RefusedDocument as problem:
        raise OperatorError(f"the file is refused as a whole: {problem}") from None


class _Run:
    """One import, with what it shows."""

    def __init__(
        self, settings: Settings, profile: Profile, source: str, file: ImportFile, how: _How
    ) -> None:
        self._settings = settings
        self._profile = profile
        self._source = source
        self._file = file
        self._how = how

    async def dry(self) -> bool:
        as_json = self._how.as_json
        rows = {one.n: import_shown.bad_line(one) for one in self._file.bad}

        def told(planned: Planned) -> None:
            rows[planned.line.n] = import_shown.line(planned)

        async with database(self._settings) as pool:
            job = self._job(ReadOnly(pool))
            target = await self._target(job, register=False)
            summary = await self._check(job, target, told)
        if not self._has_lines:
            complain("the file has no lines: nothing would be imported")
            return True
        show(import_shown.LINES, [rows[n] for n in sorted(rows)], as_json)
        self._show_plan(summary)
        if self._how.forbids(summary):
            complain("nothing would be published")
            return False
        return summary.passes

    async def real(self) -> bool:
        async with writing(self._settings) as guard:
            job = self._job(guard.writer(COMMAND))
            target = await self._target(job, register=False)
            summary = await self._check(job, target, lambda _: None)
            if self._how.forbids(summary):
                self._show_plan(summary)
                complain("nothing was published")
                return False
            self._warn(summary)
            if not self._has_lines:
                complain("the file has no lines: nothing was imported")
                return True
            target = await self._target(job, register=True)
            earlier = await job.outcomes(target)
            before = sum(one.lines for one in earlier)
            with progress.steps() as bars:
                task = bars.add_task("publishing", total=len(self._file.lines))
                sent = await job.publish(target, self._file, lambda n: bars.advance(task, n))
            whole = await self._await(job, target, before + sent)
            became = await job.outcomes(target)
        rows = import_shown.became(became, earlier, summary)
        show(import_shown.BECAME, rows, self._how.as_json)
        if repeats := summary.lines(Fate.REPEAT):
            complain(f"{repeats} of the lines were imported before: they did nothing now")
        return whole and summary.passes

    @property
    def _has_lines(self) -> bool:
        """A batch without lines is a sound document: the bursar reports that nothing was paid."""
        return bool(self._file.lines or self._file.bad)

    async def _await(self, job: ImportJob, target: Target, wanted: int) -> bool:
        with progress.steps() as bars:
            task = bars.add_task("deciding", total=wanted)

            for _ in range(max(1, self._how.wait_seconds * ASKS_PER_SECOND)):
                decided = await job.decided(target)
                bars.update(task, completed=decided)
                if decided >= wanted:
                    return True
                await asyncio.sleep(1 / ASKS_PER_SECOND)
        complain("published, but not decided yet: is the service running? Import again to see.")
        return False

    async def _check(
        self, job: ImportJob, target: Target, each: Callable[[Planned], None]
    ) -> Summary:
        with progress.steps() as bars:
            task = bars.add_task("checking", total=len(self._file.lines))

            def told(planned: Planned) -> None:
                bars.advance(task)
                each(planned)

            return await job.check(target, self._file, told)

    def _job(self, writer: Writes) -> ImportJob:
        prefix = self._settings.topic_prefix
        topics = ImportTopics(
            f"{prefix}bursar-payment.v1", f"{prefix}rejected.v1", self._settings.ce_source
        )
        return ImportJob(writer, LedgerStore(parse), kafka_access(self._settings), topics)

    async def _target(self, job: ImportJob, *, register: bool) -> Target:
        institution_id, code = self._profile.institution_id, self._profile.code
        sha256 = self._file.sha256
        return await job.target(institution_id, self._source, code, sha256, register=register)

    def _show_plan(self, summary: Summary) -> None:
        rows = import_shown.would_be(summary)
        show(import_shown.WOULD_BE, rows, self._how.as_json)
        self._warn(summary)

    def _warn(self, summary: Summary) -> None:
        for one in self._file.bad:
            complain(f"line {one.n}: {one.reason}: {one.detail}")
        for text in import_shown.warnings(summary):
            complain(text)
