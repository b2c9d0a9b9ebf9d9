"""`make bench-peers`: measures, shows what came out, and leaves it under var/bench/."""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from tests.bench.peers import report
from tests.bench.peers.figures import measure
from tests.bench.peers.jars import connect_files
from tests.bench.throughput import Tell
from tests.bench.world import FOLDER, BenchFailed, require_durable
from tests.support.services import Services, ServicesUnavailable, running_services

PLAIN_COLUMNS = 118  # where nobody says how wide the terminal is


def main() -> int:
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        result = measured(arguments, console)
    except KeyboardInterrupt:
        console.print("bench: interrupted; everything it started was ended")
        return 130
    except (BenchFailed, ServicesUnavailable) as problem:
        console.print(f"bench: {problem}", style="red", markup=False, highlight=False)
        return 1
    report.write(arguments.json, result)
    report.show(console, result)
    print(*report.lines(result), f"json={arguments.json}", sep="\n", flush=True)
    return 0


def measured(arguments: argparse.Namespace, console: Console) -> report.PeerReport:
    """Starts the servers, measures, and tells meanwhile what it does."""

    def tell(text: str) -> None:
        console.print(f"… {text}", style="dim", markup=False, highlight=False)

    with running_services(tell) as services:
        return asyncio.run(run(services, arguments, tell))


async def run(services: Services, arguments: argparse.Namespace, tell: Tell) -> report.PeerReport:
    await require_durable(services.database_url)
    files = await asyncio.to_thread(connect_files, tell)
    warm_up = arguments.events if arguments.warm_up is None else arguments.warm_up
    turns = await measure(services, files, arguments.events, warm_up, arguments.runs, tell)
    return report.report_of(arguments.events, warm_up, turns)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--events", type=_count, default=20_000, help="of a run (%(default)s)")
    parser.add_argument("--warm-up", type=_count, help="before them (as many)")
    parser.add_argument("--runs", type=_count, default=3, help="of everything (%(default)s)")
    name = time.strftime("peers-%Y%m%dT%H%M%SZ.json", time.gmtime())
    parser.add_argument("--json", type=Path, default=FOLDER / name, help="where to write it")
    return parser.parse_args()


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


if __name__ == "__main__":
    sys.exit(main())
