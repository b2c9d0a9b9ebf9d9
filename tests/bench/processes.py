"""Fines through several members of the consumer group, with keys that are not the patron's, and
through two installations.
"""

import asyncio
from collections.abc import Sequence

from tests.bench.counted import counted
from tests.bench.load import FINE, Record, fines, keyed_at_random
from tests.bench.soundness import require_sound
from tests.bench.throughput import MEMBERS, PEAK, SERVICE, Pace, Plan, Tell, Turn, pace, sound_pace
from tests.bench.world import BenchFailed, new_world
from tests.support.services import Services

MORE_MEMBERS = 4


async def measure(services: Services, plan: Plan, runs: int, tell: Tell) -> list[Turn]:
    """One, two and four members, and two with keys at random, in turns: nothing else."""
    load = list(fines(plan.events + plan.warm_up))
    result = []
    for number in range(1, runs + 1):
        tell(f"run {number} of {runs}")
        single = await fines_through(services, plan, load, 1, tell)
        double = await fines_through(services, plan, load, MEMBERS, tell)
        few = Turn(
            {"service": single.rate, "two_services": double.rate},
            {
                "two_over_one": double.rate / single.rate,
                PEAK: max(single.peak_mb, double.peak_mb),
            },
            {"one": single.cost, "two": double.cost},
        )
        more = await more_members(services, plan, load, (single, double), tell)
        result.append(few.joined_with(more))
    return result


async def more_members(
    services: Services, plan: Plan, load: Sequence[Record], fewer: tuple[Pace, Pace], tell: Tell
) -> Turn:
    """Four members, and two with keys at random; `fewer` are one and two members of this turn."""
    single, double = fewer
    four = await fines_through(services, plan, load, MORE_MEMBERS, tell)
    scattered, figures = await _keys_at_random(services, plan, load, tell)
    apart = await _installations(services, plan, load, tell)
    seconds = max(each.ended_at for each in apart) - min(each.began_at for each in apart)
    apart_rate = plan.events / seconds
    return Turn(
        {"four_services": four.rate, "random_keys": scattered.rate, "installations": apart_rate},
        {
            "four_over_one": four.rate / single.rate,
            "random_keys_over_keyed": scattered.rate / double.rate,
            **figures,
            "installations_over_two": apart_rate / double.rate,
            PEAK: max(each.peak_mb for each in (four, scattered, *apart)),
        },
        {"four": four.cost, "random": scattered.cost},
    )


async def fines_through(
    services: Services, plan: Plan, load: Sequence[Record], members: int, tell: Tell
) -> Pace:
    """In a world of their own."""
    tell(f"fines through the service, processes: {members}")
    async with new_world(services) as world:
        return await sound_pace(world, FINE, load, plan.warm_up, members)


async def _keys_at_random(
    services: Services, plan: Plan, load: Sequence[Record], tell: Tell
) -> tuple[Pace, dict[str, float]]:
    """Fines of the same account are in partitions of both members, which lock the same rows.

    Raises BenchFailed if PostgreSQL has counted a deadlock.
    """
    tell(f"fines with keys at random through the service, processes: {MEMBERS}")
    scattered = list(keyed_at_random(load))
    async with new_world(services) as world:
        before = await counted(services, world.database_url)
        result = await sound_pace(world, FINE, scattered, plan.warm_up, MEMBERS)
        after = await counted(services, world.database_url)
    if deadlocks := after.deadlocks - before.deadlocks:
        raise BenchFailed(f"with keys at random there were {deadlocks} deadlocks")
    rollbacks = 1_000 * (after.rollbacks - before.rollbacks) / len(load)
    return result, {"random_keys_deadlocks": deadlocks, "random_keys_rollbacks": rollbacks}


async def _installations(
    services: Services, plan: Plan, load: Sequence[Record], tell: Tell
) -> list[Pace]:
    """Two services at the same time, each with a database, topics and half of the fines."""
    tell("fines through two installations")
    async with new_world(services) as first, new_world(services) as second:
        parts = [(first, load[::2]), (second, load[1::2])]
        start, warm_up = asyncio.Barrier(len(parts)), plan.warm_up // 2
        paces = [pace(world, SERVICE, FINE, part, warm_up, start=start) for world, part in parts]
        results = await asyncio.gather(*paces)
        for world, part in parts:
            await require_sound(world, len(part))
    return results
