"""Watches what the bridge says.

Usage: python watch.py [NUMBER_OF_RECORDS]
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord

HELP = """Watches what the bridge says: python watch.py [NUMBER_OF_RECORDS]

Prints a line for each change of a balance, each loan that was closed and each record that was
rejected, from the beginning of their topics; ends after so many records, without a number never.
A repeat of a balance is not printed. A GAP is printed where a number of an account's sequence has
not come; it may come later. At the end the exit code is 1 while a number is missing.

KAFKA_BOOTSTRAP_SERVERS says where the broker is (127.0.0.1:19092), BURSAR_TOPIC_PREFIX how its
topics begin (library.).
"""
SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")
BALANCES, LOANS, REJECTED = (
    f"{PREFIX}{name}.v1" for name in ("balance-changed", "loan-closed", "rejected")
)

Account = tuple[str, str, str, int]  # institution, patron, currency, epoch


class Sequences:
    """The sequence of each account in each epoch: which numbers have come and which are missing.

    An epoch's first number is whatever comes first: after a restore the sequence goes on.
    """

    def __init__(self) -> None:
        self.last: dict[Account, int] = {}
        self.missing: dict[Account, set[int]] = {}

    def take(self, account: Account, number: int) -> range | None:
        """The numbers that are missing before this one; None if it came before."""
        missing = self.missing.setdefault(account, set())
        last = self.last.get(account, number - 1)
        if number in missing:
            missing.remove(number)
            return range(0)
        if number <= last:
            return None
        skipped = range(last + 1, number)
        missing.update(skipped)
        self.last[account] = number
        return skipped

    @property
    def is_whole(self) -> bool:
        """Whether no number of any sequence is missing."""
        return not any(self.missing.values())


def balance_texts(sequences: Sequences, event: Mapping[str, Any]) -> list[str]:
    """A text for the change of a balance, after another for a gap; none for a repeat."""
    who = f"{event['institution_id']}/{event['patron_id']} {event['currency']}"
    account = (event["institution_id"], event["patron_id"], event["currency"], event["epoch"])
    skipped = sequences.take(account, event["sequence"])
    if skipped is None:
        return []
    balance, transaction = event["balance"], event["transaction"]
    text = (
        f"balance   {who}: active {balance['active']}, at the bursar {balance['transferred']}; "
        f"{transaction['type']} {transaction['amount']} of {event['fine']['fine_id']} "
        f"(epoch {event['epoch']}, number {event['sequence']})"
    )
    if not skipped:
        return [text]
    numbers = f"{skipped[0]} to {skipped[-1]} did not come before {event['sequence']}"
    return [f"GAP       {who}: epoch {event['epoch']}: {numbers}", text]


def loan_text(event: Mapping[str, Any]) -> str:
    """A text for a loan that was closed."""
    who = f"{event['institution_id']}/{event['patron_id']}"
    return f"loan      {who}: {event['loan_id']} is closed, {event['reason']} {event['fine_id']}"


def rejected_text(headers: Mapping[str, bytes]) -> str:
    """Reason and place. Its value is the original record, which may hold personal data."""
    values = {name: text.decode() for name, text in headers.items()}
    place = "/".join(values[f"bursar-{name}"] for name in ("topic", "partition", "offset"))
    return f"rejected  {place}: {values['bursar-reason']}: {values['bursar-detail']}"


def texts(sequences: Sequences, record: ConsumerRecord) -> list[str]:
    """What is printed for a record of any of the three topics."""
    if record.topic == REJECTED:
        return [rejected_text(dict(record.headers))]
    event = json.loads(record.value)
    return [loan_text(event)] if record.topic == LOANS else balance_texts(sequences, event)


async def main(wanted: int) -> bool:
    """Whether no number of a sequence is missing."""
    sequences = Sequences()
    consumer = AIOKafkaConsumer(
        *(BALANCES, LOANS, REJECTED),
        bootstrap_servers=SERVERS,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    print(f"watching {BALANCES}, {LOANS} and {REJECTED}; Ctrl-C ends it", file=sys.stderr)
    read = 0
    try:
        while read != wanted:
            record = await consumer.getone()
            read += 1
            for text in texts(sequences, record):
                print(text, flush=True)
    finally:
        await consumer.stop()
    return sequences.is_whole


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            number = -1
        case [word] if word.isdecimal():
            number = int(word)
        case ["-h" | "--help"]:
            print(HELP, end="")
            sys.exit(0)
        case _:
            print("usage: watch.py [NUMBER_OF_RECORDS]; --help says more", file=sys.stderr)
            sys.exit(2)
    try:
        sys.exit(0 if asyncio.run(main(number)) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
