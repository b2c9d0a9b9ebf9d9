"""Sends one event with aiokafka, of a library or of an ERP: `send_aiokafka.py --help` has all."""

import asyncio
import os

from aiokafka import AIOKafkaProducer
from words import SENDING, event_of, tell_sent, words_given

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")


async def main(words: list[str]) -> None:
    """Sends the event that the words describe and prints the place of its record."""
    topic, key, value, headers = event_of(words)
    producer = AIOKafkaProducer(bootstrap_servers=SERVERS, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        sent = await producer.send_and_wait(PREFIX + topic, value, key, headers=headers)
    finally:
        await producer.stop()
    tell_sent(sent.topic, sent.partition, sent.offset)


if __name__ == "__main__":
    asyncio.run(main(words_given(SENDING)))
