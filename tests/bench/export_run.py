"""One whole export run with its events sent, in a process of its own: prints what it took."""

import asyncio
import json
import resource
import time

from service.database.pool import create_pool
from service.export.profiles import read_profiles
from service.settings import Settings, read_settings
from service.telemetry import Metrics
from service.waiting import wait_any
from service.wiring import database_limits, new_applier, new_export_job, new_relay

LOOK_MS = 10


async def run(settings: Settings) -> dict[str, float]:
    """From the first look at the ledger until the outbox is empty."""
    assert settings.profiles_file is not None
    profiles = read_profiles(settings.profiles_file)
    url = settings.database_url.get_secret_value()
    async with await create_pool(url, database_limits(settings)) as pool:
        relay = new_relay(settings, pool, Metrics())
        await relay.run_once()  # takes the lease
        stop = asyncio.Event()
        relaying = asyncio.create_task(relay.run(stop))
        job = new_export_job(settings, pool, new_applier(settings, pool, relay.wake), profiles)
        started = time.perf_counter()
        manifests = await job.run_profile(profiles.profiles[0])
        while (await relay.status()).rows_waiting:
            await wait_any((stop,), LOOK_MS)
        seconds = time.perf_counter() - started
        stop.set()
        await relaying
    return {
        "seconds": seconds,
        "fines": sum(manifest.count for manifest in manifests),
        "batches": len(manifests),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(read_settings()))))
