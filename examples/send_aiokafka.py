"""Sends one event with aiokafka, of a library or of an ERP.

The library (institution, id of its own, instant, ...):
    send_aiokafka.py fine 101 F-1 2026-11-01T09:00:00Z P-17 OVERDUEFINE 25.00 USD
    send_aiokafka.py change 101 C-1 2026-11-02T09:00:00Z F-1 paid 5.00 USD
    send_aiokafka.py file fine-created.v1 payload.json
    send_aiokafka.py change 101 C-2 2026-11-02T09:30:00Z F-1 disputed

The ERP (institution, id of its own, instant, bursarTransactionId or fine:ID, ...):
    send_aiokafka.py pay 101 R-1 2026-11-26T10:00:00Z 1000000000000001 25.00 USD
    send_aiokafka.py write-off 101 W-1 2026-11-26T10:00:00Z 1000000000000001 25.00 USD
    send_aiokafka.py reverse 101 R-1-back 2026-11-27T10:00:00Z R-1
    send_aiokafka.py pay 101 R-2 2026-11-26T10:00:00Z fine:F-1 25.00 USD
    send_aiokafka.py status 101 S-1 2026-11-27T10:00:00Z 1000000000000001 invoiced
    send_aiokafka.py refuse inbox/manifests/NAME.json 1000000000000001 "unknown student"

The same words again are the same event: nothing is counted twice.
"""

import asyncio
import os
import sys

from aiokafka import AIOKafkaProducer
from words import event_of

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")


async def main(words: list[str]) -> None:
    topic, key, value, headers = event_of(words)
    producer = AIOKafkaProducer(bootstrap_servers=SERVERS, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(PREFIX + topic, value, key, headers=headers)
    finally:
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
