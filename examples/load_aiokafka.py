"""Loads batches with aiokafka.

Usage: python load_aiokafka.py INBOX [NUMBER_OF_BATCHES] [--accept]
"""

import asyncio
import os
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from events import response
from inbox import Inbox, WrongBatch
from words import LOADED, loader_words, tell_answered

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")
GROUP = os.environ.get("LOADER_GROUP", "bursar-loader-aiokafka")  # one per inbox


async def main(folder: str, wanted: int, accepts: bool) -> None:
    """Keeps `wanted` batches in the folder (-1: without end) and answers each if it `accepts`."""
    inbox = Inbox(Path(folder))
    consumer = AIOKafkaConsumer(
        f"{PREFIX}export-batch.v1",
        f"{PREFIX}export-manifest.v1",
        bootstrap_servers=SERVERS,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(bootstrap_servers=SERVERS, acks="all", enable_idempotence=True)
    await producer.start()
    await consumer.start()
    loaded = 0
    try:
        async for record in consumer:
            manifest = inbox.take(dict(record.headers), record.value)
            if manifest is not None:
                print(manifest["file_name"], manifest["count"], manifest["total"], flush=True)
                loaded += 1
                if accepts:
                    topic, key, value, headers = response(manifest, "accepted")
                    sent = await producer.send_and_wait(PREFIX + topic, value, key, headers=headers)
                    tell_answered(sent.topic, sent.partition, sent.offset)
            if inbox.is_complete:  # only then: after a crash the other half is needed again
                await consumer.commit()
            if loaded == wanted:
                break  # what is not committed comes again, and the inbox knows it
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    try:
        asyncio.run(main(*loader_words()))
    except WrongBatch as problem:
        sys.exit(f"not loaded: {problem}")
    print(LOADED, file=sys.stderr)
