"""Offsets in the database: taken over by one owner, moved by compare-and-set."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.core.ledger import record_digest
from service.database.offsets import (
    Assignment,
    Step,
    advance,
    introduce,
    known_topics,
    take_over,
)
from service.database.session import Connection, Pool, create_pool, statements
from service.runtime.failures import Fenced
from tests.support.plans import rows_handled
from tests.support.waiting import until

PAYMENTS = """
INSERT INTO payment (institution_id, source, payment_id, kind, digest, state, amount, paid_at)
SELECT 'h', 's', 'p-' || n, 'payment', '', 'parked', 1, now() FROM generate_series(1, 5_000) AS n
"""
DIGEST = record_digest(b"key", b"value")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url)
    yield pool
    await pool.close()


def move(assignment: Assignment, next_offset: int) -> Step:
    after = replace(
        assignment,
        next_offset=next_offset,
        last_record_offset=next_offset - 1,
        last_record_digest=DIGEST,
    )
    return assignment, after


async def test_a_partition_without_a_row_starts_at_zero_and_its_topic_is_known(pool: Pool) -> None:
    async with pool.acquire() as connection:
        assert await known_topics(connection, ["t"]) == frozenset()
        assert await take_over(connection, [("t", 1), ("t", 0)]) == (
            Assignment("t", 0, 0, 1, None, None),
            Assignment("t", 1, 0, 1, None, None),
        )
        assert await known_topics(connection, ["t", "u"]) == {"t"}


async def test_an_introduced_topic_starts_where_it_was_told_and_a_later_word_changes_nothing(
    pool: Pool,
) -> None:
    async with pool.acquire() as connection:
        await introduce(connection, {("t", 0): 7, ("t", 1): 9})
        await introduce(connection, {("t", 0): 70, ("t", 1): 90})
        assert [c.next_offset for c in await take_over(connection, [("t", 0), ("t", 1)])] == [7, 9]


async def test_a_step_moves_the_offset_and_keeps_the_digest_of_the_last_record(pool: Pool) -> None:
    async with pool.acquire() as connection:
        (assignment,) = await take_over(connection, [("t", 0)])
        await advance(connection, [move(assignment, 5)], 1)
        assert await take_over(connection, [("t", 0)]) == (Assignment("t", 0, 5, 2, 4, DIGEST),)


async def test_a_former_owner_is_fenced_by_the_next_owner(pool: Pool) -> None:
    async with pool.acquire() as connection:
        (old,) = await take_over(connection, [("t", 0)])
        (new,) = await take_over(connection, [("t", 0)])
        with pytest.raises(Fenced):
            await advance(connection, [move(old, 5)], 1)
        await advance(connection, [move(new, 3)], 1)


async def test_the_same_step_twice_is_fenced(pool: Pool) -> None:
    async with pool.acquire() as connection:
        (assignment,) = await take_over(connection, [("t", 0)])
        await advance(connection, [move(assignment, 5)], 1)
        with pytest.raises(Fenced):
            await advance(connection, [move(assignment, 5)], 1)


async def test_one_partition_that_is_not_ours_undoes_the_whole_step(pool: Pool) -> None:
    async with pool.acquire() as connection:
        first, second = await take_over(connection, [("t", 0), ("t", 1)])
        await take_over(connection, [("t", 1)])

        async def both() -> None:
            async with connection.transaction():
                await advance(connection, [move(second, 2), move(first, 2)], 1)

        with pytest.raises(Fenced):
            await both()
        assert [c.next_offset for c in await take_over(connection, [("t", 0), ("t", 1)])] == [0, 0]


async def test_many_records_are_looked_up_by_key_also_where_the_plan_is_of_an_empty_table(
    pool: Pool,
) -> None:
    """The statistics of an empty table are those of every new ledger after a restore."""
    sql, keys = statements("ledger")["read_payment"], "ARRAY['h'], ARRAY['s'], ARRAY['p-7']"
    async with pool.acquire() as connection:
        (assignment,) = await take_over(connection, [("t", 0)])
        await connection.execute("VACUUM ANALYZE payment")
        await connection.execute(f"PREPARE kept (text [], text [], text []) AS {sql}")
        for _ in range(10):
            await connection.execute(f"EXECUTE kept ({keys})")
        async with connection.transaction():
            await connection.execute(PAYMENTS)
            assert await rows_handled(connection, f"EXECUTE kept ({keys})") == 5_000
            await advance(connection, [move(assignment, 5_000)], 5_000)
            assert await rows_handled(connection, f"EXECUTE kept ({keys})") == 1


async def test_taking_over_waits_for_the_commit_of_the_owner_before_and_goes_on_behind_it(
    pool: Pool,
) -> None:
    async with pool.acquire() as owner, pool.acquire() as heir:
        (assignment,) = await take_over(owner, [("t", 0)])
        async with owner.transaction():
            await advance(owner, [move(assignment, 5)], 1)
            taking_over = asyncio.create_task(take_over(heir, [("t", 0)]))
            await until_a_session_waits_for_a_lock(pool)
        assert [c.next_offset for c in await taking_over] == [5]


async def test_steps_of_two_owners_over_the_same_partitions_never_deadlock(pool: Pool) -> None:
    places = [("t", partition) for partition in range(8)]

    async def rival(backwards: bool) -> int:
        fenced = 0
        async with pool.acquire() as connection:
            for _ in range(50):
                assignments = await take_over(connection, places[::-1] if backwards else places)
                steps = [move(c, c.next_offset + 1) for c in assignments]
                try:
                    async with connection.transaction():
                        await advance(connection, steps[::-1] if backwards else steps, 1)
                except Fenced:
                    fenced += 1
        return fenced

    fenced = await asyncio.gather(*(rival(bool(number % 2)) for number in range(4)))
    async with pool.acquire() as connection:
        moved = {c.next_offset for c in await take_over(connection, places)}
    assert moved == {4 * 50 - sum(fenced)}


def test_a_digest_tells_apart_a_missing_key_an_empty_one_and_a_tombstone() -> None:
    digests = {
        record_digest(None, b"ab"),
        record_digest(b"", b"ab"),
        record_digest(b"a", b"b"),
        record_digest(b"ab", b""),
        record_digest(b"ab", None),
    }
    assert len(digests) == 5


async def until_a_session_waits_for_a_lock(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await until(lambda: waits(connection))


async def waits(connection: Connection) -> bool:
    value: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    return value
