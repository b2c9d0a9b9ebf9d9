"""How many events per second a program takes from Kafka, and what it costs meanwhile."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.bench import cpu
from tests.bench.history import EMPTY, History
from tests.bench.load import Record
from tests.bench.peak import highest_peak_mb
from tests.bench.soundness import require_small, require_sound
from tests.bench.world import Outputs, World, joined, produce, running

SERVICE = ("service", "run")
MEMBERS = 2
PEAK = "peak_mb"  # the name of its figure
# Its rate does not depend on how many there are: a part of the load is enough, and soon over.
PER_EVENT_SHARE = 10

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Of one run: events measured, and events before them that warm everybody up.

    `latency_seconds`: at each of the rates at which the latency is taken.
    """

    events: int
    warm_up: int
    per_event: int
    latency_seconds: int

    @classmethod
    def of(cls, events: int, latency_seconds: int) -> "Plan":
        warm_up = min(200, max(5, events // 10))
        per_event = max(min(events, 20), events // PER_EVENT_SHARE)
        return cls(events, warm_up, per_event, latency_seconds)


@dataclass(frozen=True)
class Pace:
    """Events per second, what an event costs the processor, the most memory of a process, and the
    seconds since 1970 when the first record was available and the last event acknowledged, if
    these are told.
    """

    rate: float
    cost: cpu.Cost
    peak_mb: float
    began_at: float = 0.0
    ended_at: float = 0.0


@dataclass(frozen=True)
class Turn:
    """One run of what is measured: rates per second, figures, and the costs of an event."""

    rates: Mapping[str, float]
    figures: Mapping[str, float]
    costs: Mapping[str, cpu.Cost]

    def joined_with(self, other: "Turn") -> "Turn":
        """Both; of two peaks of memory the higher one."""
        peaks = [each.figures[PEAK] for each in (self, other)]
        return Turn(
            {**self.rates, **other.rates},
            {**self.figures, **other.figures, PEAK: max(peaks)},
            {**self.costs, **other.costs},
        )


async def pace(
    world: World,
    module: Sequence[str],
    contract: str,
    load: Sequence[Record],
    warm_up: int,
    members: int = 1,
    start: asyncio.Barrier | None = None,
) -> Pace:
    """From the first record available to the last balance-changed acknowledged.

    `members` is the number of processes in the consumer group that `module` starts. `start` is
    waited for between the warm-up and the load.
    """
    name = module[0].rpartition(".")[2]
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(running(world, f"{name}-{members}", *module))
        measured = {process.pid() or 0: cpu.MEASURED}
        outputs = await stack.enter_async_context(Outputs(world))
        if members > 1:
            await joined(world, members, process)
        await asyncio.to_thread(produce, world, contract, load[:warm_up])
        await outputs.reached(warm_up, process)
        if start is not None:
            await start.wait()
        produced = await asyncio.to_thread(produce, world, contract, load[warm_up:], measured)
        ended = await outputs.reached(len(load), process)
        used = cpu.usage(measured)
        peak_mb = highest_peak_mb(process.pid() or 0)
    events = len(load) - warm_up
    cost = cpu.cost(produced.used, used, events)
    rate = events / (ended - produced.at)
    return Pace(rate, cost, require_small(peak_mb), produced.at, ended)


async def sound_pace(
    world: World,
    contract: str,
    load: Sequence[Record],
    warm_up: int,
    members: int = 1,
    before: History = EMPTY,
) -> Pace:
    """That of the service with so many members, which has to leave a sound ledger.

    `before` are the records that the ledger of the world comes from.
    """
    result = await pace(world, service_of(members), contract, load, warm_up, members)
    await require_sound(world, len(load), before)
    return result


def service_of(members: int) -> Sequence[str]:
    """The program of so many members: itself, or their parent."""
    return SERVICE if members == 1 else (*SERVICE, "--processes", str(members))
