"""Loads batches with confluent-kafka.

Usage: python load_confluent.py INBOX [NUMBER_OF_BATCHES] [--accept]

The same program as load_aiokafka.py with the other client.
"""

import os
import sys
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Message, Producer
from events import Record, response
from inbox import Inbox, WrongBatch
from words import LOADED, loader_words, tell_answered

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")
GROUP = os.environ.get("LOADER_GROUP", "bursar-loader-confluent")  # one per inbox
ANSWER_SECONDS_MAX = 30


def main(folder: str, wanted: int, accepts: bool) -> None:
    """Keeps `wanted` batches in the folder (-1: without end) and answers each if it `accepts`."""
    inbox = Inbox(Path(folder))
    consumer = Consumer(
        {
            "bootstrap.servers": SERVERS,
            "group.id": GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    producer = Producer({"bootstrap.servers": SERVERS, "enable.idempotence": True})
    consumer.subscribe([f"{PREFIX}export-batch.v1", f"{PREFIX}export-manifest.v1"])
    loaded = 0
    try:
        while loaded != wanted:  # what is not committed comes again, and the inbox knows it
            record = consumer.poll(1.0)
            if record is None:
                continue
            if record.error():
                raise KafkaException(record.error())
            manifest = inbox.take(dict(record.headers() or []), record.value() or b"")
            if manifest is not None:
                print(manifest["file_name"], manifest["count"], manifest["total"], flush=True)
                loaded += 1
                if accepts:
                    answer = response(manifest, "accepted")
                    tell_answered(PREFIX + answer.topic, *send(producer, PREFIX, answer))
            if inbox.is_complete:  # only then: after a crash the other half is needed again
                consumer.commit(asynchronous=False)
    finally:
        consumer.close()


def send(producer: Producer, prefix: str, record: Record) -> tuple[int, int]:
    """Partition and offset, when the broker has it. Raises KafkaException."""
    problems: list[object] = []
    places: list[tuple[int, int]] = []

    def delivered(error: object, message: Message) -> None:
        problems.append(error)
        places.append((message.partition() or 0, message.offset() or 0))

    producer.produce(
        prefix + record.topic,
        record.value,
        record.key,
        headers=record.headers,
        on_delivery=delivered,
    )
    producer.flush(ANSWER_SECONDS_MAX)
    if problems != [None]:
        raise KafkaException(problems)
    return places[0]


if __name__ == "__main__":
    try:
        main(*loader_words())
    except WrongBatch as problem:
        sys.exit(f"not loaded: {problem}")
    print(LOADED, file=sys.stderr)
