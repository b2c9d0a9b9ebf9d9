"""The measurements of one run, in turns: the service, what it is compared with, the next one."""

import asyncio
import json
import math
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench import cpu, latency
from tests.bench.copy_ratio import OF_AN_EXPORT, copy_again
from tests.bench.ledgers import POLL, exported_lines, fill, tidy
from tests.bench.load import FINE, PAYMENT, Record, fines, payments
from tests.bench.pacing import HALF, TENTH, Latency
from tests.bench.world import (
    ROOT,
    BenchFailed,
    Outputs,
    World,
    joined,
    new_database,
    new_world,
    produce,
    profiles_file,
    running,
)
from tests.support.services import Services

SERVICE = ("service", "run")
MEMBERS = 2
TWO = (*SERVICE, "--processes", str(MEMBERS))
PER_EVENT = ("tests.bench.per_event",)
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
    """Events per second, and what an event costs the processor."""

    rate: float
    cost: cpu.Cost


@dataclass(frozen=True)
class Rates:
    """Events (or fines) per second of one run."""

    service: float
    two_services: float
    per_event: float
    copy: float
    payments: float
    two_payments: float
    payments_per_event: float
    export: float
    export_copy: float

    @property
    def figures(self) -> Mapping[str, float]:
        return {
            "ratio_per_event": self.service / self.per_event,
            "ratio_copy": self.service / self.copy,
            "payment_ratio_per_event": self.payments / self.payments_per_event,
            "two_ratio_per_event": self.two_services / self.per_event,
            "two_ratio_copy": self.two_services / self.copy,
            "two_payment_ratio_per_event": self.two_payments / self.payments_per_event,
            "export_ratio_copy": self.export / self.export_copy,
            "two_over_one": self.two_services / self.service,
        }


@dataclass(frozen=True)
class Turn:
    """One run of everything: the rates, and the costs of an event by what was measured."""

    rates: Rates
    costs: Mapping[str, cpu.Cost]
    latency: Latency

    @property
    def figures(self) -> Mapping[str, float]:
        return {**self.rates.figures, **self.latency.figures}


@dataclass(frozen=True)
class ExportFigures:
    """What an export run tells of itself; `last_over_first`: of the rates of its tenths.

    `waits_ms`: how long each poll took that was applied meanwhile; `commits`: of the run.
    """

    seconds: float
    fines: int
    batches: int
    peak_mb: float
    last_over_first: float
    waits_ms: list[float]
    commits: int


async def measure(services: Services, plan: Plan, runs: int, tell: Tell) -> list[Turn]:
    async with new_database(services) as filled:
        tell(f"a ledger with {plan.events + plan.warm_up} fines")
        await fill(filled, plan.events + plan.warm_up)
        result = []
        for number in range(1, runs + 1):
            tell(f"run {number} of {runs}")
            result.append(await _turn(services, filled, plan, tell))
        return result


async def measure_latency(
    services: Services, plan: Plan, runs: int, tell: Tell
) -> dict[str, list[float]]:
    """The figures of the latency alone; the maximal rate is measured before each."""
    load = list(fines(plan.events + plan.warm_up))
    values: dict[str, list[float]] = {}
    for number in range(1, runs + 1):
        tell(f"run {number} of {runs}: fines through the service")
        async with new_world(services) as world:
            service = await pace(world, SERVICE, FINE, load, plan.warm_up)
        result = await _latency(services, service.rate, plan, tell)
        for name, value in result.figures.items():
            values.setdefault(name, []).append(value)
    return values


async def _latency(services: Services, rate_max: float, plan: Plan, tell: Tell) -> Latency:
    tell(f"latency at {rate_max * TENTH:.0f} and at {rate_max * HALF:.0f} fines per second")
    return await latency.measure_at(services, SERVICE, rate_max, plan.latency_seconds)


