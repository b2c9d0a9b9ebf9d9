"""Reports one payment, in a single file.

Usage: python pay.py RECEIPT LINE AMOUNT PAID_AT [structured]

RECEIPT is the number of the receipt, LINE the bursarTransactionId, or patron:ID of a patron who
does not say what the sum is for, AMOUNT text such as 25.00, PAID_AT the instant on the receipt,
such as 2026-11-26T09:30:00Z. With `structured` the event is one JSON object, for writers that
cannot set headers. The same words again are the same payment.

KAFKA_BOOTSTRAP_SERVERS says where the broker is (127.0.0.1:19092), BURSAR_TOPIC_PREFIX how its
topics begin (library.).
"""

import asyncio
import json
import os
import sys
import uuid
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
TOPIC = os.environ.get("BURSAR_TOPIC_PREFIX", "library.") + "bursar-payment.v1"


async def main(receipt: str, line: str, amount: str, paid_at: str, mode: str = "binary") -> None:
    """Sends the payment and prints the place of its record in the topic."""
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/erp/accounts-receivable",
        "type": "org.bursar-bridge.bursar-payment.v1",
        "time": datetime.now(UTC).isoformat(),
    }
    _, named, patron_id = line.partition("patron:")
    about = {"patron_id": patron_id} if named else {"bursar_transaction_id": line}
    payment = {
        "institution_id": "101",
        "source": "ERP",
        "payment_id": receipt,  # one per payment, the same on every attempt
        "kind": "payment",
        **about,
        "amount": amount,  # "25.00": never a JSON number
        "currency": "USD",
        "paid_at": paid_at,  # of the receipt: it belongs to the content of the payment
    }
    headers: list[tuple[str, bytes]] = []
    if mode == "structured":
        whole = {**event, "datacontenttype": "application/json", "data": payment}
        value = json.dumps(whole).encode()
    else:  # binary: the attributes are headers, the value is the payment
        value = json.dumps(payment).encode()
        headers = [(f"ce_{name}", text.encode()) for name, text in event.items()]
        headers.append(("content-type", b"application/json"))

    producer = AIOKafkaProducer(bootstrap_servers=SERVERS, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        sent = await producer.send_and_wait(TOPIC, value, headers=headers)
    finally:
        await producer.stop()
    print(f"sent to {sent.topic}, partition {sent.partition}, offset {sent.offset}")
    print("next: watch.py shows the new balance, or why the record was rejected")


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__)
    elif not 5 <= len(sys.argv) <= 6:
        print(__doc__, "--help prints this", sep="\n", file=sys.stderr)
        sys.exit(2)
    else:
        asyncio.run(main(*sys.argv[1:]))
