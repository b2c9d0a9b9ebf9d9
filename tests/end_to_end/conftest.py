"""Processes of the service for end-to-end tests, ended however a test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.process import Site


@pytest.fixture
async def site(
    database_url: str,
    bootstrap_servers: str,
    topic_prefix: str,
    group_id: str,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    """Nothing runs yet, and there are no topics."""
    site = Site(database_url, bootstrap_servers, topic_prefix, group_id, tmp_path)
    try:
        yield site
    finally:
        await site.end_all()
