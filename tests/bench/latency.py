"""How long it takes from the moment when a fine-created is due to its balance-changed.

One thread sends at a constant rate and reads what comes of it, so that one clock does for both.
"""

import asyncio
import gc
import threading
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import islice

import orjson
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from tests.bench.load import FINE, Record, fines
from tests.bench.pacing import FOUR_FIFTHS, HALF, TENTH, Latency, Percentiles, Schedule
from tests.bench.peak import highest_peak_mb
from tests.bench.soundness import require_small, require_sound
from tests.bench.world import (
    KAFKA_SECONDS_MAX,
    PARTITIONS,
    STILL_SECONDS_MAX,
    BenchFailed,
    Outputs,
    World,
    joined,
    new_world,
    running,
)
from tests.support.services import Services

WARM_UP_SECONDS = 1
TICK_SECONDS = 0.001
TAKEN_MAX = 10_000
# The default of the producers that libraries use. Without it each record is a batch of its own, and
# broker and consumer take most of the two cores for the batches.
LINGER_MS = 5

# Seconds after the first record was due, and the event.
Arrival = tuple[float, bytes]


class _StandsStill(Exception):
    """How many events have arrived."""


async def measure_at(
    services: Services, module: Sequence[str], rate_max: float, seconds: float
) -> Latency:
    """At parts of `rate_max`, records per second, for so many seconds each."""
    parts_of_rate = (TENTH, HALF, FOUR_FIFTHS)
    schedules = [
        Schedule.lasting(WARM_UP_SECONDS, rate_max * HALF),
        *(Schedule.lasting(seconds, rate_max * part) for part in parts_of_rate),
    ]
    load = fines(sum(schedule.count for schedule in schedules))
    parts = [list(islice(load, schedule.count)) for schedule in schedules]
    async with new_world(services) as world:
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(running(world, "latency", *module))
            outputs = await stack.enter_async_context(Outputs(world))
            await joined(world, 1, process)
            stop = threading.Event()
            stack.callback(stop.set)
            try:
                arrivals = await asyncio.to_thread(_paced, world, parts, schedules, stop)
            except _StandsStill as problem:
                raise BenchFailed(
                    f"{process.name} stands still at {problem} events; the end of {process.log}:\n"
                    + process.log_tail()
                ) from None
            await outputs.reached(sum(map(len, parts)), process)
            peak_mb = highest_peak_mb(process.pid() or 0)
        await require_sound(world, sum(map(len, parts)))
    _, at_tenth, at_half, at_four_fifths = (
        Percentiles.over(schedule.latencies_ms(in_order(part, arrived)))
        for schedule, part, arrived in zip(schedules, parts, arrivals, strict=True)
    )
    return Latency(at_tenth, at_half, at_four_fifths, require_small(peak_mb))


def in_order(records: Sequence[Record], arrivals: Sequence[Arrival]) -> list[float]:
    """When the event of each record arrived. Raises BenchFailed unless each has exactly one."""
    times = {orjson.loads(event)["fine"]["fine_id"]: at for at, event in arrivals}
    ids = [orjson.loads(record.value)["fine_id"] for record in records]
    if len(arrivals) != len(records) or times.keys() != set(ids):
        raise BenchFailed("the events that arrived are not those of the records that were sent")
    return [times[fine_id] for fine_id in ids]


def _paced(
    world: World,
    parts: Sequence[Sequence[Record]],
    schedules: Sequence[Schedule],
    stop: threading.Event,
) -> list[list[Arrival]]:
    """Each part by its schedule, when everything of the last one has arrived."""
    common = {
        "bootstrap.servers": world.services.kafka_bootstrap_servers,
        "socket.nagle.disable": True,
        "log_level": 0,
    }
    producer = Producer(
        common
        | {
            "partitioner": "murmur2_random",
            "linger.ms": LINGER_MS,
            "queue.buffering.max.messages": max(100_000, *map(len, parts)),
        }
    )
    consumer = Consumer(common | {"group.id": "bench-reads-alone", "enable.auto.commit": False})
    topic = world.topic_prefix + "balance-changed.v1"
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    producer.list_topics(world.topic_prefix + FINE, KAFKA_SECONDS_MAX)
    gc.disable()  # a collection in here would count as the service's time
    try:
        return [
            _run(producer, consumer, world.topic_prefix + FINE, part, schedule, stop)
            for part, schedule in zip(parts, schedules, strict=True)
        ]
    finally:
        gc.enable()
        consumer.close()


def _run(
    producer: Producer,
    consumer: Consumer,
    topic: str,
    records: Sequence[Record],
    schedule: Schedule,
    stop: threading.Event,
) -> list[Arrival]:
    arrived: list[Arrival] = []
    sent, moved_at, started = 0, 0.0, time.perf_counter()
    while len(arrived) < len(records):
        due = schedule.due_by(time.perf_counter() - started)
        for record in records[sent:due]:
            producer.produce(topic, record.value, record.key, headers=list(record.headers))
        sent = due
        producer.poll(0)
        events = _taken(consumer)
        now = time.perf_counter() - started
        arrived += [(now, event) for event in events]
        if events:
            moved_at = now
        elif now - moved_at > STILL_SECONDS_MAX or stop.is_set():
            raise _StandsStill(len(arrived))
    return arrived


def _taken(consumer: Consumer) -> list[bytes]:
    """What is there, or what comes first within a tick."""
    first = consumer.poll(TICK_SECONDS)
    if first is None:
        return []
    return [_value(message) for message in (first, *consumer.consume(TAKEN_MAX, 0))]


def _value(message: Message) -> bytes:
    if (error := message.error()) is not None:
        raise KafkaException(error)
    value = message.value()
    assert value is not None
    return value
