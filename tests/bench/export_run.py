"""One whole export run with its events sent, in a process of its own: prints what it took.

With `intake`, records of the patrons that it is about to take are applied meanwhile, in the same
process, as in the service.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict

from service.apply.applier import Applier
from service.apply.tally import TallyInMetrics
from service.database.session import Pool, create_pool
from service.export.manifest import Manifest
from service.export.plan import Passed
from service.export.profiles.reading import read_profiles
from service.relay.loop import Relay
from service.runtime.process import collect_garbage_seldom
from service.runtime.waiting import wait_any
from service.settings import Settings, read_settings
from service.wiring import (
    WRITERS,
    new_applier,
    new_export_job,
    new_guard,
)
from tests.bench.exporting import ExportFigures
from tests.bench.ledgers import apply
from tests.bench.load import INSTITUTION, more_fines
from tests.bench.peak import peak_mb

POLL_MS = 10
PAUSE_MS = 100
POLL = 5
BESIDE = "beside"  # the writer of the records that are applied meanwhile

# Those with fines that are due: they are in the batch that is being made, unless it is the last.
NEXT_PATRONS = f"""
SELECT DISTINCT patron_id FROM (
    SELECT patron_id FROM fine
    WHERE
        institution_id = '{INSTITUTION}'
        AND patron_id
        > coalesce((SELECT max(after_patron) FROM export_run WHERE state = 'open'), '')
        AND status IN ('Active', 'In dispute')
        AND created_at < clock_timestamp()
    ORDER BY patron_id LIMIT {POLL}
) AS due
"""


async def run(settings: Settings, with_intake: bool) -> ExportFigures:
    """From the first look at the ledger until the outbox is empty."""
    assert settings.profiles_file is not None
    profiles = read_profiles(settings.profiles_file)
    url = settings.database_url.get_secret_value()
    async with await create_pool(url, settings) as pool:
        guard = new_guard(settings, pool)
        await guard.open((*WRITERS, BESIDE))
        relay = Relay(guard, settings, guard.process, settings)
        await relay.run_once()  # takes the lease
        stop, over = asyncio.Event(), asyncio.Event()
        relaying = asyncio.create_task(relay.run(stop))
        applier = new_applier(settings, guard.writer("export"), relay.wake, TallyInMetrics())
        beside = new_applier(settings, guard.writer(BESIDE), relay.wake, TallyInMetrics())
        job = new_export_job(settings, applier, profiles)
        sealed = [(time.perf_counter(), 0)]

        def count(manifest: Manifest) -> None:
            sealed.append((time.perf_counter(), sealed[-1][1] + manifest.count))

        passed: list[Passed] = []
        taking = asyncio.create_task(_intake(pool, beside, over)) if with_intake else None
        await job.run_profile(profiles.profiles[0], count, passed=passed.append)
        over.set()
        while (await relay.status()).rows_waiting:
            await wait_any((stop,), POLL_MS)
        seconds = time.perf_counter() - sealed[0][0]
        waits_ms = [] if taking is None else await taking
        stop.set()
        await relaying
    batches = len(sealed) - 1
    ratio = _last_over_first(sealed)
    return ExportFigures(seconds, sealed[-1][1], batches, peak_mb(), ratio, waits_ms, len(passed))


async def _intake(pool: Pool, applier: Applier, over: asyncio.Event) -> list[float]:
    """How long each poll took, in ms; one at least."""
    waits_ms: list[float] = []
    while not waits_ms or not over.is_set():
        patrons = [row["patron_id"] for row in await pool.fetch(NEXT_PATRONS)]
        if patrons:
            poll = list(more_fines(patrons, POLL * len(waits_ms)))
            started = time.perf_counter()
            await apply(applier, poll)
            waits_ms.append((time.perf_counter() - started) * 1_000)
            applier.committed()
        await wait_any((over,), PAUSE_MS)
    return waits_ms


def _last_over_first(sealed: list[tuple[float, int]]) -> float:
    """Fines per second in the last tenth of the batches, by that in the first."""
    tenth = max(1, (len(sealed) - 1) // 10)

    def rate(first: int, last: int) -> float:
        (began, before), (ended, after) = sealed[first], sealed[last]
        return (after - before) / (ended - began)

    return rate(-1 - tenth, -1) / rate(0, tenth) if len(sealed) > 1 else 0.0


if __name__ == "__main__":
    collect_garbage_seldom()
    print(json.dumps(asdict(asyncio.run(run(read_settings(), "intake" in sys.argv)))))
