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
from collections.abc import Mapping, Sequence

import pytest

from tests.mutation.imported import ImportSession
from tests.mutation.in_place import InPlaceSession
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.order import Order
from tests.mutation.processes import Ended, first_failure, redirected, run_all
from tests.mutation.reached import Reached, read
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
from tests.mutation.running import cpu_seconds_max, run_session
from tests.mutation.targets import FOLDER, ROOT, sources, target_of

SCORE_PERCENT_MIN = 90
CPU_SECONDS_MAX = 3_600  # of the tests without a mutant
PROGRESS_EVERY = 25


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
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
        """Tests all mutants. Ends early where the tests do not pass without one."""
        imported = [mutant for mutant in self.mutants if not mutant.is_in_function]
        in_place = [mutant for mutant in self.mutants if mutant.is_in_function]
        # What pytest prints of this process goes to a file, and what it raises ends a session.
        with redirected(FOLDER / "session.txt"):
            exit_codes = self._test(imported, ImportSession), self._test(in_place, InPlaceSession)
        if len(self.results) < len(self.mutants):  # interrupted, or the tests do not pass
            count = len(self.results)
            print(f"pytest ended with {exit_codes} after {count} of {len(self.mutants)} mutants")
        return self.results

    def _test(
        self, mutants: Sequence[Mutant], kind: type[ImportSession] | type[InPlaceSession]
    ) -> int:
        if not mutants:
            return 0
        targets = dict.fromkeys(target_of(ROOT / mutant.source) for mutant in mutants)
        files = dict.fromkeys(file for target in targets for file in target.tests)
        order = Order()

        def loop(session: ImportSession | InPlaceSession) -> None:
            order.reached = self._recorded(session, list(files))
            seconds = sum(test.seconds for test in order.reached.values())
            most = cpu_seconds_max(seconds)
            for ended in run_all(mutants, session.test, self.processes, most):
                self._note(ended, order)

        return run_session(kind(order, loop), files)

    def _recorded(
        self, session: ImportSession | InPlaceSession, files: list[str]
    ) -> Mapping[str, Reached]:
        """What there is to know of the tests, which run once without a mutant."""
        shares = [files[number :: self.processes] for number in range(self.processes)]
        reached: dict[str, Reached] = {}
        for ended in run_all(shares, session.record, self.processes, CPU_SECONDS_MAX):
            if ended.exit_code != 0:
                raise pytest.UsageError(f"without a mutant: {first_failure(ended)}")
            reached |= read(ended.output)
        seconds = sum(test.seconds for test in reached.values())
        self._say(f"{round(seconds)} s of tests, which pass")
        return reached

    def _note(self, ended: Ended[Mutant], order: Order) -> None:
        noticed = ended.exit_code != 0
        outcome = outcome_of(ended.job, noticed, self.reasons)
        test = first_failure(ended) if noticed else None
        self.results.append(Result(ended.job, outcome, test))
        if test is not None:
            order.note(ended.job, test)
        if outcome is Outcome.SURVIVED:
            self._say(f"survived: {ended.job.name}")
        if len(self.results) % PROGRESS_EVERY == 0:
            self._say(f"{len(self.results)} of {len(self.mutants)} mutants")

    def _say(self, text: str) -> None:
        print(text, file=self.terminal, flush=True)


if __name__ == "__main__":
    sys.exit(main())
