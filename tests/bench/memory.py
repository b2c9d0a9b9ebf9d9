"""What a large export keeps in memory, and how long others wait for it; what a refusal keeps.

The same of an export that passes over nearly everything.
"""

from service.export.batch import Limits
from tests.bench.exporting import ExportFigures, exported, printed_by
from tests.bench.ledgers import export_whole, fill, keep_due, multiply
from tests.bench.throughput import Tell
from tests.bench.world import World, new_database
from tests.support.services import Services

BYTES_OF_A_FINE = 10_000
DUE_MAX = 1_000


async def measure(services: Services, fines: tuple[int, int], tell: Tell) -> dict[str, list[float]]:
    """Figures of two exports, each in a process of its own, with the intake going on.

    `export_memory_mb` is of one pair: a peak hardly varies.
    """
    small, large = fines
    async with new_database(services) as url:
        tell(f"an export of {small} fines")
        await fill(url, small)
        before = await _export(services, url)
        tell(f"the refusal of a batch of {small} lines")
        refusal_mb = await _refusal_mb(services, url, small)
        tell(f"an export of {large} fines")
        await multiply(url, large // small)
        after = await _export(services, url)
        due = min(DUE_MAX, small)
        tell(f"an export of {due} fines that are due among {large} open ones")
        await keep_due(url, due)
        among = await _export(services, url)
    tell(f"an export of {due} fines, all of which are due")
    alone = await _all_due(services, due)
    return {
        "export_memory_mb": [after.peak_mb - before.peak_mb],
        "export_large_rate": [after.fines / after.seconds],
        "export_last_over_first": [after.last_over_first],
        "export_intake_wait_ms": after.waits_ms,
        "sparse_memory_mb": [among.peak_mb - alone.peak_mb],
        "sparse_rate": [large / among.seconds],
        "sparse_commits": [among.commits],
        "sparse_intake_wait_ms": among.waits_ms,
        "refusal_memory_mb": [refusal_mb],
    }


async def _export(services: Services, url: str) -> ExportFigures:
    async with exported(services, url, "intake") as (_, result):
        return result


async def _all_due(services: Services, due: int) -> ExportFigures:
    async with new_database(services) as url:
        await fill(url, due)
        return await _export(services, url)


async def _refusal_mb(services: Services, filled: str, lines: int) -> float:
    """Of all lines in one batch, of however many bytes."""
    async with new_database(services, filled) as url:
        await export_whole(url, Limits(lines, bytes_max=lines * BYTES_OF_A_FINE))
        result = await printed_by(World(services, url, "none."), "tests.bench.refusal_run", {})
    memory_mb: float = result["memory_mb"]
    return memory_mb
