"""Loads batches into a folder, in a single file.

Usage: python load.py [AT_LEAST_SO_MANY_BATCHES]

Checks each document against its manifest and writes both into the folder INBOX, so that nobody
sees half of a file. Ends after so many batches, without a number never.

KAFKA_BOOTSTRAP_SERVERS says where the broker is (127.0.0.1:19092), BURSAR_TOPIC_PREFIX how its
topics begin (library.).
"""

import asyncio
import hashlib
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from aiokafka import AIOKafkaConsumer

SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
PREFIX = os.environ.get("BURSAR_TOPIC_PREFIX", "library.")
BATCHES, MANIFESTS = f"{PREFIX}export-batch.v1", f"{PREFIX}export-manifest.v1"
INBOX = Path(os.environ.get("INBOX", "inbox"))
XB = "{http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans}"


def check(document: bytes, manifest: dict[str, Any]) -> None:
    """Ends the program if the document is not what its manifest says."""
    nodes = ElementTree.fromstring(document).iter(f"{XB}sum")
    sums = [Decimal(node.text or "") for node in nodes]
    read = (hashlib.sha256(document).hexdigest(), len(sums), sum(sums, Decimal(0)))
    if read != (manifest["sha256"], manifest["count"], Decimal(manifest["total"])):
        sys.exit(f"{manifest['file_name']}: hash, count or total differ from the manifest")


def write(path: Path, content: bytes) -> None:
    """Writes the file under a hidden name first, so that nobody reads a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.parent / f".{path.name}.part"
    with hidden.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    hidden.rename(path)  # the same batch again: the same name and bytes


async def main(wanted: int) -> None:
    """Loads batches until at least so many are in the inbox; without end if `wanted` is 0."""
    consumer = AIOKafkaConsumer(
        BATCHES,
        MANIFESTS,
        bootstrap_servers=SERVERS,
        group_id="bursar-loader",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    print(f"waiting for batches on {BATCHES} at {SERVERS}", file=sys.stderr, flush=True)
    halves: dict[str, dict[str, bytes]] = {}
    done: set[str] = set()
    try:
        async for record in consumer:
            batch = dict(record.headers)["ce_id"].decode().removesuffix("/manifest")
            if batch in done:
                continue  # it may come again: the same bytes
            both = halves.setdefault(batch, {})
            both[record.topic] = record.value
            if len(both) == 2:  # document and manifest come in any order
                manifest = json.loads(both[MANIFESTS])
                check(both[BATCHES], manifest)
                path = INBOX / manifest["file_name"]
                write(INBOX / "manifests" / f"{path.stem}.json", both[MANIFESTS])
                write(path, both[BATCHES])  # last: who sees the file finds its manifest
                print(path.name, manifest["count"], manifest["total"], flush=True)
                done.add(batch)
                del halves[batch]
            if not halves:  # only now: after a crash the other half is needed again
                await consumer.commit()
                if 0 < wanted <= len(done):
                    break
    finally:
        await consumer.stop()


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__)
    elif len(sys.argv) > 2 or not all(word.isdecimal() for word in sys.argv[1:]):
        print(__doc__, "--help prints this", sep="\n", file=sys.stderr)
        sys.exit(2)
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
