"""A large batch leaves the event loop free: heartbeats and the session's signs of life go on."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import pytest

from service.apply.applier import Applier
from service.core import rules
from service.database import session
from service.database.ledger_read import LedgerReader
from service.database.outbox import Outputs
from service.database.session import create_pool
from service.export import build, evaluation, publish
from service.export.job import ExportJob
from service.export.xml import proof
from service.messages.decode import parse
from service.settings.access import DatabaseLimits
from tests.support.exports import check_sealed, fines, only, profiles_with
from tests.support.guards import Unguarded
from tests.support.large_ledger import fill
from tests.support.write_path import OUTPUTS, TOPICS, WritePath

FINES = 5_000  # of these 2 900 are due
STRETCH_CALLS_MAX = 200_000  # encoding the rows that the batch changes takes 120 000
IDLE_MS_MAX = 500


async def a_large_ledger(path: WritePath) -> None:
    async with path.pool.acquire() as connection:
        await fill(connection, 1, FINES)
        await connection.execute("DELETE FROM parked")  # their bytes are no records
        await connection.execute(
            "INSERT INTO export_counter VALUES ('6050', 100000000001000, 1000000000100000)"
        )


@dataclass
class Stretches:
    """The most calls of functions that one stretch of the event loop made, in its own thread."""

    calls: int = 0
    most_calls: int = 0

    def count(self, _frame: FrameType, event: str, _function: object) -> None:
        """A profile function: of Python, called for each call and each return in the thread."""
        self.calls += event in {"call", "c_call"}

    def end(self) -> None:
        """Another task has its turn, so a stretch is over."""
        self.calls, self.most_calls = 0, max(self.calls, self.most_calls)


@asynccontextmanager
async def counted() -> AsyncIterator[Stretches]:
    """Calls instead of time: they are the same number on every machine, however busy it is."""
    stretches, done = Stretches(), asyncio.Event()

    async def tick() -> None:
        while not done.is_set():
            stretches.end()
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.001)

    ticking = asyncio.create_task(tick())
    sys.setprofile(stretches.count)
    try:
        yield stretches
    finally:
        sys.setprofile(None)
        done.set()
        await ticking


async def test_no_step_of_a_large_batch_holds_the_loop(path: WritePath) -> None:
    await a_large_ledger(path)
    profiles = profiles_with(10_000)
    async with counted() as stretches:
        await path.exports(profiles).run_profile(only(profiles))
    (row,) = await path.rows("SELECT fine_count FROM export_batch WHERE profile = 'bursar'")
    assert int(str(row["fine_count"])) > 2_500
    assert stretches.most_calls < STRETCH_CALLS_MAX


def slowly(work: Callable[..., object], ran: set[str]) -> Callable[..., object]:
    """Takes longer than the session may be idle in its transaction."""

    def slow(*arguments: object, **options: object) -> object:
        ran.add(work.__name__)
        until_ns = time.monotonic_ns() + (IDLE_MS_MAX + 100) * 1_000_000
        while time.monotonic_ns() < until_ns:
            pass
        return work(*arguments, **options)

    return slow


async def test_the_session_is_kept_however_long_the_work_on_a_batch_takes(
    path: WritePath, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine with many busy processes beside this one."""
    await path.take(*fines(session.INLINE_RECORDS_MAX + 1))
    monkeypatch.setattr(session, "SIGN_OF_LIFE_MS", IDLE_MS_MAX // 10)
    ran = set[str]()
    for place, name in (
        (evaluation, "evaluate_groups"),
        (rules, "fold"),
        (build, "lines_of"),
        (proof, "prove"),
        (build, "manifest_of"),
        (publish, "encode_manifest"),
        (Outputs, "encoded"),
    ):
        monkeypatch.setattr(place, name, slowly(getattr(place, name), ran))
    pool = await create_pool(
        database_url,
        DatabaseLimits.model_construct(database_idle_in_transaction_ms_max=IDLE_MS_MAX),
    )
    try:
        applier = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS)
        profiles = profiles_with(1_000)
        await ExportJob(applier, TOPICS, profiles).run_profile(only(profiles))
    finally:
        await pool.close()
    (manifest,) = await check_sealed(path)
    assert manifest["count"] == session.INLINE_RECORDS_MAX + 1
    assert len(ran) == 7
