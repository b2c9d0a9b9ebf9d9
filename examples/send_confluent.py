"""The same program as send_aiokafka.py, with confluent-kafka; takes the same words."""

import os
import sys

from confluent_kafka import Producer
from load_confluent import send
from words import event_of

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")


def main(words: list[str]) -> None:
    producer = Producer({"bootstrap.servers": SERVERS, "enable.idempotence": True})
    send(producer, PREFIX, event_of(words))


if __name__ == "__main__":
    main(sys.argv[1:])
