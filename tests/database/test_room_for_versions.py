"""Accounts and patrons are written again and again: their pages have room for new versions."""

from __future__ import annotations

import pytest

from tests.support.exports import fines
from tests.support.write_path import WritePath

PATRONS = 400  # several pages of each table


@pytest.mark.parametrize(("table", "share_max"), [("account", 0.5), ("patron", 0.7)])
async def test_the_pages_of_new_rows_are_not_filled(
    path: WritePath, table: str, share_max: float
) -> None:
    """The last page may be nearly empty: it is left out."""
    await path.take(*fines(PATRONS))
    used = f"""
        SELECT sum(pg_column_size({table}.*))::float / current_setting('block_size')::integer
        FROM {table}
        GROUP BY (ctid::text::point)[0]
    """
    shares = [row[0] for row in await path.pool.fetch(used)]
    assert len(shares) > 2
    assert max(shares) <= share_max
    assert sorted(shares)[1] > share_max / 2
