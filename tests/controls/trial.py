"""Takes a protection out of a copy of the source, and runs there the tests that have to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.controls.protections import Change, Protection

ROOT = Path(__file__).parents[2]
COPIED = ("service", "tests")
SECONDS_MAX = 600
SIMULATOR = "the simulator"
SMALL_HISTORIES = ("--events", "6", "--jobs", "1")
EXPLANATION_CHARACTERS_MAX = 160


@dataclass(frozen=True, slots=True)
class Result:
    """How a test went without a protection: whether it failed, by what, and after how long."""

    test: str
    is_red: bool
    explanation: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The results of the tests of one protection."""

    protection: Protection
    results: tuple[Result, ...]

    @property
    def is_red(self) -> bool:
        """Whether each of them has noticed that the protection is gone."""
        return all(result.is_red for result in self.results)


class CannotRun(Exception):
    """The tests did not run as they have to, so that they show nothing; the text says why."""


@contextmanager
def copy_without(changes: Sequence[Change]) -> Iterator[Path]:
    """A copy of this checkout with the changes, deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="bursar-controls-") as name:
        folder = Path(name)
        for path in ROOT.iterdir():
            if path.name in COPIED:
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, folder / path.name, ignore=ignored)
            elif path.name not in ("var", ".git"):
                (folder / path.name).symlink_to(path)
        for change in changes:
            apply_to(folder, change)
        yield folder


def apply_to(folder: Path, change: Change) -> None:
    """Makes a change in a copy. Raises CannotRun if its part is not there once."""
    file = folder / change.path
    text = file.read_text("utf-8")
    if text.count(change.part) != 1:
        raise CannotRun(f"{change.path} has {text.count(change.part)} times {change.part!r}")
    file.write_text(text.replace(change.part, change.instead), "utf-8")


def try_without(protection: Protection, environment: Mapping[str, str]) -> Verdict:
    """Runs the tests of a protection without it. Raises CannotRun."""
    with copy_without(protection.changes) as folder:
        results = run_tests(folder, protection.tests, environment)
        if protection.seeds:
            results += (run_simulator(folder, protection.seeds, environment),)
    return Verdict(protection, results)


def check_tests(tests: Sequence[str], environment: Mapping[str, str]) -> None:
    """Runs the tests with all protections. Raises CannotRun if one fails."""
    with copy_without(()) as folder:
        failed = [result for result in run_tests(folder, tests, environment) if result.is_red]
    if failed:
        raise CannotRun(f"fails with all protections: {failed[0].test}: {failed[0].explanation}")


def run_tests(
    folder: Path, tests: Sequence[str], environment: Mapping[str, str]
) -> tuple[Result, ...]:
    """Runs tests in a copy, all of them. Raises CannotRun if a test did not come to its end."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    command += ["-m", "not slow", f"--junitxml={report}", *tests]
    printed = _run(folder, command, environment)[1]
    if not report.exists():
        raise CannotRun(printed[-2_000:])
    results: dict[str, Result] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        result = _result_of(case)
        before = results.get(result.test)
        if before is None or not before.is_red:  # any case of a parametrized test may notice it
            results[result.test] = result
    missing = set(tests) - results.keys()
    if missing:
        raise CannotRun(f"did not run: {', '.join(sorted(missing))}\n{printed[-2_000:]}")
    return tuple(results[test] for test in tests)


def _result_of(case: ElementTree.Element) -> Result:
    file = case.attrib["classname"].replace(".", "/") + ".py"
    test = f"{file}::{case.attrib['name'].split('[')[0]}"
    seconds = round(float(case.attrib["time"]))
    problem = case.find("failure")
    if problem is None:
        if (broken := case.find("error")) is not None:
            raise CannotRun(f"{test}: {broken.attrib['message']}\n{broken.text}")
        return Result(test, is_red=False, explanation="", seconds=seconds)
    return Result(test, True, _short(problem.attrib["message"]), seconds)


def run_simulator(folder: Path, seeds: int, environment: Mapping[str, str]) -> Result:
    """Simulates histories in a copy until the seeds are used up, and says which have failed."""
    started = time.monotonic()
    command = [sys.executable, "-m", "tests.simulator", "--count", str(seeds), *SMALL_HISTORIES]
    code, printed = _run(folder, command, environment)
    if "simulator: " not in printed:
        raise CannotRun(printed[-2_000:])
    failed = [row for row in printed.splitlines() if row.startswith("failed: ")]
    explanation = f"seeds {failed[0].removeprefix('failed: ')} of {seeds}" if failed else ""
    return Result(SIMULATOR, code != 0, explanation, round(time.monotonic() - started))


def _run(folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    return done.returncode, done.stdout


def _short(message: str) -> str:
    text = " ".join(message.split())
    return (
        text
        if len(text) <= EXPLANATION_CHARACTERS_MAX
        else text[:EXPLANATION_CHARACTERS_MAX] + "..."
    )
