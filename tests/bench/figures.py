"""The measurements of one run, in turns: the service, what it is compared with, the next one."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.bench import latency, processes
from tests.bench.copy_ratio import OF_AN_EXPORT, Copied, copy_again
from tests.bench.exporting import ExportFigures, exported
from tests.bench.history import History, fill_with_history
from tests.bench.ledgers import POLL, exported_lines
from tests.bench.load import FINE, PAYMENT, Record, fines, payments
from tests.bench.pacing import FOUR_FIFTHS, HALF, TENTH, Latency
from tests.bench.soundness import require_small, require_sound
from tests.bench.throughput import MEMBERS, PEAK, SERVICE, Pace, Plan, Tell, Turn, pace, sound_pace
from tests.bench.world import World, new_database, new_world
from tests.support.services import Services

PER_EVENT = ("tests.bench.per_event",)


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
    def figures(self) -> dict[str, float]:
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
class _Fines:
    """What was measured of fines."""

    service: Pace
    copied: Copied
    late: Latency
    two_services: Pace
    per_event: Pace


@dataclass(frozen=True)
class _Exported:
    """What was measured of an export run, and of payments for its lines."""

    export: ExportFigures
    copied: Copied
    payments: Pace
    two_payments: Pace
    payments_per_event: Pace


async def measure(
    services: Services, plan: Plan, runs: int, tell: Tell, *, with_more: bool
) -> list[Turn]:
    """So many runs; `with_more`: also through more members, and with keys at random."""
    async with new_database(services) as filled:
        tell(f"a ledger with {plan.events + plan.warm_up} fines")
        before = await fill_with_history(filled, plan.events + plan.warm_up)
        result = []
        for number in range(1, runs + 1):
            tell(f"run {number} of {runs}")
            turn = await _turn(services, filled, before, plan, tell, with_more=with_more)
            result.append(turn)
        return result


async def measure_latency(
    services: Services, plan: Plan, runs: int, tell: Tell
) -> dict[str, list[float]]:
    """The figures of the latency alone; the maximal rate is measured before each."""
    load = list(fines(plan.events + plan.warm_up))
    values: dict[str, list[float]] = {}
    for number in range(1, runs + 1):
        tell(f"run {number} of {runs}")
        service = await processes.fines_through(services, plan, load, 1, tell)
        late = await _latency(services, service.rate, plan, tell)
        peak_mb = max(service.peak_mb, late.peak_mb)
        for name, value in {**late.figures, PEAK: peak_mb}.items():
            values.setdefault(name, []).append(value)
    return values


async def _latency(services: Services, rate_max: float, plan: Plan, tell: Tell) -> Latency:
    rates = " and ".join(f"{rate_max * part:.0f}" for part in (TENTH, HALF, FOUR_FIFTHS))
    tell(f"latency at {rates} fines per second")
    return await latency.measure_at(services, SERVICE, rate_max, plan.latency_seconds)


async def _turn(
    services: Services, filled: str, before: History, plan: Plan, tell: Tell, *, with_more: bool
) -> Turn:
    load = list(fines(plan.events + plan.warm_up))
    each = await _fines(services, plan, load, tell)
    single, double = each.service, each.two_services
    more = None
    if with_more:
        more = await processes.more_members(services, plan, load, (single, double), tell)
    then = await _exported(services, filled, before, plan, tell)
    rates = Rates(
        service=single.rate,
        two_services=double.rate,
        per_event=each.per_event.rate,
        copy=len(load) / each.copied.seconds,
        payments=then.payments.rate,
        two_payments=then.two_payments.rate,
        payments_per_event=then.payments_per_event.rate,
        export=then.export.fines / then.export.seconds,
        export_copy=then.export.fines / then.copied.seconds,
    )
    paces = {
        "one": single,
        "two": double,
        "payments": then.payments,
        "two_payments": then.two_payments,
    }
    peaks = [each.late.peak_mb, then.export.peak_mb, *(result.peak_mb for result in paces.values())]
    costs = {name: result.cost for name, result in paces.items()}
    figures = {**rates.figures, **each.late.figures, PEAK: max(peaks)}
    turn = Turn(asdict(rates), figures, costs)
    return turn if more is None else turn.joined_with(more)


async def _fines(services: Services, plan: Plan, load: Sequence[Record], tell: Tell) -> _Fines:
    tell("fines through the service")
    async with new_world(services) as world:
        service = await sound_pace(world, FINE, load, plan.warm_up)
        tell("COPY of the same rows")
        copied = await copy_again(services, world.database_url, math.ceil(len(load) / POLL))
    late = await _latency(services, service.rate, plan, tell)
    two_services = await processes.fines_through(services, plan, load, MEMBERS, tell)
    tell("fines through the handler of one event per commit")
    async with new_world(services) as world:
        few = load[: plan.warm_up + plan.per_event]
        per_event = await pace(world, PER_EVENT, FINE, few, plan.warm_up)
    return _Fines(service, copied, late, two_services, per_event)


async def _exported(
    services: Services, filled: str, before: History, plan: Plan, tell: Tell
) -> _Exported:
    tell("an export run")
    async with exported(services, filled) as (world, result):
        require_small(result.peak_mb)
        history = await require_sound(world, result.fines, before)
        tell("COPY of the same rows")
        copied = await copy_again(services, world.database_url, result.batches, OF_AN_EXPORT)
        paid = await _payment_paces(services, world, history, plan, tell)
    return _Exported(result, copied, *paid)


async def _payment_paces(
    services: Services, exported_in: World, before: History, plan: Plan, tell: Tell
) -> tuple[Pace, Pace, Pace]:
    """By the service, by two processes of it, and by the handler of one event per commit."""
    url = exported_in.database_url
    load = list(payments(await exported_lines(url)))
    paces = []
    for members in (1, MEMBERS):
        tell(f"payments through the service, processes: {members}")
        async with new_world(services, url) as world:
            result = await sound_pace(world, PAYMENT, load, plan.warm_up, members, before)
            paces.append(result)
    tell("payments through the handler of one event per commit")
    async with new_world(services, url) as world:
        few = load[: plan.warm_up + plan.per_event]
        paces.append(await pace(world, PER_EVENT, PAYMENT, few, plan.warm_up))
    single, double, per_event = paces
    return single, double, per_event
