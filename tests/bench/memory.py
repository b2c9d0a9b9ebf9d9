"""What an export keeps in memory: the peak of a large one less that of a small one."""

from tests.bench.figures import Tell, exported
from tests.bench.ledgers import fill, multiply
from tests.bench.world import new_database
from tests.support.services import Services


async def measure(services: Services, fines: tuple[int, int], tell: Tell) -> list[float]:
    """In MB; each export in a process of its own. Of one pair: a peak hardly varies."""
    small, large = fines
    async with new_database(services) as url:
        tell(f"the memory of an export of {small} fines")
        await fill(url, small)
        before = await _peak_mb(services, url)
        tell(f"the memory of an export of {large} fines")
        await multiply(url, large // small)
        return [await _peak_mb(services, url) - before]


async def _peak_mb(services: Services, filled: str) -> float:
    async with exported(services, filled) as (_, told):
        return told["peak_mb"]
