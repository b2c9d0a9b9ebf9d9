"""The work of `bursar-bridge import`: publishes each line of a bursar XML as a payment or a
reversal, and waits until the service has applied or rejected it.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import typer

from ..core.bursar_ids import are_cut
from ..core.words import KnownLines
from ..database.ledger_read import LedgerReader
from ..database.session import ReadOnly, Writes
from ..export.profiles.profile import Profile
from ..export.xml.read import ImportFile, read_import
from ..export.xml.stream import Fault, UnreadableDocument
from ..imports.files import Acceptance, FileKey, PaymentFile
from ..imports.job import ImportJob, ImportTopics, PublishProgress, Summary
from ..imports.plan import LineOutcome, PlannedLine
from ..messages.decode import parse
from ..messages.texts import WHITE_SPACE, identifier_value
from ..messages.values import ID_CHARACTERS_MAX
from ..messages.values import Fault as TextFault
from ..runtime.problems import OperatorError
from ..settings import Settings
from ..wiring import new_outputs
from . import import_shown, progress
from .commands.files import ImportOptions
from .decisions import justification
from .errors import FAILED, OK, complain, settings_or_exit, usage_error
from .lists import Row
from .problems import operator_errors
from .session import database, profiles_named, required_profiles, writing
from .tables import show, show_json

ASKS_PER_SECOND = 4
SIGNALS = (signal.SIGTERM, signal.SIGINT)
ACCEPTED_LINES = {
    KnownLines.REFUSE: None,
    KnownLines.SKIP: "import_known_lines_skipped",
    KnownLines.PAY: "import_known_lines_paid",
}


def import_file(file: Path, profile: str, options: ImportOptions, source: str | None) -> None:
    """Imports a file; with `--dry-run`, only shows what an import of each line would do.

    With `--json`, the last line of the output always says how far the import has come, even after
    an error. Ends the command with exit code 4 if the import has begun, but not all lines were
    published and then applied or rejected.
    """
    if options.allow_overpaid and not options.all_or_nothing:
        raise usage_error("--allow-overpaid: only with --all-or-nothing")
    accepted = _accepted(options)
    settings = settings_or_exit()
    course = import_shown.Course()
    status: int | None = None
    try:
        with operator_errors():
            owner, key, course.file = _file_of(settings, file, profile, source)
            steps = _Import(settings, options, accepted, owner, key, course.file, course)
            asyncio.run(_until_stopped(steps.rehearse() if options.dry_run else steps.run()))
    except typer.Exit as problem:
        status = problem.exit_code
    except (asyncio.CancelledError, KeyboardInterrupt):
        complain("stopped")
        status = FAILED
    if course.is_begun and not course.is_complete:
        complain("the import is not complete: import the same file again, it goes on where it was")
    if status in (None, FAILED):
        status = course.status
    if options.as_json:
        show_json([import_shown.end(course, dry_run=options.dry_run)])
    if status != OK:
        raise typer.Exit(status)


def _accepted(options: ImportOptions) -> Acceptance:
    lines = ACCEPTED_LINES[options.known_lines]
    if not options.accept_source and lines is None:
        if options.reason is not None or options.operator is not None:
            raise usage_error("--reason, --operator: only with --accept-source or --known-lines")
        return Acceptance()
    if options.reason is None:
        raise usage_error(
            "--reason: is required with --accept-source and with --known-lines skip, pay"
        )
    return Acceptance(justification(options.reason, options.operator), options.accept_source, lines)


def _file_of(
    settings: Settings, path: Path, code: str, source: str | None
) -> tuple[Profile, FileKey, ImportFile]:
    """Raises OperatorError, and Exit for options that have no meaning."""
    (profile,) = profiles_named(required_profiles(settings, "import"), [code])
    name = profile.code if source is None else _source(source)
    file = _read(path)
    _raise_for_another_institution(file, profile)
    _raise_for_cut_ids(file)
    return profile, FileKey(profile.institution_id, name, file.sha256), file


def _source(named: str) -> str:
    """The source as an event would name it; blanks around it are checked with known sources."""
    try:
        name = identifier_value("--source", named)
    except TextFault as fault:
        raise usage_error(fault.detail) from None
    if not name.strip(WHITE_SPACE) or len(name) > ID_CHARACTERS_MAX:
        raise usage_error(f"--source: must have 1 to {ID_CHARACTERS_MAX} characters")
    return name


def _raise_for_another_institution(file: ImportFile, profile: Profile) -> None:
    """Ids are unique per institution: those of any other would pay somebody else's fines.

    It does not matter whether the other one has a profile here: the ids of a test system begin at
    the same number.
    """
    if file.institutions - {profile.institution_id}:
        raise OperatorError(
            "the file is refused as a whole: InstitutionId: must be that of the profile's "
            f"institution, {profile.institution_id}, wherever it is named"
        )


def _raise_for_cut_ids(file: ImportFile) -> None:
    if are_cut(line.bursar_transaction_id for line in file.lines):
        raise OperatorError(
            "the file is refused as a whole: bursarTransactionId: all ids of 16 digits end in 0, "
            "as in a spreadsheet, which keeps 15 digits: the payments would be other patrons'"
        )


def _read(file: Path) -> ImportFile:
    try:
        with file.open("rb") as stream:
            return read_import(stream)
    except UnreadableDocument as problem:
        text = f"the file is refused as a whole: {problem}"
        if problem.fault is Fault.TOO_LARGE:
            text = f"{text}: it has {file.stat().st_size} bytes"
        raise OperatorError(text) from None


async def _until_stopped(work: Coroutine[object, object, None]) -> None:
    """A signal cancels the work, so that clients are closed; a second one ends the process."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    # An event loop takes signals in the main thread alone.
    signals = SIGNALS if threading.current_thread() is threading.main_thread() else ()

    def on_signal() -> None:
        for number in signals:
            loop.remove_signal_handler(number)
        task.cancel()

    for number in signals:
        loop.add_signal_handler(number, on_signal)
    await task


