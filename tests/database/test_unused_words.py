"""Words of profiles that nothing has had so far, in a ledger larger than the sample."""

from __future__ import annotations

import asyncpg

from service.operations.unused_words import SAMPLE_ROWS, UnusedWord, unused_words
from tests.support.installation import institution, profile
from tests.support.large_ledger import fill
from tests.support.write_path import profiles_of

PROFILES = profiles_of(
    institution()
    + institution("7")
    + profile("SIS", fine_types=["OVERDUEFINE", "LOSTITEMFINE"])
    + profile("NEW", institution="7")
)


async def test_a_word_beyond_the_sample_is_not_called_unused(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await fill(connection, 1, SAMPLE_ROWS + 1_000)
        expected = [UnusedWord("SIS", "fine_types", "LOSTITEMFINE")]
        assert await unused_words(connection, PROFILES) == expected, "of 7 nothing can be said yet"
        await connection.execute("UPDATE fine SET type = 'LOSTITEMFINE' WHERE fine_id = 'F-11000'")
        assert await unused_words(connection, PROFILES) == []
    finally:
        await connection.close()
