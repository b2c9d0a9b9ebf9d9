"""Mutation testing of the rules and of the XML: `make mutation`, `make mutation-all`.

Each mutant is tested by the tests that need no services. A mutant that no test notices shows a
missing test, or code that is not needed; one that does what the code does is explained in
explained.toml. Exit code 1: the score is below what is wanted, an explanation is not true, or the
run was cut short.
"""

import argparse
import os
import random
import sys
from collections.abc import Sequence

import pytest

from tests.mutation.imported import preload, test_imported
from tests.mutation.in_place import Session, run_session
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.processes import Ended, first_failure, redirected, run_all
from tests.mutation.results import (
    REPORT,
    Outcome,
    Result,
    explanations,
    outcome_of,
    score_percent,
    summary,
    write_reports,
)
from tests.mutation.targets import FOLDER, ROOT, Target, sources, target_of

SCORE_PERCENT_MIN = 90
# A mutant may need so much more than the code itself before it counts as one that never ends.
CPU_FACTOR, CPU_SECONDS_EXTRA = 2, 10
CPU_SECONDS_MAX = 300
PROGRESS_EVERY = 25


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    preload()
    chosen = _chosen(options)
    results = Run(chosen, options.processes).finish()
    title = f"Mutation testing, {options.sample or 'all'} mutants, seed {options.seed}"
    write_reports(FOLDER, title, results)
    for result in results:
        if result.outcome in (Outcome.SURVIVED, Outcome.EXPLAINED_BUT_KILLED):
            print(f"{result.outcome}: {result.mutant.name}")
    print(f"{summary(results)}; more in {FOLDER.relative_to(ROOT) / REPORT}.md")
    untrue = any(result.outcome is Outcome.EXPLAINED_BUT_KILLED for result in results)
    is_whole = len(results) == len(chosen)
    return int(untrue or not is_whole or score_percent(results) < SCORE_PERCENT_MIN)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="so many mutants; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="which sample is taken")
    parser.add_argument("--only", default="", help="only mutants whose name contains this text")
    parser.add_argument("--part", choices=("functions", "imports"), help="inside functions, or not")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser


def _chosen(options: argparse.Namespace) -> list[Mutant]:
    every = [mutant for path in sources() for mutant in mutants_of(path)]
    chosen = [mutant for mutant in every if options.only in mutant.name]
    if 0 < options.sample < len(chosen):
        chosen = random.Random(options.seed).sample(chosen, options.sample)
    wanted = {"functions": (True,), "imports": (False,), None: (True, False)}[options.part]
    return [mutant for mutant in chosen if mutant.is_in_function in wanted]


class Run:
    """The mutants of one run, tested side by side in as many processes as asked for."""

    def __init__(self, mutants: Sequence[Mutant], processes: int) -> None:
        self.mutants = mutants
        self.processes = processes
        self.reasons = explanations()
        self.results: list[Result] = []
        self.terminal = os.fdopen(os.dup(1), "w")

    def finish(self) -> list[Result]:
        """Tests all mutants. Exits where the tests do not pass without one."""
        of_imports = [mutant for mutant in self.mutants if not mutant.is_in_function]
        for ended in run_all(of_imports, test_imported, self.processes, _most):
            self._note(ended)
        # What pytest prints of this process goes to a file, and what it raises ends the run.
        with redirected(FOLDER / "session.txt"):
            exit_code = run_session(self._test_in_place)
        if len(self.results) < len(self.mutants):  # interrupted, or the tests do not pass
            count = len(self.results)
            print(f"pytest ended with {exit_code} after {count} of {len(self.mutants)} mutants")
        return self.results

    def _test_in_place(self, session: Session) -> None:
        jobs = [mutant for mutant in self.mutants if mutant.is_in_function]
        limits = self._measured(session, {target_of(ROOT / mutant.source) for mutant in jobs})

        def limit(mutant: Mutant) -> int:
            return limits[target_of(ROOT / mutant.source)]

        for ended in run_all(jobs, session.test_in_place, self.processes, limit):
            self._note(ended)

    def _measured(self, session: Session, targets: set[Target]) -> dict[Target, int]:
        """How many CPU seconds a mutant may take: the tests run once without one."""
        limits = {}
        for ended in run_all(list(targets), session.test, self.processes, _most):
            if ended.exit_code != 0:
                raise pytest.UsageError(f"without a mutant: {first_failure(ended)}")
            sources = ", ".join(ended.job.sources)
            self._say(f"{ended.cpu_seconds} s of tests for {sources}, which pass")
            limits[ended.job] = ended.cpu_seconds * CPU_FACTOR + CPU_SECONDS_EXTRA
        return limits

    def _note(self, ended: Ended[Mutant]) -> None:
        noticed = ended.exit_code != 0
        outcome = outcome_of(ended.job, noticed, self.reasons)
        self.results.append(Result(ended.job, outcome, first_failure(ended) if noticed else None))
        if outcome is Outcome.SURVIVED:
            self._say(f"survived: {ended.job.name}")
        if len(self.results) % PROGRESS_EVERY == 0:
            self._say(f"{len(self.results)} of {len(self.mutants)} mutants")

    def _say(self, text: str) -> None:
        print(text, file=self.terminal, flush=True)


def _most(_: object) -> int:
    return CPU_SECONDS_MAX


if __name__ == "__main__":
    sys.exit(main())
