"""Loads batches with confluent-kafka: python load_confluent.py INBOX [NUMBER_OF_BATCHES] [--accept]

The same program as load_aiokafka.py with the other client.
"""

import os
import sys
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer
from events import Record, response
from inbox import Inbox, WrongBatch

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")
GROUP = os.environ.get("LOADER_GROUP", "bursar-loader-confluent")  # one per inbox
ANSWER_SECONDS_MAX = 30


def main(folder: str, wanted: int, accepts: bool) -> None:
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
                    send(producer, PREFIX, response(manifest, "accepted"))
            if inbox.is_settled:  # only then: after a crash the other half is needed again
                consumer.commit(asynchronous=False)
    finally:
        consumer.close()


def send(producer: Producer, prefix: str, record: Record) -> None:
    """Returns when the broker has it. Raises KafkaException."""
    problems: list[object] = []
    producer.produce(
        prefix + record.topic,
        record.value,
        record.key,
        headers=record.headers,
        on_delivery=lambda error, _: problems.append(error),
    )
    producer.flush(ANSWER_SECONDS_MAX)
    if problems != [None]:
        raise KafkaException(problems)


if __name__ == "__main__":
    arguments = [one for one in sys.argv[1:] if one != "--accept"]
    number = int(arguments[1]) if len(arguments) > 1 else -1
    try:
        main(arguments[0], number, "--accept" in sys.argv)
    except WrongBatch as problem:
        sys.exit(f"not loaded: {problem}")
