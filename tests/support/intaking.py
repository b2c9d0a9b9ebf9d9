"""The intake on a database and a topic of a test's own, and fines for it to read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

from service.apply.applier import Applier
from service.apply.poll import Poll, Report
from service.consumer.group import IntakePauses
from service.consumer.loop import Intake
from service.database.session import Pool
from service.settings.parts import IntakeLimits
from tests.support.inputs import fine_created, structured

FINE = "fine-created.v1"
QUICK = IntakeLimits(
    poll_wait_ms=50, kafka_session_timeout_ms=6_000, kafka_heartbeat_interval_ms=200
)
SHORT = IntakePauses(
    lag_seconds_max=1, commit_interval_ms=20, backoff_first_ms=20, backoff_ms_max=200
)


SECONDS_MAX = 60
MakeIntake = Callable[..., Intake]
Running = Callable[[Intake], contextlib.AbstractAsyncContextManager[asyncio.Event]]


class Failing:
    """The real write path, behind faults: before it applies, and after it has."""

    def __init__(self, applier: Applier, before: int, after: int) -> None:
        self._applier = applier
        self.before = before
        self.after = after

    async def apply(self, poll: Poll) -> Report:
        if self.before:
            self.before -= 1
            raise TimeoutError
        report = await self._applier.apply(poll)
        if self.after:
            self.after -= 1
            raise TimeoutError
        return report


@contextlib.asynccontextmanager
async def running(*intakes: Intake) -> AsyncIterator[asyncio.Event]:
    """They run meanwhile, and must have stopped by themselves in the end."""
    stop = asyncio.Event()
    runs = [run for intake in intakes for run in (intake.run, intake.contact.run)]
    tasks = [asyncio.create_task(run(stop)) for run in runs]
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(SECONDS_MAX):
            await asyncio.gather(*tasks)


def fines(numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes]]:
    for number in numbers:
        fine = fine_created(
            fine_id=f"F-{number}", patron={**PATRON, "patron_id": f"P-{number % 50}"}
        )
        yield b"%d" % number, structured(FINE, fine)[0]


PATRON: dict[str, object] = {
    "patron_id": "P",
    "name": "Doe, Jane",
    "user_group": "STUDENT",
    "identifiers": [],
}


async def count(pool: Pool, table: str = "fine") -> int:
    async with pool.acquire() as connection:
        value: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
        return value


def holds(pool: Pool, wanted: int, table: str = "fine") -> Callable[[], Awaitable[bool]]:
    async def is_reached() -> bool:
        return await count(pool, table) == wanted

    return is_reached


async def offsets(pool: Pool) -> dict[int, int]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT partition, next_offset FROM consumer_offset")
    return {row[0]: row[1] for row in rows}


async def check_each_once(pool: Pool, wanted: int) -> None:
    """One fine, one transaction, each; nothing recognised as a repeat is counted twice."""
    assert await count(pool) == wanted
    assert await count(pool, "ledger_transaction") == wanted


async def ready(intake: Intake) -> bool:
    return intake.problem() is None


async def says(intake: Intake, text: str) -> bool:
    return intake.problem() == text


async def holds_if_available(pool: Pool, wanted: int) -> bool:
    try:
        return await count(pool) == wanted
    except Exception:  # noqa: BLE001 - a session that was ended; the next look has another
        return False


async def run_until_it_stops(intake: Intake) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        await intake.run(asyncio.Event())
