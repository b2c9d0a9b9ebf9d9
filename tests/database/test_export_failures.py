"""A run that cannot go on: which profiles it puts off, for how long, and how batches shrink."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.apply.applier import Applier
from service.apply.tally import TallyInMetrics, TallySink
from service.database.ledger_read import LedgerReader
from service.database.session import create_pool
from service.export.job import HALVED_FINES_MIN, ExportJob
from service.export.profiles.profile import Profiles
from service.export.schedule import MAX_MS, Retries
from service.export.seal import short_account_locks
from service.messages.decode import parse
from service.runtime.telemetry import Metrics
from service.settings.access import DatabaseLimits
from service.settings.parts import ApplyLimits
from tests.support.exports import all_fine_ids, check_sealed, fines, only, profiles_with
from tests.support.guards import Unguarded
from tests.support.installation import institution, profile
from tests.support.write_path import OUTPUTS, TOPICS, WritePath, fine, profiles_of

LOCKED = "another session has locked the run or an account of the batch for too long"
HOURS_LATER = (
    "UPDATE export_run SET cutoff = cutoff - interval '2 hours' WHERE profile = ANY($1::text[])"
)
# As a machine that is too slow for so many rows: the statement is ended by its time limit.
TOO_SLOW = """
CREATE FUNCTION too_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM added) > {rows} THEN
        RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER too_slow AFTER INSERT ON export_line
REFERENCING NEW TABLE AS added EXECUTE FUNCTION too_slow()
"""


def two_profiles() -> Profiles:
    options = {"fines_max": 1, "interval_seconds": 3600}
    return profiles_of(
        institution()
        + institution("7")
        + profile("A", fine_types=["OF_A"], **options)
        + profile("B", institution="7", fine_types=["OF_B"], **options)
    )


class Clock:
    """The monotonic clock of an export job, moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def job_of(applier: Applier, profiles: Profiles, clock: Clock) -> ExportJob:
    return ExportJob(applier, TOPICS, profiles, retries=Retries(clock))


