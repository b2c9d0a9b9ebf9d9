"""A service that runs elsewhere, as the container of compose.yaml: is it ready and at work?"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from demo.scene import ANNA, Fine, fine_created
from demo.world import PAUSE_SECONDS, DemoFailed, why_not_ready

READY_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 60.0
PREFIX = "library."


async def check_container(ops_url: str, servers: str) -> str:
    """Raises DemoFailed unless it is ready and answers one new fine; what it did, as a line."""
    await _ready(ops_url)
    fine = Fine(ANNA, f"demo-{uuid.uuid4().hex[:12]}", "OVERDUEFINE", "0.10")
    async with _clients(servers) as (producer, consumer):
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)  # the seek is lazy: now it is done
        await producer.send_and_wait(f"{PREFIX}fine-created.v1", _event(fine))
        sequence = await _answer(consumer, fine)
    return f"the service at {ops_url} is ready and answered one fine with sequence {sequence}"


async def _ready(ops_url: str) -> None:
    why: str | None = "no answer"
    try:
        async with asyncio.timeout(READY_SECONDS_MAX), aiohttp.ClientSession() as session:
            while True:
                why = await why_not_ready(session, ops_url)
                if why is None:
                    return
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        raise DemoFailed(f"the service at {ops_url} is not ready: {why}") from None


@asynccontextmanager
async def _clients(servers: str) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
    producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        f"{PREFIX}balance-changed.v1", bootstrap_servers=servers, enable_auto_commit=False
    )
    try:
        await producer.start()
        await consumer.start()
        yield producer, consumer
    finally:
        await consumer.stop()
        await producer.stop()


async def _answer(consumer: AIOKafkaConsumer, fine: Fine) -> int:
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while time.monotonic() < deadline:
        read: dict[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=200)
        for records in read.values():
            for record in records:
                change = json.loads(record.value)
                if change["fine"]["fine_id"] == fine.fine_id:
                    sequence: int = change["sequence"]
                    return sequence
    raise DemoFailed(f"no balance-changed for fine {fine.fine_id} in {ANSWER_SECONDS_MAX:.0f} s")


def _event(fine: Fine) -> bytes:
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/demo",
        "type": "org.bursar-bridge.fine-created.v1",
        "time": "2026-03-02T10:00:00Z",
        "data": fine_created(fine),
    }
    return json.dumps(event, ensure_ascii=False).encode()
