"""The measurements of one run, in turns: the service, what it is compared with, the next one."""

import asyncio
import json
import math
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.copy_ratio import OF_AN_EXPORT, copy_again
from tests.bench.ledgers import POLL, exported_lines, fill, tidy
from tests.bench.load import FINE, PAYMENT, Record, fines, payments
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
PER_EVENT = ("tests.bench.per_event",)
# Its rate does not depend on how many there are: a part of the load is enough, and soon over.
PER_EVENT_SHARE = 10

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Of one run: events measured, and events before them that warm everybody up."""

    events: int
    warm_up: int
    per_event: int

    @classmethod
    def of(cls, events: int) -> "Plan":
        warm_up = min(200, max(5, events // 10))
        return cls(events, warm_up, max(min(events, 20), events // PER_EVENT_SHARE))


@dataclass(frozen=True)
class Rates:
    """Events (or fines) per second of one run."""

    service: float
    two_services: float
    per_event: float
    copy: float
    payments: float
    payments_per_event: float
    export: float
    export_copy: float

    @property
    def figures(self) -> Mapping[str, float]:
        return {
            "ratio_per_event": self.service / self.per_event,
            "ratio_copy": self.service / self.copy,
            "payment_ratio_per_event": self.payments / self.payments_per_event,
            "export_ratio_copy": self.export / self.export_copy,
            "two_over_one": self.two_services / self.service,
        }


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


async def measure(services: Services, plan: Plan, runs: int, tell: Tell) -> list[Rates]:
    async with new_database(services) as filled:
        tell(f"a ledger with {plan.events + plan.warm_up} fines")
        await fill(filled, plan.events + plan.warm_up)
        result = []
        for number in range(1, runs + 1):
            tell(f"run {number} of {runs}")
            result.append(await _run(services, filled, plan, tell))
        return result


async def _run(services: Services, filled: str, plan: Plan, tell: Tell) -> Rates:
    load = list(fines(plan.events + plan.warm_up))
    tell("fines through the service")
    async with new_world(services) as world:
        service = await rate(world, SERVICE, FINE, load, plan.warm_up)
        tell("COPY of the same rows")
        copied = await copy_again(services, world.database_url, math.ceil(len(load) / POLL))
    tell("fines through two instances of the service")
    async with new_world(services) as world:
        two_services = await rate(world, SERVICE, FINE, load, plan.warm_up, instances=2)
    tell("fines through the handler of one event per commit")
    async with new_world(services) as world:
        few = load[: plan.warm_up + plan.per_event]
        per_event = await rate(world, PER_EVENT, FINE, few, plan.warm_up)
    tell("an export run")
    async with exported(services, filled) as (url, result):
        tell("COPY of the same rows")
        export_copied = await copy_again(services, url, result.batches, OF_AN_EXPORT)
        paid, paid_per_event = await _payment_rates(services, url, plan, tell)
    return Rates(
        service=service,
        two_services=two_services,
        per_event=per_event,
        copy=len(load) / copied.seconds,
        payments=paid,
        payments_per_event=paid_per_event,
        export=result.fines / result.seconds,
        export_copy=result.fines / export_copied.seconds,
    )


async def _payment_rates(
    services: Services, exported_url: str, plan: Plan, tell: Tell
) -> tuple[float, float]:
    load = list(payments(await exported_lines(exported_url)))
    tell("payments through the service")
    async with new_world(services, exported_url) as world:
        service = await rate(world, SERVICE, PAYMENT, load, plan.warm_up)
    tell("payments through the handler of one event per commit")
    async with new_world(services, exported_url) as world:
        few = load[: plan.warm_up + plan.per_event]
        return service, await rate(world, PER_EVENT, PAYMENT, few, plan.warm_up)


async def rate(
    world: World,
    module: Sequence[str],
    contract: str,
    load: Sequence[Record],
    warm_up: int,
    instances: int = 1,
) -> float:
    """Events/s from the first record available to the last balance-changed acknowledged."""
    name = module[0].rpartition(".")[2]
    async with AsyncExitStack() as stack:
        for number in range(1, instances + 1):
            process = await stack.enter_async_context(running(world, f"{name}-{number}", *module))
        outputs = await stack.enter_async_context(Outputs(world))
        if instances > 1:
            await joined(world, instances, process)
        await asyncio.to_thread(produce, world, contract, load[:warm_up])
        await outputs.reached(warm_up, process)
        began = await asyncio.to_thread(produce, world, contract, load[warm_up:])
        ended = await outputs.reached(len(load), process)
    return (len(load) - warm_up) / (ended - began)


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
