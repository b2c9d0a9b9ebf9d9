"""A record that waits for a rival, or takes too long, holds its partition; all others go on."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from service.apply.applier import Applier
from service.apply.poll import Poll, Report
from service.database.ledger_read import LedgerReader
from service.database.session import create_pool
from service.messages.decode import parse
from service.operations.sweep import Sweep
from service.settings.access import DatabaseLimits
from tests.support.failing import fines_of
from tests.support.guards import Unguarded
from tests.support.write_path import (
    OUTPUTS,
    Record,
    WritePath,
    change,
    fine,
    miss_the_fine,
)

ALL = [f"F-{number}" for number in range(10, 30)]
CHANGES = ("library.fine-changed.v1", 0)
FINES = ("library.fine-created.v1", 0)
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON fine
FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION slow()
"""


@asynccontextmanager
async def limited(
    path: WritePath, database_url: str, limits: DatabaseLimits
) -> AsyncIterator[None]:
    """The write path with other limits of its sessions."""
    pool = await create_pool(database_url, limits)
    path.applier = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS)
    try:
        yield
    finally:
        await pool.close()


@asynccontextmanager
async def locked(path: WritePath) -> AsyncIterator[None]:
    """A rival holds all accounts that there are."""
    async with path.pool.acquire() as rival, rival.transaction():
        await rival.execute("SELECT FROM account FOR UPDATE")
        yield


def of_others(*fine_ids: str) -> list[Record]:
    return [
        fine(fine_id=fine_id, patron={**PATRON, "patron_id": f"P-{fine_id}"})
        for fine_id in fine_ids
    ]


PATRON = {"patron_id": "P-2", "name": "Roe, Ann", "user_group": "STUDENT", "identifiers": []}


async def apply_again(path: WritePath, *records: Record) -> Report:
    """What is read of partitions that were held."""
    poll = await path.poll(records)
    return await path.apply(Poll(poll.records, poll.assignments, frozenset({CHANGES, FINES})))


async def test_a_rivals_lock_holds_one_partition_and_its_time_is_spent_once(
    path: WritePath, database_url: str
) -> None:
    await path.take(fine(fine_id="F-1"))
    limits = DatabaseLimits(database_lock_wait_ms_max=2_000)
    late = [change(change_id="C-1", fine_id="F-1"), change(change_id="C-2", fine_id="F-9")]
    async with limited(path, database_url, limits):
        async with locked(path):
            started_ns = time.monotonic_ns()
            report = await path.take(*late, *of_others(*ALL))
            assert list(report.held) == [CHANGES]
            assert isinstance(report.held[CHANGES].error, asyncpg.LockNotAvailableError)
            assert report.outcomes == {"applied": 20}
            assert await fines_of(path) == {"F-1", *ALL}
            # 2 seconds, and 0.1 for each of the five halves with the record. Each half for 2
            # seconds would take 12.
            assert time.monotonic_ns() - started_ns < 8_000_000_000
            report = await apply_again(path, *late, *of_others("F-3"))
            assert (list(report.held), report.outcomes) == ([CHANGES], {"applied": 1})
            assert report.held[CHANGES].milliseconds < 1_500  # nobody waits for two seconds again
        report = await apply_again(path, *late)
    assert (report.held, report.outcomes) == ({}, {"applied": 1, "parked:unknown_fine": 1})
    assert await path.rows("SELECT topic, next_offset FROM consumer_offset ORDER BY topic") == [
        {"topic": CHANGES[0], "next_offset": 2},
        {"topic": FINES[0], "next_offset": 22},
    ]
    assert await path.value("SELECT count(*) FROM parked_error") == 0


async def test_a_record_behind_the_one_that_waits_never_overtakes_it(
    path: WritePath, database_url: str
) -> None:
    await path.take(*of_others("F-1"))
    before = of_others(*ALL[:10])
    behind = of_others(*ALL[10:])
    async with (
        limited(path, database_url, DatabaseLimits(database_lock_wait_ms_max=100)),
        locked(path),
    ):
        waits = fine(fine_id="F-2", patron={**PATRON, "patron_id": "P-F-1"})
        report = await path.take(*before, waits, *behind, change(fine_id="F-9"))
        assert list(report.held) == [FINES]
    assert await fines_of(path) == {"F-1", *ALL[:10]}
    assert report.assignments[1].next_offset == 11
    assert report.outcomes == {"applied": 10, "parked:unknown_fine": 1}


async def test_a_record_that_takes_too_long_holds_one_partition(
    path: WritePath, database_url: str
) -> None:
    await path.pool.execute(SLOW.format(seconds=60, condition="NEW.fine_id = 'F-13'"))
    changes = [change(change_id=f"C-{item}", fine_id=item) for item in ALL]
    async with limited(
        path, database_url, DatabaseLimits.model_construct(database_statement_ms_max=300)
    ):
        report = await path.take(*changes, *of_others(*ALL))
    assert await fines_of(path) == {"F-10", "F-11", "F-12"}
    assert isinstance(report.held[FINES].error, asyncpg.QueryCanceledError)
    assert report.outcomes["parked:unknown_fine"] == 20
    assert [part.next_offset for part in report.assignments] == [20, 3]


async def test_a_poll_that_is_too_much_for_a_statements_time_is_applied_in_parts(
    path: WritePath, database_url: str
) -> None:
    await path.pool.execute(SLOW.format(seconds=0.1, condition="TRUE"))
    async with limited(path, database_url, DatabaseLimits(database_statement_ms_max=1_500)):
        report = await path.take(*(fine(fine_id=item) for item in ALL))
    assert (report.outcomes, report.held) == ({"applied": 20}, {})
    instants = await path.rows("SELECT DISTINCT recorded_at FROM ledger_transaction")
    assert len(instants) > 1


async def test_a_rivals_lock_holds_up_one_queue_of_the_sweep(
    path: WritePath, database_url: str
) -> None:
    fines = of_others("F-1", *ALL)
    await path.take(*fines)
    await miss_the_fine(path, *(change(change_id=item, fine_id=item) for item in ("F-1", *ALL)))
    limits = DatabaseLimits(database_lock_wait_ms_max=2_000)
    async with (
        limited(path, database_url, limits),
        path.pool.acquire() as rival,
        rival.transaction(),
    ):
        await rival.execute("SELECT FROM account WHERE patron_id = 'P-F-1' FOR UPDATE")
        started_ns = time.monotonic_ns()
        assert await Sweep(path.pool, path.applier).run_once() == 20
        assert time.monotonic_ns() - started_ns < 8_000_000_000
    assert await path.rows("SELECT id FROM parked") == [{"id": "F-1"}]
    assert await path.value("SELECT count(*) FROM parked_failure") == 0
