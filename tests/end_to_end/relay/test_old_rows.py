"""Rows that wait for too long are reported, also while nothing can be sent at all."""

import asyncio

import structlog

from service.database.session import Pool
from service.relay.loop import Relay
from service.runtime.telemetry import Event
from service.settings.access import KafkaAccess
from service.settings.parts import RelayLimits
from tests.support.guards import opened_guard
from tests.support.relaying import SHORT, numbered, queue
from tests.support.waiting import until

OLD = "UPDATE outbox SET recorded_at = clock_timestamp() - interval '1 hour'"


async def test_old_rows_are_reported_while_no_producer_can_be_made(
    pool: Pool, topic: str, bootstrap_servers: str
) -> None:
    """The brokers answered the restore check, and are away when the first rows come."""
    await queue(pool, topic, numbered(3))
    await pool.execute(OLD)
    guard = await opened_guard(
        pool, KafkaAccess(kafka_bootstrap_servers=bootstrap_servers), outputs=[topic]
    )
    unreachable = KafkaAccess(kafka_bootstrap_servers="127.0.0.1:1", kafka_request_timeout_ms=1_000)
    relay = Relay(guard, unreachable, "relay", RelayLimits(shutdown_seconds_max=1), pauses=SHORT)
    stop, expected = asyncio.Event(), {Event.RELAY_RETRIES, Event.OUTBOX_OLD}
    with structlog.testing.capture_logs() as lines:
        running = asyncio.create_task(relay.run(stop))
        try:
            await until(lambda: expected <= {line["event"] for line in lines})
        finally:
            stop.set()
            await running
    line, *_ = [line for line in lines if line["event"] == Event.OUTBOX_OLD]
    assert (line["log_level"], line["rows"]) == ("error", 1)
    assert line["age_seconds"] >= 3_600
