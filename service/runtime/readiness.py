"""Repeats the readiness checks all the time, shows their results as metrics, and logs when a result
changes.

An operator therefore learns of a failure even if no probe asks for readiness, and a log line says
when the failure is over.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from .problems import summary
from .telemetry import Event, Metrics, get_log

log = get_log(__name__)

CHECK_SECONDS_MAX = 3  # a check that has not answered by then has failed
PROBE_WAIT_MS = 200  # a probe gets its answer after that, also while a check hangs
NO_ANSWER_YET = "no answer yet"
KEPT_MS = 500  # probes from many sides must not become queries of as many
WATCH_SECONDS = 2

# Returns, or resolves to, what is wrong, in words without values; None: the check passes.
Ask = Callable[[], Awaitable[str | None] | str | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one readiness check; `problem` is None if the check passes."""

    check: str
    problem: str | None
    is_advisory: bool = False

    @property
    def ok(self) -> bool:
        """Whether the check passes."""
        return self.problem is None

    @property
    def allows_work(self) -> bool:
        """Whether this result allows the process to be ready: the check passes, or is only
        advisory.
        """
        return self.ok or self.is_advisory


@dataclass(frozen=True, slots=True)
class Reporting:
    """How the failures of a check are logged.

    A failure that is shorter than `patience_seconds` is not logged; with None no failure of the
    check is logged. While one of the checks that `needs` names fails, a failure of this check has
    the same cause and is not logged. With `each_problem`, a problem with another text counts as
    another failure. A check with `is_advisory` is shown and logged like the others, but the process
    stays ready while it fails. `failed` and `passed` are the log events for the beginning and the
    end of a failure.
    """

    patience_seconds: int | None = 0
    needs: tuple[str, ...] = ()
    each_problem: bool = False
    is_advisory: bool = False
    failed: Event = Event.CHECK_FAILED
    passed: Event = Event.CHECK_PASSED


Others = Callable[[], Iterable[Finding]]
AT_ONCE = Reporting()
SILENT = Reporting(patience_seconds=None)


def none() -> Iterable[Finding]:
    """Returns no findings; this is the default if there are no other processes."""
    return ()


def monotonic_seconds() -> int:
    """A clock that only goes forward, in seconds."""
    return monotonic_ms() // 1_000


def monotonic_ms() -> int:
    """A clock that only goes forward, in milliseconds."""
    return time.monotonic_ns() // 1_000_000


