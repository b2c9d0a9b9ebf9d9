"""How arrays go to PostgreSQL: as lists, without a question about each of their elements."""

import asyncpg
import pytest

from service.database.session import create_pool


async def test_a_list_is_an_array_and_a_view_of_keys_is_none(database_url: str) -> None:
    """The client's own check would take a view: it is replaced by a quicker one (session.py)."""
    pool = await create_pool(database_url)
    query = "SELECT cardinality($1::text [])"
    assert await pool.fetchval(query, ["a", None, "b"]) == 3
    assert await pool.fetchval(query, ()) == 0
    with pytest.raises(asyncpg.DataError):
        await pool.fetchval(query, {"a": 1}.keys())
    await pool.close()
