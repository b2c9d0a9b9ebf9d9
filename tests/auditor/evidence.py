"""What the auditor judges: every record of the topics, and every row of the tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

OUTPUTS = (
    "balance-changed.v1",
    "export-batch.v1",
    "export-manifest.v1",
    "loan-closed.v1",
    "rejected.v1",
    "operator-action.v1",
)
INPUTS = ("fine-created.v1", "fine-changed.v1", "bursar-payment.v1", "export-response.v1")
TABLES = (
    "account",
    "adopted_batch",
    "adopted_line",
    "consumer_offset",
    "export_batch",
    "export_line",
    "export_response",
    "fine",
    "fine_amendment",
    "fine_change",
    "intake_stop",
    "ledger_transaction",
    "loan_closed",
    "outbox",
    "outbox_set_aside",
    "output_accepted",
    "parked",
    "parked_error",
    "parked_failure",
    "payment",
    "profile_counter",
    "quarantine_release",
    "recovery",
    "recovery_account",
    "rejected",
    "stopped_record",
)

Row = Mapping[str, Any]
Data = Row
Place = tuple[str, int, int]  # topic, partition, offset
Partition = tuple[str, int]
Headers = tuple[tuple[str, bytes | None], ...]


class Record(NamedTuple):
    """A record of a topic; `headers` is None if the names of its headers are not UTF-8."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None

    @property
    def place(self) -> Place:
        """Where the record stands in Kafka."""
        return (self.topic, self.partition, self.offset)

    def header(self, name: str) -> str:
        """The value of a header, empty if it is not there or no text."""
        value = dict(self.headers or ()).get(name) or b""
        return value.decode(errors="replace")


class Finding(NamedTuple):
    """A broken invariant: its number, the rule that is broken, and the ids of what breaks it."""

    invariant: str
    rule: str
    ids: tuple[object, ...]


@dataclass(frozen=True)
class Evidence:
    """The records of each contract, in the order of their partitions, and the rows of each table.

    `starts` and `ends` are the first offset that each partition still has, and the next one that it
    will have.
    """

    prefix: str
    records: Mapping[str, Sequence[Record]]
    starts: Mapping[Partition, int]
    ends: Mapping[Partition, int]
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    def topic(self, contract: str) -> str:
        """The name of a contract's topic."""
        return self.prefix + contract

    def is_whole(self, contract: str) -> bool:
        """Whether the topic still has every record that it ever had."""
        topic = self.topic(contract)
        return all(first == 0 for (name, _), first in self.starts.items() if name == topic)

    def is_accepted(self, record: Record) -> bool:
        """Whether a recovery has found the record of an output topic there: the database that had
        published it was lost.
        """
        return any(
            record.offset <= row["accepted_offset"]
            for row in self.tables["output_accepted"]
            if (row["topic"], row["partition"]) == (record.topic, record.partition)
        )

    def with_tables(self, tables: Mapping[str, Sequence[Row]]) -> Evidence:
        """The same records beside other tables."""
        return replace(self, tables=tables)

    def published(self, contract: str) -> list[Record]:
        """The records of an output topic, and behind them those that wait for it.

        What waits is in the outbox or in quarantine; such a record has the partition -1.
        """
        topic = self.topic(contract)
        waiting = [
            (key, value, headers)
            for row in self.tables["outbox"]
            if row["topic"] == topic
            for key, value, headers in zip(
                row["keys"], row["payloads"], row["headers"], strict=True
            )
        ]
        waiting += [
            (row["record_key"], row["payload"], row["headers"])
            for row in self.tables["outbox_set_aside"]
            if row["topic"] == topic
        ]
        return [
            *self.records[contract],
            *(
                Record(topic, -1, place, key, value, unpacked(headers))
                for place, (key, value, headers) in enumerate(waiting)
            ),
        ]


def unpacked(headers: bytes) -> Headers:
    """The headers of a record from the form in which the tables keep them."""
    return tuple((name, value.encode("latin-1")) for name, value in json.loads(headers))


def json_of(value: bytes | None) -> Data | None:
    """The JSON object in a record; None if there is none."""
    try:
        body = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
