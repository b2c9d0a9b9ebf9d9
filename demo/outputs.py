"""What the service published, read from Kafka as its readers would: repeats dropped, in order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

NAMES = ("balance-changed", "export-batch", "export-manifest", "loan-closed", "rejected")


@dataclass(frozen=True)
class Record:
    """One record of an output topic; `at` is its place there."""

    name: str
    at: tuple[int, int]
    key: bytes | None
    value: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """The value of the record, read as JSON."""
        return json.loads(self.value)


@dataclass
class Outputs:
    """The records of the output topics that were read so far."""

    prefix: str
    records: dict[str, list[Record]] = field(default_factory=lambda: {name: [] for name in NAMES})
    repeats: int = 0
    _taken: set[tuple[str, str]] = field(default_factory=set)

    def topics(self) -> list[str]:
        """The names of the output topics, with their prefix."""
        return [f"{self.prefix}{name}.v1" for name in NAMES]

    @property
    def changes(self) -> list[Record]:
        """The records of `balance-changed`, in the order in which they were read."""
        return self.records["balance-changed"]

    @property
    def manifests(self) -> list[Any]:
        """The manifests of all batches, read as JSON, in the order in which they were read."""
        return [record.json for record in self.records["export-manifest"]]

    def take(self, read: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        """Adds records that were read; one that comes again under the same `ce_id` is dropped."""
        for partition, records in read.items():
            name = partition.topic.removeprefix(self.prefix).removesuffix(".v1")
            for record in records:
                self._take_record(name, record)

    def _take_record(self, name: str, record: ConsumerRecord) -> None:
        headers = {key: value.decode() for key, value in record.headers}
        identity = (name, headers["ce_id"])
        if identity in self._taken:
            self.repeats += 1
            return
        self._taken.add(identity)
        place = (record.partition, record.offset)
        self.records[name].append(Record(name, place, record.key, record.value or b"", headers))

    def balances(self) -> dict[tuple[str, str, str], tuple[Decimal, Decimal]]:
        """The balances of each account, from its event with the highest sequence."""
        latest: dict[tuple[str, str, str], Any] = {}
        for change in (record.json for record in self.changes):
            account = (change["institution_id"], change["patron_id"], change["currency"])
            known = latest.get(account)
            if known is None or known["sequence"] < change["sequence"]:
                latest[account] = change
        return {
            account: (
                Decimal(change["balance"]["active"]),
                Decimal(change["balance"]["transferred"]),
            )
            for account, change in latest.items()
        }

    def bursar_transaction_id_of(self, fine_id: str) -> str:
        """The bursar's number of a fine, from the manifests."""
        lines = (line for manifest in self.manifests for line in manifest["lines"])
        line = next(line for line in lines if line["fine_id"] == fine_id)
        return str(line["bursar_transaction_id"])

    def write(self, folder: Path) -> None:
        """XML and manifests as a loader would file them, and every topic as JSON lines."""
        batches, events = folder / "batches", folder / "events"
        (batches / "manifests").mkdir(parents=True)
        events.mkdir()
        for record in self.records["export-batch"]:
            (batches / record.headers["bursar-file-name"]).write_bytes(record.value)
        for record in self.records["export-manifest"]:
            name = Path(record.json["file_name"]).stem
            text = json.dumps(record.json, indent=2, ensure_ascii=False)
            (batches / "manifests" / f"{name}.json").write_text(text + "\n")
        for name, records in self.records.items():
            rows = [json.dumps(_dumped(record), ensure_ascii=False) for record in records]
            (events / f"{name}.jsonl").write_text("".join(row + "\n" for row in rows))


def _dumped(record: Record) -> dict[str, object]:
    text = record.value.decode(errors="backslashreplace")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    key = None if record.key is None else record.key.decode(errors="backslashreplace")
    return {"at": record.at, "key": key, "headers": record.headers, "value": value}


async def open_reader(servers: str, topics: list[str]) -> AIOKafkaConsumer:
    """A reader of all partitions, from their beginning, outside of any group."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await consumer.start()
    except BaseException:
        await consumer.stop()
        raise
    return consumer
