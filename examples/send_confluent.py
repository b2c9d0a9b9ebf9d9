"""The same program as send_aiokafka.py, with confluent-kafka; takes the same words."""

import os

from confluent_kafka import Producer
from load_confluent import send
from words import SENDING, event_of, tell_sent, words_given

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")


def main(words: list[str]) -> None:
    """Sends the event that the words describe and prints the place of its record."""
    record = event_of(words)
    producer = Producer({"bootstrap.servers": SERVERS, "enable.idempotence": True})
    partition, offset = send(producer, PREFIX, record)
    tell_sent(PREFIX + record.topic, partition, offset)


if __name__ == "__main__":
    main(words_given(SENDING))