@dataclass(frozen=True, slots=True)
class _Import:
    """The steps of one import, or of its rehearsal; `course` keeps how far it has come."""

    _settings: Settings
    _options: ImportOptions
    _accepted: Acceptance
    _profile: Profile
    _key: FileKey
    _file: ImportFile
    _course: import_shown.Course

    async def rehearse(self) -> None:
        """Shows what each line and the whole file would do; changes nothing."""
        rows: dict[int, Row] = {bad.n: import_shown.bad_line_row(bad) for bad in self._file.bad}

        def keep(planned: PlannedLine) -> None:
            rows[planned.line.n] = import_shown.line_row(planned)

        async with database(self._settings) as pool:
            job = self._job(ReadOnly(pool))
            summary = await self._check(job, await self._target(job, register=False), keep)
        self._course.is_complete = True
        if self._is_empty("nothing would be imported"):
            return
        show(import_shown.LINES, [rows[n] for n in sorted(rows)], self._options.as_json)
        self._show_plan(summary)
        if self._forbids(summary):
            complain("nothing would be published")
        else:
            self._course.passed = summary.passes

    async def run(self) -> None:
        """Publishes the lines of the file, and waits until the service has decided them."""
        async with writing(self._settings) as writer:
            job = self._job(writer)
            target = await self._target(job, register=False)
            summary = await self._check(job, target, lambda _: None)
            if self._forbids(summary):
                self._show_plan(summary)
                complain("nothing was published")
                return
            self._warn(summary)
            self._course.is_complete = self._is_empty("nothing was imported")
            if not self._course.is_complete:
                await self._import(job, summary)

    async def _import(self, job: ImportJob, summary: Summary) -> None:
        target = await self._target(job, register=True)
        self._course.is_begun = True
        earlier = await job.outcomes(target)
        self._course.decided = sum(outcome.lines for outcome in earlier)
        await self._publish(job, target)
        is_decided = await self._await(job, target)
        rows = import_shown.became(await job.outcomes(target), earlier, summary)
        show(import_shown.BECAME, rows, self._options.as_json)
        if repeats := summary.lines(LineOutcome.REPEAT):
            complain(f"{repeats} of the lines were imported before: they did nothing now")
        self._course.is_complete = is_decided
        self._course.passed = summary.passes

    async def _publish(self, job: ImportJob, target: PaymentFile) -> None:
        with progress.steps() as bars:
            task = bars.add_task("publishing", total=len(self._file.lines))

            def advanced(step: PublishProgress) -> None:
                self._course.published += step.published
                bars.advance(task, step.lines)

            await job.publish(target, self._file, advanced, self._options.known_lines)

    async def _await(self, job: ImportJob, target: PaymentFile) -> bool:
        """Whether the running service has decided all of it in time."""
        expected = self._course.decided + self._course.published
        with progress.steps() as bars:
            task = bars.add_task("deciding", total=expected)
            for _ in range(max(1, self._options.wait_seconds * ASKS_PER_SECOND)):
                self._course.decided = await job.decided(target)
                bars.update(task, completed=self._course.decided)
                if self._course.decided >= expected:
                    return True
                await asyncio.sleep(1 / ASKS_PER_SECOND)
        complain("published, but not decided yet: is the service running? Import again to see.")
        return False

    def _is_empty(self, consequence: str) -> bool:
        """A batch without lines is a sound document: the bursar reports that nothing was paid."""
        if self._file.lines or self._file.bad:
            return False
        complain(f"the file has no lines: {consequence}")
        self._course.passed = True
        return True

    async def _check(
        self, job: ImportJob, target: PaymentFile, each: Callable[[PlannedLine], None]
    ) -> Summary:
        with progress.steps() as bars:
            task = bars.add_task("checking", total=len(self._file.lines))

            def checked(planned: PlannedLine) -> None:
                bars.advance(task)
                each(planned)

            summary = await job.check(target, self._file, checked, self._options.known_lines)
        self._course.summary = summary
        return summary

    def _job(self, writer: Writes) -> ImportJob:
        payments = f"{self._settings.topic_prefix}bursar-payment.v1"
        topics = ImportTopics(payments, new_outputs(self._settings))
        return ImportJob(writer, LedgerReader(parse), self._settings, topics)

    async def _target(self, job: ImportJob, *, register: bool) -> PaymentFile:
        return await job.file(self._key, self._profile.code, self._accepted, register=register)

    def _show_plan(self, summary: Summary) -> None:
        show(import_shown.WOULD_BE, import_shown.would_be(summary), self._options.as_json)
        self._warn(summary)

    def _warn(self, summary: Summary) -> None:
        for bad in self._file.bad:
            complain(f"line {bad.n}: {bad.reason}: {bad.detail}")
        for text in import_shown.warnings(summary):
            complain(text)

    def _forbids(self, summary: Summary) -> bool:
        """Whether nothing may be published, because of an ambiguous line or `--all-or-nothing`."""
        overpaid = summary.overpays and not self._options.allow_overpaid
        is_partial = overpaid or not summary.passes
        has_ambiguous = summary.lines(LineOutcome.AMBIGUOUS) > 0
        return has_ambiguous or (self._options.all_or_nothing and is_partial)
