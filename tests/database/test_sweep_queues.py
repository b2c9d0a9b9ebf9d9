"""The sweep goes from queue to queue: one that fails, or is long, hides none of the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.apply.applier import Applier, QueueEntries
from service.core.events import WaitQueue
from service.database.ledger_read import LedgerReader
from service.database.session import Pool, create_pool
from service.messages.decode import parse
from service.operations import sweep as sweep_module
from service.operations.sweep import FAILED_FIRST_MS, FAILED_MAX_MS, Sweep
from service.runtime.waiting import Postponed
from service.settings.access import DatabaseLimits
from service.settings.parts import ApplyLimits
from tests.support.exports import patron
from tests.support.guards import Unguarded
from tests.support.inputs import ABSENT
from tests.support.write_path import (
    OUTPUTS,
    WritePath,
    change,
    fine,
    miss_the_fine,
    payment,
    reversal,
)

LONG = 510  # records of one queue, more than a page had when it was a page of records
TOO_SLOW = """
CREATE FUNCTION too_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014';
END $$;
CREATE TRIGGER too_slow BEFORE UPDATE ON fine
FOR EACH ROW WHEN (NEW.fine_id = 'A-BAD') EXECUTE FUNCTION too_slow()
"""


class Clock:
    """The monotonic clock of a sweep, moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def sweep_of(pool: Pool, applier: Applier, clock: Clock | None = None) -> Sweep:
    failed = Postponed[WaitQueue](FAILED_FIRST_MS, FAILED_MAX_MS, clock or Clock())
    return Sweep(pool, applier, failed=failed)


@asynccontextmanager
async def impatient(database_url: str) -> AsyncIterator[Applier]:
    pool = await create_pool(database_url, DatabaseLimits(database_lock_wait_ms_max=100))
    try:
        yield Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS, ApplyLimits())
    finally:
        await pool.close()


async def queues(path: WritePath, *names: str, records: int = 1, amount: str = "600.00") -> None:
    """Fines of a patron each, and desk payments of 1.00 that missed them."""
    await path.take(*(fine(fine_id=name, patron=patron(name), amount=amount) for name in names))
    await miss_the_fine(
        path,
        *(
            change(change_id=f"{name}-{n}", fine_id=name, amount="1.00")
            for name in names
            for n in range(records)
        ),
    )


async def left(path: WritePath) -> set[object]:
    return {row["fine_id"] for row in await path.rows("SELECT DISTINCT fine_id FROM parked")}


def failures(logs: list[EventDict]) -> list[EventDict]:
    return [line for line in logs if line["event"] == "sweep_failed"]


async def test_a_failing_queue_hides_none_behind_it_and_is_tried_ever_more_seldom(
    path: WritePath,
) -> None:
    await queues(path, "A-BAD", records=LONG)
    await queues(path, "B", "C")
    await path.pool.execute(TOO_SLOW)
    clock = Clock()
    sweep = sweep_of(path.pool, path.applier, clock)
    with capture_logs() as logs:
        assert await sweep.run_once() == 2
        assert await left(path) == {"A-BAD"}
        await queues(path, "D")
        assert await sweep.run_once() == 1
    (failed,) = failures(logs)
    assert FAILED_FIRST_MS / 2 <= failed["retry_in_ms"] <= FAILED_FIRST_MS
    clock.now_ns += FAILED_FIRST_MS * 1_000_000
    with capture_logs() as logs:
        assert await sweep.run_once() == 0
    assert len(failures(logs)) == 1
    await path.pool.execute("DROP TRIGGER too_slow ON fine")
    clock.now_ns += FAILED_MAX_MS * 1_000_000
    assert await sweep.run_once() == LONG
    assert await left(path) == set()


async def test_a_queue_whose_account_a_rival_holds_is_left_and_the_others_are_applied(
    path: WritePath, database_url: str
) -> None:
    await queues(path, "A", "B", "C")
    async with impatient(database_url) as applier, path.pool.acquire() as rival:
        sweep = sweep_of(path.pool, applier)
        async with rival.transaction():
            await rival.execute("SELECT FROM account WHERE patron_id = 'B' FOR UPDATE")
            with capture_logs() as logs:
                assert await sweep.run_once() == 2
        assert len(failures(logs)) == 1
        assert await left(path) == {"B"}
        assert await sweep_of(path.pool, applier).run_once() == 1


async def test_queues_of_both_kinds_are_taken_page_by_page(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reversals of payments that were rejected: they are in no fine's queue."""
    monkeypatch.setattr(sweep_module, "PAGE_QUEUES", 2)
    monkeypatch.setattr(sweep_module, "COMMIT_RECORDS_MAX", 3)
    await queues(path, *"ABCDEFG", records=2)
    originals = [f"O-{n}" for n in range(5)]
    await path.take(*(reversal(f"R-{original}", original) for original in originals))
    line = {"fine_id": ABSENT, "bursar_transaction_id": "77"}
    await path.pool.execute("CREATE TABLE hidden AS SELECT * FROM parked")
    await path.pool.execute("DELETE FROM parked WHERE wait = 'unknown_original'")
    await path.take(*(payment(payment_id=original, **line) for original in originals))
    await path.pool.execute(
        "INSERT INTO parked SELECT * FROM hidden WHERE wait = 'unknown_original'"
    )
    assert await sweep_of(path.pool, path.applier).run_once() == 14 + 5
    assert await path.value("SELECT count(*) FROM parked") == 0
    reasons = await path.rows("SELECT reason FROM payment WHERE payment_id LIKE 'R-%'")
    assert [row["reason"] for row in reasons] == ["original_rejected"] * 5


async def test_a_sweep_that_was_broken_off_goes_on_behind_the_page_that_it_had(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "PAGE_QUEUES", 1)
    await queues(path, "A-BAD", "B")
    sweep = sweep_of(path.pool, path.applier)
    works = path.applier.apply_queues

    async def fails(
        queues: Sequence[QueueEntries], failed: Callable[[QueueEntries, Exception], None]
    ) -> object:
        if "A-BAD" in repr(queues):
            raise asyncpg.InsufficientResourcesError
        return await works(queues, failed)

    monkeypatch.setattr(path.applier, "apply_queues", fails)
    with pytest.raises(asyncpg.InsufficientResourcesError):
        await sweep.run_once()
    assert await sweep.run_once() == 1
    assert await left(path) == {"A-BAD"}


async def test_what_still_has_to_wait_is_not_even_tried(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would lock accounts on every instance and at every interval, for nothing."""
    await queues(path, "MARKED")
    await path.pool.execute(
        "INSERT INTO parked_failure (institution_id, record, source, id, error, recorded_at)"
        " SELECT institution_id, record, source, id, 'Mistake', now() FROM parked"
    )
    await path.take(
        fine(fine_id="HERE"),
        payment(payment_id="early", fine_id="HERE", bursar_transaction_id=ABSENT),
        payment(payment_id="lost", fine_id="NEVER", bursar_transaction_id=ABSENT),
        reversal("behind", "early"),
        reversal("back", "unknown"),
    )
    tried: list[object] = []

    async def apply_queues(queues: object, _: object) -> dict[str, int]:
        tried.append(queues)
        return {}

    monkeypatch.setattr(path.applier, "apply_queues", apply_queues)
    assert await path.value("SELECT count(*) FROM parked") == 5
    assert await sweep_of(path.pool, path.applier).run_once() == 0
    assert tried == []
