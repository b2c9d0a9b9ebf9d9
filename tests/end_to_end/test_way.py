"""A fine passes few modules on its way, and is read seldom (docs/architecture.md)."""

from __future__ import annotations

from pathlib import Path

from tests.structure.way import ROOT, measure_way
from tests.support.services import Services

MODULES_MAX = 20
READS_MAX = 2


async def test_a_fine_passes_few_modules_and_is_read_seldom(
    services: Services, tmp_path: Path
) -> None:
    way = await measure_way(services, ROOT, tmp_path)
    assert {"consumer/loop", "core/rules", "apply/applier", "relay/loop"} <= way.modules
    assert len(way.modules) <= MODULES_MAX, sorted(way.modules)
    assert 1 <= len(way.reads_of_poll) <= READS_MAX, way.reads_of_poll
    assert 1 <= len(way.reads_of_batch) <= READS_MAX, way.reads_of_batch
