"""The auditor's judgement of what a measurement has left."""

import gc

from tests.auditor.evidence import Evidence, Finding
from tests.auditor.inputs import read_records
from tests.auditor.judge import broken
from tests.auditor.reading import read_shaped
from tests.auditor.sources import read_evidence
from tests.bench.history import EMPTY, History, preceded
from tests.bench.ledgers import BALANCES
from tests.bench.world import BenchFailed, World

PEAK_MB_MAX = 400
SHOWN_MAX = 5


async def require_sound(world: World, events: int, before: History = EMPTY) -> History:
    """Raises BenchFailed if the auditor has a finding, or unless the measurement has left exactly
    `events` balance-changed events. What was measured must have ended.

    `before` are the records that the ledger comes from. Returns them with those of the world.
    """
    servers = world.services.kafka_bootstrap_servers
    return await require_sound_ledger(
        world.database_url, servers, world.topic_prefix, events, before
    )


async def require_sound_ledger(
    database_url: str, servers: str, topic_prefix: str, events: int, before: History = EMPTY
) -> History:
    """The same of a database and topics that are no World."""
    gc.disable()  # hundreds of thousands of rows and records, and no cycles: it would take longer
    try:
        evidence = await read_evidence(database_url, servers, topic_prefix)
        whole = preceded(evidence, before)
        findings = _findings(whole)
    finally:
        gc.enable()
    if findings:
        raise BenchFailed(f"the auditor has {len(findings)} findings: {findings[:SHOWN_MAX]}")
    if (count := len(evidence.records[BALANCES])) != events:
        raise BenchFailed(f"there are {count} events instead of {events}")
    return whole.records


def _findings(evidence: Evidence) -> list[Finding]:
    """The records of the load have the shape of their schemas: a test of the benchmark reads some
    of each contract, and so the auditor need not compare hundreds of thousands with them.
    """
    return broken(evidence, read_records(evidence, read_shaped))


def require_small(peak_mb: float) -> float:
    """Raises BenchFailed if a process has held more than it may; returns the peak, in MB."""
    if peak_mb > PEAK_MB_MAX:
        raise BenchFailed(f"a process has held {peak_mb:.0f} MB; {PEAK_MB_MAX} are the most")
    return peak_mb
