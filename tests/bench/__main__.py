"""`make bench`: measures, shows what came out, and leaves it under var/bench/."""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from service.runtime.logs import configure_logging
from tests.bench import growth, memory, processes, report
from tests.bench.figures import measure, measure_latency
from tests.bench.throughput import Plan, Tell
from tests.bench.world import FOLDER, BenchFailed, require_durable
from tests.support.services import Services, ServicesUnavailable, running_services

PLAIN_COLUMNS = 118  # where nobody says how wide the terminal is
LATENCY_SECONDS = 8
LATENCY_SECONDS_QUICK = 3
ONLY = ("latency", "processes", "memory", "growth")
GROWTH_FINES = (10_000, 200_000)  # with `--only growth`; seconds, where 5 000 000 take minutes


def main() -> int:
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS)

    def tell(text: str) -> None:
        console.print(f"… {text}", style="dim", markup=False, highlight=False)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    configure_logging("warning", "console")  # a part of it runs the service's code here
    try:
        with running_services(tell) as services:
            result = asyncio.run(run(services, arguments, tell))
    except KeyboardInterrupt:
        console.print("bench: interrupted; everything it started was ended")
        return 130
    except (BenchFailed, ServicesUnavailable) as problem:
        console.print(f"bench: {problem}", style="red", markup=False, highlight=False)
        return 1
    report.show(console, result)
    report.write(arguments.json, result)
    for line in report.lines(result):
        print(line)
    print(f"json={arguments.json}", flush=True)
    return 0


async def run(services: Services, arguments: argparse.Namespace, tell: Tell) -> report.Report:
    await require_durable(services.database_url)
    plan = Plan.of(arguments.events, arguments.latency_seconds)
    rates = []
    if arguments.runs:
        with_more = not arguments.quick
        rates = await measure(services, plan, arguments.runs, tell, with_more=with_more)
    if arguments.process_runs:
        rates = await processes.measure(services, plan, arguments.process_runs, tell)
    more: dict[str, list[float]] = {}
    if arguments.latency_runs:
        more |= _shown(await measure_latency(services, plan, arguments.latency_runs, tell), tell)
    if arguments.memory_fines:
        more |= _shown(await memory.measure(services, arguments.memory_fines, tell), tell)
    if arguments.growth_fines:
        more |= _shown(await growth.measure(services, arguments.growth_fines, plan, tell), tell)
    return report.report_of(plan, rates, more)


def _shown(figures: dict[str, list[float]], tell: Tell) -> dict[str, list[float]]:
    """Tells the figures of a part at once: they are not lost if a later part fails."""
    for name, values in figures.items():
        tell(f"{name}: {', '.join(f'{value:.4g}' for value in values)}")
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--events", type=_count, default=20_000, help="of a run (%(default)s)")
    parser.add_argument(
        "--runs", type=_runs, default=3, help="of everything (%(default)s); 0: no rates"
    )
    parser.add_argument(
        "--memory-fines",
        type=_fines,
        default=(10_000, 100_000),
        metavar="SMALL,LARGE",
        help="of the two exports that are compared (10000,100000); 0: not measured",
    )
    parser.add_argument(
        "--growth-fines",
        type=_fines,
        metavar="SMALL,LARGE",
        help="of the two ledgers that are compared; not measured unless it is said",
    )
    parser.add_argument(
        "--latency-seconds",
        type=_count,
        help=f"at each rate ({LATENCY_SECONDS}; with --quick {LATENCY_SECONDS_QUICK})",
    )
    parser.add_argument("--only", choices=ONLY, help="nothing else")
    parser.add_argument(
        "--quick", action="store_true", help="one run of the rates alone, in under two minutes"
    )
    name = time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    parser.add_argument("--json", type=Path, default=FOLDER / name, help="where to write it")
    return completed(parser.parse_args())


def completed(arguments: argparse.Namespace) -> argparse.Namespace:
    """What is not said follows from `--quick` and `--only`."""
    if arguments.latency_seconds is None:
        seconds = LATENCY_SECONDS_QUICK if arguments.quick else LATENCY_SECONDS
        arguments.latency_seconds = seconds
    if arguments.quick:
        arguments.runs = 1
    only = arguments.only
    arguments.latency_runs = max(1, arguments.runs) if only == "latency" else 0
    arguments.process_runs = max(1, arguments.runs) if only == "processes" else 0
    if only:
        arguments.runs = 0
    if only != "memory" and (only or arguments.quick):
        arguments.memory_fines = None
    if only == "growth":
        arguments.growth_fines = arguments.growth_fines or GROWTH_FINES
    elif only:
        arguments.growth_fines = None
    return arguments


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _runs(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _fines(text: str) -> tuple[int, int] | None:
    if text == "0":
        return None
    small, large = map(_count, text.split(","))
    if large % small:
        raise argparse.ArgumentTypeError("the large one must be a multiple of the small one")
    return small, large


if __name__ == "__main__":
    sys.exit(main())
