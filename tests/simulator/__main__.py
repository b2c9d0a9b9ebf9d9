"""The simulator as a program; `python -m tests.simulator --help`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tests.simulator.controls import PROTECTIONS
from tests.simulator.databases import template
from tests.simulator.quiet import be_quiet
from tests.simulator.run import EVENTS, Outcome, Way, simulate
from tests.support.services import Needed, local

TRACE_LINES = 40


def main() -> int:
    arguments = _arguments()
    be_quiet()
    with _postgres() as url, template(url) as name:
        return _run(arguments, url, name)


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    """The server of DATABASE_URL, or one that is started."""
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    with local(Needed(postgres=True, kafka=False, durable=False), print) as (url, _):
        assert url is not None
        yield url


def _run(arguments: argparse.Namespace, url: str, name: str) -> int:
    started = time.monotonic()
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    failed, done, recovered = [], 0, Counter[str]()
    way = Way(arguments.events, arguments.restores, tuple(arguments.without))
    run = partial(simulate, url=url, template=name, way=way)
    for outcome in _outcomes(run, seeds, arguments.jobs, arguments.seconds):
        done += 1
        recovered.update(outcome.recovered)
        if arguments.trace:
            print("\n".join(outcome.trace))
        if arguments.verbose or outcome.problem:
            print(f"seed {outcome.seed}: {outcome.steps} steps, trace {outcome.digest}", flush=True)
        if outcome.problem:
            failed.append(outcome.seed)
            _explain(outcome, way)
    seconds = time.monotonic() - started
    print(
        f"simulator: {done} seeds from {arguments.seed} on, {len(failed)} failed, {seconds:.0f} s"
    )
    print("recovered: " + ", ".join(f"{name} {n}" for name, n in sorted(recovered.items())))
    if failed:
        print(f"failed: {' '.join(map(str, failed))}")
    return 1 if failed else 0


def _outcomes(
    run: Callable[[int], Outcome], seeds: Sequence[int], jobs: int, seconds_max: int
) -> Iterator[Outcome]:
    deadline = time.monotonic() + seconds_max
    if jobs == 1:
        for seed in seeds:
            if time.monotonic() < deadline:
                yield run(seed)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), be_quiet) as pool:
        for first in range(0, len(seeds), jobs * 4):
            yield from pool.map(run, seeds[first : first + jobs * 4])
            if time.monotonic() > deadline:
                return


def _explain(outcome: Outcome, way: Way) -> None:
    print("\n".join(outcome.trace[-TRACE_LINES:]))
    print(outcome.problem)
    options = f"--seed {outcome.seed} --events {way.events}" + " --restores" * way.restores
    if way.without:
        options += f" --without {' '.join(way.without)}"
    print(f"again, exactly: python -m tests.simulator {options} --trace", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--events", type=int, default=EVENTS, help="records in half a history")
    parser.add_argument("--jobs", type=int, default=1, help="how many side by side")
    parser.add_argument("--seconds", type=int, default=3_600, help="no seed begins after them")
    parser.add_argument(
        "--restores", action="store_true", help="an older database comes back in every history"
    )
    parser.add_argument(
        "--without", nargs="*", default=(), choices=PROTECTIONS, help="protections to take away"
    )
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    parser.add_argument("--verbose", action="store_true", help="print a line for each seed")
    return parser.parse_args()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulator", *sys.argv[1:]])
    sys.exit(main())
