"""`make drill`: restores a backup as the runbook says, and says whether the books are right then.

On a PostgreSQL and a Kafka of its own: a day of traffic, a backup, another day with exports,
payments, answers and decisions of operators, and then the disaster: the backup takes the place of
the database. From there on the drill calls the commands of docs/runbook.md alone, in their order.
At the end it compares the books with those that were lost, lets the service export once more, and
has everything judged. The time of each step is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.drill import outputs
from tests.drill.days import PARTITIONS, Days
from tests.drill.ledger import Key, Ledger, read_ledger
from tests.drill.page import PageCommand, PageUnreadable, recovery_commands
from tests.drill.servers import DrillFailed, Servers, running_servers, working_folder
from tests.oracle.records import Data
from tests.oracle.tables import AccountId
from tests.support.load_rules import profiles
from tests.support.process import Site, end
from tests.support.programs import close_starter, start_program
from tests.support.services import ServicesUnavailable

RECORDS = 2_000
COMMAND_SECONDS_MAX = 600
PREFIX, GROUP = "drill.", "drill"
AUDITS = (("reconcile",), ("audit",))
OLDER = 3
RECOVERY_ENDED = "recovery_ended"


@dataclass(slots=True)
class Clock:
    """Prints each step when it is done, with its time in seconds."""

    steps: list[tuple[str, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        self.steps.append((title, seconds))
        print(f"{seconds:8.1f} s  {title}", flush=True)


def main() -> int:
    """Returns the exit code: 0 if the books are right."""
    arguments = _arguments()
    try:
        commands = recovery_commands()
        with working_folder() as folder:
            asyncio.run(_drill(arguments, commands, folder))
    except (AssertionError, DrillFailed, PageUnreadable, ServicesUnavailable) as problem:
        print(problem, file=sys.stderr)
        print("drill: failed", flush=True)
        return 1
    finally:
        close_starter()
    print("drill: ok", flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument(
        "--records", type=int, default=RECORDS, help="of each of the two days (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the traffic (%(default)s)")
    return parser.parse_args()


async def _drill(
    arguments: argparse.Namespace, commands: Sequence[PageCommand], folder: Path
) -> None:
    clock = Clock()
    with clock.step("in all"):
        async with _world(folder, clock) as (servers, site):
            days = Days(site, Random(arguments.seed))
            lost, newer = await _until_the_disaster(servers, days, arguments.records, clock)
            await _follow_the_page(site, days, commands, clock)
            await _judge(site, days, lost, newer, clock)


@contextlib.asynccontextmanager
async def _world(folder: Path, clock: Clock) -> AsyncIterator[tuple[Servers, Site]]:
    async with contextlib.AsyncExitStack() as stack:
        with clock.step("PostgreSQL and Kafka start"):
            servers = await stack.enter_async_context(running_servers(print))
        address = servers.kafka.bootstrap_servers()
        site = Site(servers.database_url, address, PREFIX, GROUP, folder)
        stack.push_async_callback(site.end_all)
        site.write_profiles(profiles())
        await site.command("topics", "create", "--partitions", str(PARTITIONS))
        yield servers, site


async def _until_the_disaster(
    servers: Servers, days: Days, records: int, clock: Clock
) -> tuple[Ledger, set[AccountId]]:
    """Returns the books that are lost, and the accounts of which records come after that."""
    await days.site.start()
    with clock.step("a day of traffic"):
        await days.first(records)
    with clock.step("a backup is taken"):
        backup = await servers.take_backup()
    with clock.step("another day, with two exports"):
        await days.second(records)
    await days.site.stop()
    lost = await read_ledger(days.site)
    with clock.step("disaster: the backup takes the place of the database"):
        await servers.put_back(backup)
    return lost, await days.while_it_stands_still(records // 10)


async def _follow_the_page(
    site: Site, days: Days, commands: Sequence[PageCommand], clock: Clock
) -> None:
    """The service notices and ends; then the commands of the page are called. A line that starts
    the service waits until it has read all that is there and the recovery has ended.
    """
    with clock.step("the service starts, notices it and ends"):
        await _call(site, ("run",), OLDER)
    for command in commands:
        with clock.step(command.text):
            if command.is_service:
                await site.start(until=RECOVERY_ENDED)
                await days.idle()
            else:
                await _call(site, command.words, command.exit_code)


async def _call(site: Site, words: Sequence[str], exit_code: int = 0) -> str:
    process = await start_program(*words, environment=site.environment)
    try:
        async with asyncio.timeout(COMMAND_SECONDS_MAX):
            out, problems = await process.communicate()
    finally:
        await end(process)
    if process.returncode != exit_code:
        text = (problems + out).decode()
        raise DrillFailed(
            f"`bursar-bridge {' '.join(words)}` ended with {process.returncode} instead of "
            f"{exit_code}:\n{text}"
        )
    return out.decode()


async def _judge(site: Site, days: Days, lost: Ledger, newer: set[AccountId], clock: Clock) -> None:
    """Compares with what was lost; then a further export must bill nothing a second time."""
    with clock.step("the books are compared with those that were lost"):
        accounts, lines = await _accounts_that_differ(site), await _lines_left(site)
        _none([*lost.differences(await read_ledger(site), accounts | lines | newer)])
    print(f"{len(accounts)} accounts differ from what was published, as the recovery says")
    print(f"{len(lines)} lines are left to a person, as the recovery says")
    with clock.step("a further export"):
        await days.export()
        _none([*outputs.twice_billed(site), *await outputs.misled_readers(site)])
    for words in AUDITS:
        with clock.step(" ".join(words)):
            await _call(site, words)


async def _accounts_that_differ(site: Site) -> set[Key]:
    """Accounts that the recovery itself lists as different from what was published."""
    rows = await _listed(site, "accounts")
    return {(row["institution_id"], row["patron_id"], row["currency"]) for row in rows}


async def _lines_left(site: Site) -> set[Key]:
    """Lines that the recovery itself lists as taken by no fine."""
    rows = await _listed(site, "lines")
    return {(row["institution_id"], row["bursar_transaction_id"]) for row in rows}


async def _listed(site: Site, what: str) -> list[Data]:
    listed = await _call(site, ("recovered", what, "--json"))
    return [json.loads(row) for row in listed.splitlines()]


def _none(differences: Sequence[str]) -> None:
    if differences:
        shown = "\n".join(differences[:20])
        raise DrillFailed(f"{len(differences)} differences:\n{shown}")


if __name__ == "__main__":
    sys.exit(main())
