"""Other sessions are in the way of the service, or the server ends its sessions, under load."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.database.session import Connection
from tests.faults.databases import FEW_EVENTS
from tests.faults.signs import Signs, total_of, until_more
from tests.faults.stage import Stage
from tests.support.process import connected
from tests.support.waiting import until

NAMES = ("one", "two")
TIMES = 5
SECONDS_MAX = 60
LOCK_WAIT_MS = 500
IDLE_MS = 1_000
OURS = "datname = current_database() AND application_name = 'bursar-bridge'"
END_SESSIONS = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OURS}"
IDLE = (
    f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {OURS} AND state = 'idle in transaction')"
)
WAITS = f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock')"
# Every third statement that writes transactions fails as if a rival had been faster.
SERIALIZATION_FAILURES = """
CREATE SEQUENCE rivals;
CREATE FUNCTION fail_now_and_then() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('rivals') % 3 = 0 THEN
        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER rival BEFORE INSERT ON ledger_transaction
FOR EACH STATEMENT EXECUTE FUNCTION fail_now_and_then();
"""
NO_MORE_FAILURES = """
DROP TRIGGER rival ON ledger_transaction;
DROP FUNCTION fail_now_and_then;
DROP SEQUENCE rivals;
"""


@contextlib.asynccontextmanager
async def rival_of(stage: Stage) -> AsyncIterator[Connection]:
    """A session of somebody else, in a transaction that is rolled back."""
    async with connected(stage.site.database_url) as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()


@pytest.mark.slow
@pytest.mark.fault("backends-ended")
async def test_sessions_that_the_server_ends_under_load_lose_and_double_nothing(
    stage: Stage,
) -> None:
    await stage.start("one", "two")

    async def harm() -> None:
        async with connected(stage.site.database_url) as connection:
            for _ in range(TIMES):
                stage.row.count("sessions ended", await connection.fetchval(END_SESSIONS))
                await stage.until_progress()

    await stage.under_load(harm, FEW_EVENTS)
    assert stage.row.restarts == 0


@pytest.mark.slow
@pytest.mark.fault("lock-timeout")
async def test_accounts_that_somebody_holds_are_waited_for_and_named(stage: Stage) -> None:
    await stage.start(*NAMES, settings={"BURSAR_DATABASE_LOCK_WAIT_MS_MAX": str(LOCK_WAIT_MS)})
    signs = [Signs(stage, name) for name in NAMES]

    def waits() -> int:
        return sum(len(each.logged("partition_waits")) for each in signs)

    async def harm() -> None:
        before = waits()
        async with rival_of(stage) as rival:
            stage.row.count("all accounts locked")
            await rival.execute("SELECT FROM account FOR UPDATE")
            await until(lambda: waits() > before)
            await until_more(stage, signs, "bursar_partitions_held", 0)

    await stage.under_load(harm, FEW_EVENTS)


@pytest.mark.slow
@pytest.mark.fault("deadlock")
async def test_a_rival_that_locks_in_another_order_is_counted_and_costs_a_try(
    stage: Stage,
) -> None:
    """It holds the accounts and wants the offsets, which an instance holds meanwhile."""
    await stage.start(*NAMES)
    signs = [Signs(stage, name) for name in NAMES]

    async def harm() -> None:
        before, is_victim = await total_of(signs, "bursar_deadlocks_total"), True
        while is_victim:  # on a busy machine the server may end the rival in place of the instance
            is_victim = False
            # A transaction sees the same list of sessions all the time.
            async with rival_of(stage) as rival, connected(stage.site.database_url) as watch:
                stage.row.count("deadlock")
                try:
                    await rival.execute("SELECT FROM account FOR UPDATE")
                    await until(lambda: watch.fetchval(WAITS))
                    await rival.execute("SELECT FROM consumer_offset FOR UPDATE")
                except asyncpg.DeadlockDetectedError:
                    is_victim = True
        await until_more(stage, signs, "bursar_deadlocks_total", before)

    await stage.under_load(harm, FEW_EVENTS)


@pytest.mark.slow
@pytest.mark.fault("serialization")
async def test_serialization_failures_are_counted_and_cost_a_try(stage: Stage) -> None:
    await stage.start(*NAMES)
    signs = [Signs(stage, name) for name in NAMES]

    async def harm() -> None:
        before = await total_of(signs, "bursar_commit_retries_total")
        async with connected(stage.site.database_url) as connection:
            await connection.execute(SERIALIZATION_FAILURES)
            await until_more(stage, signs, "bursar_commit_retries_total", before)
            failed = await connection.fetchval("SELECT last_value / 3 FROM rivals")
            stage.row.count("serialization failures", failed)
            await connection.execute(NO_MORE_FAILURES)

    await stage.under_load(harm, FEW_EVENTS)


@pytest.mark.slow
@pytest.mark.fault("idle-in-transaction")
async def test_a_transaction_that_the_server_ends_under_a_process_that_stands_still_is_made_again(
    stage: Stage,
) -> None:
    """The only instance, so that the transaction is known to be its own."""
    settings = {"BURSAR_DATABASE_IDLE_IN_TRANSACTION_MS_MAX": str(IDLE_MS)}
    await stage.start("one", settings=settings)
    member = stage.members["one"]

    async def harm() -> None:
        async with connected(stage.site.database_url) as connection:

            async def is_caught() -> bool:
                """Stopped between two statements of a transaction."""
                member.signal(signal.SIGSTOP)
                if await connection.fetchval(IDLE):
                    return True
                member.signal(signal.SIGCONT)
                return False

            await stage.until(is_caught, SECONDS_MAX)
            stage.row.count("transaction ended by the server")
            try:
                await until(lambda: connection.fetchval(f"SELECT NOT ({IDLE})"))
            finally:
                member.signal(signal.SIGCONT)

    await stage.under_load(harm, FEW_EVENTS)
    assert stage.row.restarts == 0
