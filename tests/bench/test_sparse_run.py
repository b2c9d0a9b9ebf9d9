"""A run that passes over nearly everything holds no more than one that takes everything."""

import pytest

from tests.bench.exporting import ExportFigures, exported
from tests.bench.ledgers import fill, keep_due, multiply
from tests.bench.world import new_database
from tests.support.services import Services

pytestmark = pytest.mark.no_cover

DUE = 1_000
MORE_MB_MAX = 60
STEPS_OF = 10_000


async def _figures(services: Services, open_fines: int) -> ExportFigures:
    async with new_database(services) as url:
        await fill(url, DUE)
        if open_fines > DUE:
            await multiply(url, open_fines // DUE)
            await keep_due(url, DUE)
        async with exported(services, url, "intake") as (_, result):
            return result


async def _check(services: Services, open_fines: int, more_mb_max: int) -> None:
    alone = await _figures(services, DUE)
    among = await _figures(services, open_fines)
    print(
        f"{DUE} due among {open_fines} open: {among.peak_mb - alone.peak_mb:.0f} MB more than"
        f" alone, {among.seconds:.0f} s, {among.commits} commits; the longest wait of a poll of"
        f" the same patrons: {max(among.waits_ms):.0f} ms"
    )
    assert DUE <= among.fines < DUE + 5 * len(among.waits_ms) + 1, "those that came meanwhile"
    assert among.commits >= open_fines // (STEPS_OF + 2_000)
    assert among.peak_mb - alone.peak_mb < more_mb_max


async def test_a_thousand_due_among_twenty_thousand_open(services: Services) -> None:
    """Where those that are passed over were kept, they took 45 MB."""
    await _check(services, 20 * DUE, 20)


@pytest.mark.slow
async def test_a_thousand_due_among_a_million_open(services: Services) -> None:
    await _check(services, 1_000 * DUE, MORE_MB_MAX)
