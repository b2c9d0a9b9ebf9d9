"""The same program as report_aiokafka.py, with confluent-kafka; takes the same words."""

import os
import sys

from confluent_kafka import Producer
from load_confluent import send
from reports import report_of

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")


def main(words: list[str]) -> None:
    topic, value, headers = report_of(words)
    producer = Producer({"bootstrap.servers": SERVERS, "enable.idempotence": True})
    send(producer, PREFIX + topic, value, headers)


if __name__ == "__main__":
    main(sys.argv[1:])