async def _turn(services: Services, filled: str, plan: Plan, tell: Tell) -> Turn:
    load = list(fines(plan.events + plan.warm_up))
    tell("fines through the service")
    async with new_world(services) as world:
        service = await pace(world, SERVICE, FINE, load, plan.warm_up)
        tell("COPY of the same rows")
        copied = await copy_again(services, world.database_url, math.ceil(len(load) / POLL))
    late = await _latency(services, service.rate, plan, tell)
    tell("fines through two processes of the service")
    async with new_world(services) as world:
        two_services = await pace(world, TWO, FINE, load, plan.warm_up, MEMBERS)
    tell("fines through the handler of one event per commit")
    async with new_world(services) as world:
        few = load[: plan.warm_up + plan.per_event]
        per_event = await pace(world, PER_EVENT, FINE, few, plan.warm_up)
    tell("an export run")
    async with exported(services, filled) as (url, result):
        tell("COPY of the same rows")
        export_copied = await copy_again(services, url, result.batches, OF_AN_EXPORT)
        paid, two_paid, paid_per_event = await _payment_paces(services, url, plan, tell)
    rates = Rates(
        service=service.rate,
        two_services=two_services.rate,
        per_event=per_event.rate,
        copy=len(load) / copied.seconds,
        payments=paid.rate,
        two_payments=two_paid.rate,
        payments_per_event=paid_per_event.rate,
        export=result.fines / result.seconds,
        export_copy=result.fines / export_copied.seconds,
    )
    costs = {"one": service, "two": two_services, "payments": paid, "two_payments": two_paid}
    return Turn(rates, {name: each.cost for name, each in costs.items()}, late)


async def _payment_paces(
    services: Services, exported_url: str, plan: Plan, tell: Tell
) -> tuple[Pace, Pace, Pace]:
    load = list(payments(await exported_lines(exported_url)))
    few = load[: plan.warm_up + plan.per_event]
    tell("payments through the service")
    async with new_world(services, exported_url) as world:
        service = await pace(world, SERVICE, PAYMENT, load, plan.warm_up)
    tell("payments through two processes of the service")
    async with new_world(services, exported_url) as world:
        both = await pace(world, TWO, PAYMENT, load, plan.warm_up, MEMBERS)
    tell("payments through the handler of one event per commit")
    async with new_world(services, exported_url) as world:
        return service, both, await pace(world, PER_EVENT, PAYMENT, few, plan.warm_up)


async def pace(
    world: World,
    module: Sequence[str],
    contract: str,
    load: Sequence[Record],
    warm_up: int,
    members: int = 1,
) -> Pace:
    """From the first record available to the last balance-changed acknowledged.

    `members` is the number of processes in the consumer group that `module` starts.
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
        produced = await asyncio.to_thread(produce, world, contract, load[warm_up:], measured)
        ended = await outputs.reached(len(load), process)
        used = cpu.usage(measured)
    events = len(load) - warm_up
    return Pace(events / (ended - produced.at), cpu.cost(produced.used, used, events))


@asynccontextmanager
async def exported(
    services: Services, filled: str, *options: str
) -> AsyncIterator[tuple[str, ExportFigures]]:
    """A copy of a ledger after an export run of its own process, and what that told of itself."""
    async with new_world(services, filled) as world:
        environment = {"BURSAR_PROFILES_FILE": str(profiles_file())}
        result = ExportFigures(
            **await printed_by(world, "tests.bench.export_run", environment, *options)
        )
        if not result.fines:
            raise BenchFailed("the export run took no fines")
        await tidy(world.database_url)
        yield world.database_url, result


async def printed_by(
    world: World, module: str, environment: dict[str, str], *options: str
) -> dict[str, Any]:
    """The last line that a process of its own prints, read as JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *options),
        cwd=ROOT,
        env=world.environment | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the benchmark, which ends what it started
    )
    try:
        out, problems = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode != 0:
        raise BenchFailed(f"{module} failed:\n{problems.decode(errors='replace')}")
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result