class Watched(TallyInMetrics):
    """Counts in metrics, and tells when a commit is tried again."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(metrics)
        self.tried_again = asyncio.Event()

    def retrying(self, reason: str) -> None:
        super().retrying(reason)
        self.tried_again.set()


@asynccontextmanager
async def impatient(database_url: str, counting: TallySink | None = None) -> AsyncIterator[Applier]:
    """A write path that waits for locks twice, for a tenth of a second."""
    pool = await create_pool(database_url, DatabaseLimits(database_lock_wait_ms_max=100))
    limits, store = ApplyLimits(commit_tries_max=2), LedgerReader(parse)
    try:
        yield Applier(Unguarded(pool), store, OUTPUTS, limits, tally_sink=counting)
    finally:
        await pool.close()


async def sealed(path: WritePath) -> list[object]:
    rows = await path.rows("SELECT profile FROM export_batch ORDER BY sealed_at")
    return [row["profile"] for row in rows]


HELD = {
    "account": "SELECT FROM account WHERE institution_id = '6050' FOR UPDATE",
    "run": "SELECT FROM export_run WHERE profile = 'A' FOR UPDATE",
    "schedule": "SELECT FROM profile_seen WHERE profile = 'A' FOR UPDATE",
}


@pytest.mark.parametrize("held", HELD)
async def test_what_a_rival_holds_puts_off_its_own_profile_alone(
    path: WritePath, database_url: str, held: str
) -> None:
    await path.take(fine(type="OF_A"), fine(type="OF_B", institution_id="7"))
    await path.exports(two_profiles())._due()  # the profiles are known, none of them has run
    if held == "run":
        await path.pool.execute(
            "INSERT INTO export_run (institution_id, profile, run_id, cutoff, state)"
            " VALUES ('6050', 'A', 'r', now(), 'open')"
        )
    metrics, clock = Metrics(), Clock()
    counting = TallyInMetrics(metrics)
    async with impatient(database_url, counting) as applier, path.pool.acquire() as rival:
        job = job_of(applier, two_profiles(), clock)
        async with rival.transaction():
            await rival.execute(HELD[held])
            with capture_logs() as logs:
                assert await job.run_once() == 1
                assert await job.run_once() == 0
        (failed,) = [line for line in logs if line["event"] == "run_failed"]
        assert (failed["profile"], failed["reason"]) == ("A", LOCKED)
        assert failed["retry_in_ms"] > 0
        assert await sealed(path) == ["B"]
        assert metrics.registry.get_sample_value("bursar_run_failures_total", {"profile": "A"}) == 1
        clock.now_ns += MAX_MS * 1_000_000
        assert await job.run_once() == 1
    assert await sealed(path) == ["B", "A"]


async def test_a_batch_waits_for_a_rival_and_its_run_goes_on(
    path: WritePath, database_url: str
) -> None:
    """Held for one wait for a lock, of the two that the batch has."""
    await path.take(fine(type="OF_A"))
    counting = Watched(Metrics())
    async with (
        impatient(database_url, counting) as applier,
        path.pool.acquire() as rival,
    ):
        holding = rival.transaction()
        await holding.start()
        await rival.execute(HELD["account"])
        run = asyncio.create_task(job_of(applier, two_profiles(), Clock()).run_once())
        async with asyncio.timeout(30):
            await counting.tried_again.wait()
        await holding.rollback()
        assert await run == 1


@pytest.mark.parametrize(("session_ms", "inside"), [(5_000, "1s"), (300, "300ms")])
async def test_accounts_are_waited_for_shortly_and_whatever_comes_after_as_the_session_says(
    database_url: str, session_ms: int, inside: str
) -> None:
    pool = await create_pool(database_url, DatabaseLimits(database_lock_wait_ms_max=session_ms))
    async with pool.acquire() as connection, connection.transaction():
        before = await connection.fetchval("SHOW lock_timeout")
        async with short_account_locks(connection):
            assert await connection.fetchval("SHOW lock_timeout") == inside
        assert await connection.fetchval("SHOW lock_timeout") == before
    await pool.close()


async def test_a_database_that_does_not_answer_is_no_profiles_failure(
    path: WritePath, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.take(fine(type="OF_A"))
    metrics = Metrics()
    counting = TallyInMetrics(metrics)
    async with impatient(database_url, counting) as applier, path.pool.acquire() as rival:
        job = job_of(applier, two_profiles(), Clock())

        async def no_answer(_: object = None) -> bool:
            return False

        monkeypatch.setattr(Applier, "answers", no_answer)
        async with rival.transaction():
            await rival.execute(HELD["account"])
            with pytest.raises(asyncpg.LockNotAvailableError):
                await job.run_once()
    assert metrics.registry.get_sample_value("bursar_run_failures_total", {"profile": "A"}) is None


async def test_a_batch_that_is_too_much_for_a_time_limit_is_sealed_in_smaller_ones(
    path: WritePath,
) -> None:
    count = 4 * HALVED_FINES_MIN
    await path.take(*fines(count))
    await path.pool.execute(TOO_SLOW.format(rows=HALVED_FINES_MIN))
    profiles = profiles_with(count)
    with capture_logs() as logs:
        await path.exports(profiles, HALVED_FINES_MIN + 1).run_profile(only(profiles))
    manifests = await check_sealed(path)
    assert [manifest["count"] for manifest in manifests] == [HALVED_FINES_MIN] * 4
    assert all_fine_ids(manifests) == [f"F-{n:05}" for n in range(count)]
    halved = [line["fines_max"] for line in logs if line["event"] == "batch_halved"]
    assert halved == [2 * HALVED_FINES_MIN, HALVED_FINES_MIN]


async def test_a_small_batch_that_a_time_limit_ends_puts_its_profile_off(path: WritePath) -> None:
    await path.take(fine(type="OF_A"), fine(type="OF_B", institution_id="7"))
    await path.pool.execute(TOO_SLOW.format(rows=0))
    with capture_logs() as logs:
        assert await job_of(path.applier, two_profiles(), Clock()).run_once() == 0
    failed = [(line["profile"], line["reason"]) for line in logs if line["event"] == "run_failed"]
    reason = "a statement of the batch took longer than its time limit"
    assert failed == [("A", reason), ("B", reason)]


@pytest.mark.parametrize("batches", [1, 2], ids=["goes_on", "ends"])
async def test_a_profile_that_an_operators_run_has_mended_does_not_wait(
    path: WritePath, batches: int
) -> None:
    """The institution's export numbers are used up; then two fines are there, a batch for each."""
    await path.take(fine(type="OF_A"), fine(fine_id="F-2", type="OF_A"))
    await path.pool.execute("INSERT INTO export_counter VALUES ('6050', 999999999999999, 1000)")
    service = job_of(path.applier, two_profiles(), Clock())
    for _ in range(2):
        assert await service.run_once() == 0
    await path.pool.execute("UPDATE export_counter SET export_number = 100000000000007")
    assert await service.run_once() == 0, "nobody has told it"

    stop, numbers = asyncio.Event(), list[int]()

    def note_batch(number: int) -> None:
        numbers.append(number)
        if len(numbers) == batches:
            stop.set()

    profile = two_profiles().profiles[0]
    operator = path.exports(two_profiles())
    assert await operator.run_profile(profile, lambda item: note_batch(item.part), stop) == batches
    await path.take(fine(fine_id="F-3", type="OF_A", created_at="2026-09-01T00:00:00Z"))
    await path.pool.execute(HOURS_LATER, ["A"])
    # With its cutoff set back the run takes nothing more: an empty batch ends it, or the next run.
    assert await service.run_once() == 1
    assert await path.value("SELECT count(*) FROM export_batch") == batches + 1