class Check:
    """One readiness check: the function that makes it, and which of its failures was logged
    last.
    """

    def __init__(self, name: str, ask: Ask, reporting: Reporting) -> None:
        self.name = name
        self.reporting = reporting
        self._ask = ask
        self._task: asyncio.Task[str | None] | None = None
        self._asked_at_ms = 0
        self._problem: str | None = NO_ANSWER_YET
        self._failing_since: int | None = None
        self._reported: str | None = None
        self._reported_since = 0

    async def finding(self) -> Finding:
        """Returns the result of the check; if the check takes longer than `PROBE_WAIT_MS`, returns
        its previous result instead.

        A check that takes longer continues and is not started a second time, because each probe
        would otherwise occupy one more connection to a database that hangs. The previous answer
        counts until the check has been silent for `CHECK_SECONDS_MAX`; from then on the check
        fails. An HTTP probe is therefore answered quickly, even if it is the first one after the
        database or Kafka has stopped answering.
        """
        if self._task is None:
            self._task, self._asked_at_ms = asyncio.create_task(_answer(self._ask)), monotonic_ms()
        await asyncio.wait((self._task,), timeout=PROBE_WAIT_MS / 1_000)
        if self._task.done():
            task, self._task = self._task, None
            self._problem = task.result()
        elif monotonic_ms() - self._asked_at_ms >= CHECK_SECONDS_MAX * 1_000:
            self._problem = f"no answer within {CHECK_SECONDS_MAX} s"
        return Finding(self.name, self._problem, self.reporting.is_advisory)

    def report(self, problem: str | None, is_explained: bool) -> None:
        """Logs the beginning and the end of a failure, each once.

        `is_explained` says that another check fails for the same cause, so that this failure is not
        logged.
        """
        now = monotonic_seconds()
        if problem is None or is_explained:
            if problem is None and self._reported is not None:
                self._reported = None
                seconds = now - self._reported_since
                log.info(self.reporting.passed, check=self.name, failed_seconds=seconds)
            self._failing_since = None
            return
        if self._failing_since is None:
            self._failing_since = now
        if self._is_news(problem, now - self._failing_since):
            self._reported, self._reported_since = problem, self._failing_since
            write = log.warning if self.reporting.is_advisory else log.error
            write(self.reporting.failed, check=self.name, problem=problem)

    def _is_news(self, problem: str, lasted_seconds: int) -> bool:
        patience = self.reporting.patience_seconds
        if patience is None or lasted_seconds < patience:
            return False
        is_another = self.reporting.each_problem and problem != self._reported
        return self._reported is None or is_another

    async def close(self) -> None:
        """Cancels the check if it is still running."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=1)


class Readiness:
    """All readiness checks of the process; the process is ready when every check passes that is not
    advisory.

    All checks are made at the same time. A check that takes long is left running: its previous
    result counts until the check has taken `CHECK_SECONDS_MAX` seconds, and then it counts as
    failed.

    `others` returns the findings of other processes; they are shown here and not logged, because
    those processes log them.
    """

    def __init__(self, metrics: Metrics, others: Others = none) -> None:
        self._metrics = metrics
        self._others = others
        self._shown: set[str] = set()
        self._checks: dict[str, Check] = {}
        self._asking = asyncio.Lock()
        self._latest: tuple[int, tuple[Finding, ...]] | None = None

    def register(self, name: str, ask: Ask, reporting: Reporting = AT_ONCE) -> None:
        """Adds a readiness check; it replaces an earlier check of the same name."""
        self._checks[name] = Check(name, ask, reporting)
        self._latest = None

    def unregister(self, name: str) -> None:
        """Removes a check, and its gauge; a name without a check is ignored."""
        self._checks.pop(name, None)
        with contextlib.suppress(KeyError):
            self._metrics.checks.remove(name)
        self._latest = None

    async def watch(self) -> None:
        """Makes the checks every few seconds, sets the metrics and writes the log, until this task
        is cancelled.
        """
        while True:
            self.report(await self.findings())
            await asyncio.sleep(WATCH_SECONDS)

    async def findings(self) -> tuple[Finding, ...]:
        """Returns the result of each check, at most half a second old, without waiting for a check
        that hangs.
        """
        async with self._asking:
            if self._latest is None or monotonic_ms() - self._latest[0] > KEPT_MS:
                answers = await asyncio.gather(
                    *(check.finding() for check in self._checks.values())
                )
                # A check may have been removed meanwhile.
                present = (finding for finding in answers if finding.check in self._checks)
                findings = (*present, *self._others())
                self._latest = (monotonic_ms(), findings)
                self._show(findings)
            return self._latest[1]

    def report(self, findings: tuple[Finding, ...]) -> None:
        """Logs which checks have begun to fail, or pass again, since the last call."""
        failing = {finding.check for finding in findings if not finding.ok}
        for finding in findings:
            check = self._checks.get(finding.check)
            if check is not None:
                is_explained = not failing.isdisjoint(check.reporting.needs)
                check.report(finding.problem, is_explained)

    async def close(self) -> None:
        """Cancels the checks that are still running."""
        await asyncio.gather(*(check.close() for check in self._checks.values()))

    def _show(self, findings: tuple[Finding, ...]) -> None:
        checks = {finding.check for finding in findings}
        for check in self._shown - checks:
            with contextlib.suppress(KeyError):
                self._metrics.checks.remove(check)
        self._shown = checks
        for finding in findings:
            self._metrics.checks.labels(finding.check).set(int(finding.ok))
        self._metrics.up.set(int(all(finding.allows_work for finding in findings)))


async def _answer(ask: Ask) -> str | None:
    try:
        answer = ask()
        return await answer if isinstance(answer, Awaitable) else answer
    except Exception as error:  # noqa: BLE001 - whatever a check meets is its finding
        return summary(error)
