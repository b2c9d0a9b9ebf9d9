"""The measurements of one run, in turns: the service, the sink, then two of each."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench import cpu
from tests.bench.load import FINE, Record, fines
from tests.bench.peak import highest_peak_mb
from tests.bench.peers.connect import running_sink
from tests.bench.peers.inserted import Inserted
from tests.bench.peers.jars import ConnectFiles
from tests.bench.peers.rows import plain, table
from tests.bench.throughput import MEMBERS, Pace, Tell, sound_pace
from tests.bench.world import BenchFailed, World, execute, joined, new_world, produce
from tests.support.services import Services
from tests.support.services.process import GuardedProcess

# How many of each, and by which names their paces are told.
SIDES = (
    (1, "service", "sink"),
    (MEMBERS, "two_services", "two_sinks"),
)


@dataclass(frozen=True)
class PeerTurn:
    """One run: the pace of everybody, by name."""

    paces: Mapping[str, Pace]

    @property
    def figures(self) -> Mapping[str, float]:
        rates = {name: each.rate for name, each in self.paces.items()}
        return {
            "ratio_sink": rates["service"] / rates["sink"],
            "two_ratio_sink": rates["two_services"] / rates["two_sinks"],
        }


async def measure(
    services: Services, files: ConnectFiles, events: int, warm_up: int, runs: int, tell: Tell
) -> list[PeerTurn]:
    """So many runs. `warm_up` are the events before those that are measured, for everybody: a
    Java program needs many until it is as fast as it gets.
    """
    load = list(fines(warm_up + events))
    rows = [plain(record) for record in load]
    result = []
    for number in range(1, runs + 1):
        tell(f"run {number} of {runs}")
        paces: dict[str, Pace] = {}
        for members, service, sink in SIDES:
            tell(f"fines through the service, processes: {members}")
            async with new_world(services) as world:
                paces[service] = await sound_pace(world, FINE, load, warm_up, members)
            tell(f"the same fines as rows through the sink, tasks: {members}")
            async with new_world(services) as world:
                paces[sink] = await sink_pace(world, files, rows, warm_up, members)
        result.append(PeerTurn(paces))
    return result


async def sink_pace(
    world: World, files: ConnectFiles, rows: Sequence[Record], warm_up: int, tasks: int
) -> Pace:
    """From the first record available to the last row in the table."""
    await execute(world.database_url, table())
    first, whole = Inserted(world, rows[:warm_up]), Inserted(world, rows)
    async with running_sink(world, files, tasks) as process:
        measured = {process.pid() or 0: cpu.MEASURED}
        await _joined(world, tasks, process)
        await asyncio.to_thread(produce, world, FINE, rows[:warm_up])
        await first.reached(process)
        produced = await asyncio.to_thread(produce, world, FINE, rows[warm_up:], measured)
        ended = await whole.reached(process)
        used = cpu.usage(measured)
        peak_mb = highest_peak_mb(process.pid() or 0)
    events = len(rows) - warm_up
    return Pace(events / (ended - produced.at), cpu.cost(produced.used, used, events), peak_mb)


async def _joined(world: World, tasks: int, process: GuardedProcess) -> None:
    """A task that has failed leaves its worker running."""
    try:
        await joined(world, tasks, process)
    except TimeoutError:
        raise BenchFailed(f"the sink takes no records:\n{process.log_tail()}") from None
