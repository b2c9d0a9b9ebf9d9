"""A refused batch applied in a process of its own: prints what that held in memory at most."""

import asyncio
import gc
import json
import os

from service.apply.applier import Applier
from service.database.ledger_read import LedgerReader
from service.database.session import create_pool
from service.messages.decode import parse
from tests.bench.ledgers import OUTPUTS, apply
from tests.bench.load import RESPONSE, refusal
from tests.bench.peak import forget_peak, peak_mb
from tests.support.guards import Unguarded


async def run(database_url: str) -> dict[str, float]:
    """`memory_mb`: at most, less what the process held before."""
    async with await create_pool(database_url) as pool:
        applier = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS)
        gc.collect()
        before = forget_peak()
        await apply(applier, [refusal()], RESPONSE)
        return {"memory_mb": peak_mb() - before}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(os.environ["DATABASE_URL"]))))
