"""Random faults for as long as one likes: `python -m tests.faults.random_run --minutes 60`.

Round after round, each with a new database, new topics and a seed of its own, two instances take a
mixed load through faults of all kinds, and the auditor and the model judge. The first round that
fails ends the run, with its seed, the folder of its logs, and the command that runs it again.
What the rounds did is in `var/faults/random.md` and `random.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.ground import Servers, new_ground, running_servers
from tests.faults.kinds import once
from tests.faults.report import Row, write_report
from tests.support.programs import close_starter

FOLDER = Path("var/faults")
EVENTS = 20_000
FAULTS = 4  # in each half of a round


async def run_round(servers: Servers, seed: int, events: int, folder: Path) -> Row:
    """One round; raises whatever broke."""
    row = Row(f"round with seed {seed}")
    async with new_ground(servers, row, seed, folder) as ground:

        async def faults() -> None:
            for _ in range(FAULTS):
                name = await once(ground)
                print(f"    {name}", flush=True)

        await ground.stage.under_load(faults, events)
    return row


async def run(seed: int, minutes: float, events: int, rounds_max: int) -> Sequence[Row]:
    """The rows of the rounds; the last one has no verdict if it failed."""
    deadline, rows = time.monotonic() + 60 * minutes, list[Row]()
    async with running_servers() as servers:
        while time.monotonic() < deadline and len(rows) < rounds_max:
            folder = Path(tempfile.mkdtemp(prefix=f"bursar-faults-{seed}-"))
            began = time.monotonic()
            try:
                rows.append(await run_round(servers, seed, events, folder))
            except Exception:  # noqa: BLE001 - whatever it is, the seed and the logs are needed
                traceback.print_exc()
                rows.append(Row(f"round with seed {seed}", notes=[f"Logs: {folder}."]))
                print(f"failed: seed {seed}; logs in {folder}; again, but for the times of the")
                print(f"processes: python -m tests.faults.random_run --seed {seed} --rounds 1")
                break
            _tell(rows[-1], time.monotonic() - began)
            seed += 1
    return rows


def _tell(row: Row, seconds: float) -> None:
    print(
        f"{row.name}: {row.faults.total()} faults, {row.events} events, {row.restarts} restarts,"
        f" progress after {max(row.progress_seconds):.1f} s at most,"
        f" peak {row.peak_bytes / 2**20:.0f} MB, all {len(row.judged)} hold, {seconds:.0f} s",
        flush=True,
    )


def main() -> int:
    """Runs the rounds, prints the sums and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.random_run", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--minutes", type=float, default=60, help="no round begins after them")
    parser.add_argument("--events", type=int, default=EVENTS, help="of each round")
    parser.add_argument("--rounds", type=int, default=sys.maxsize, help="at most")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    try:
        rows = asyncio.run(run(options.seed, options.minutes, options.events, options.rounds))
    finally:
        close_starter()
    return _report(rows)


def _report(rows: Sequence[Row]) -> int:
    cells = [{**row.cells(), "outcome": "passed" if row.judged else "failed"} for row in rows]
    write_report(FOLDER, cells, keep=False, name="random")
    faults = sum((row.faults for row in rows), Counter[str]())
    for name, number in sorted(faults.items()):
        print(f"    {number:5} {name}")
    broken = [row.name for row in rows if not row.judged]
    print(
        f"random faults: {len(rows)} rounds, {faults.total()} faults,"
        f" {sum(row.events for row in rows)} events,"
        f" peak {max(row.peak_bytes for row in rows) / 2**20:.0f} MB, {len(broken)} failed"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
