"""Records of the mixed load: what each says, which are bad, and how they are published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from confluent_kafka import Producer

from tests.oracle.model import Model
from tests.oracle.records import Data, event_of
from tests.oracle.tables import FineId
from tests.support import inputs
from tests.support.topics import must_be_delivered

SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Event:
    """A record and what it says; None in `data`: it is bad, for `reason`."""

    contract: str
    place: str  # what lies in one partition
    data: Data | None
    value: bytes
    reason: str | None = None


BAD = (
    ("fine-created.v1", b"no JSON at all", "invalid_json"),
    ("fine-created.v1", b'{"a": 1, "a": 2}', "invalid_json"),
    ("fine-changed.v1", b"\x00", "invalid_json"),
    ("bursar-payment.v1", b"\xff\xfe", "invalid_json"),
    ("bursar-payment.v1", b"{}", "invalid_schema"),
    ("export-response.v1", b"[]", "invalid_schema"),
    (
        "fine-created.v1",
        inputs.value_of(inputs.fine_created(institution_id="1001", amount=95.5)),
        "invalid_amount",
    ),
    (
        "bursar-payment.v1",
        inputs.value_of(inputs.bursar_payment(institution_id="1001", currency="XXX")),
        "invalid_currency",
    ),
    (
        "fine-created.v1",
        inputs.value_of(inputs.fine_created(institution_id="1001", fine_id="\u202e")),
        "invalid_text",
    ),
    ("fine-changed.v1", b" " * (64 * 1024 + 1), "invalid_size"),
)


def take_all(model: Model, events: Iterable[Event]) -> int:
    """The model takes the events in their order. Returns how many were repeats."""
    outcomes: Counter[str] = Counter()
    for event in events:
        if event.data is not None:
            outcomes[model.take(event_of(event.contract, event.data))] += 1
        else:
            model.rejected.append(str(event.reason))
    return outcomes["repeat"] + outcomes["repeat:already_closed"]


def publish(servers: str, prefix: str, events: Sequence[Event], partitions: int) -> None:
    """All of them, acknowledged; what has one place lies in one partition, in order."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "enable.idempotence": True})
    headers: dict[str, list[tuple[str, str | bytes | None]]] = {
        name: list(inputs.binary(name, b"")[1]) for name in {event.contract for event in events}
    }
    for count, event in enumerate(events):
        producer.produce(
            prefix + event.contract,
            event.value,
            event.place.encode(),
            partition=crc32(event.place.encode()) % partitions,
            headers=headers[event.contract],
            on_delivery=must_be_delivered,
        )
        if count % 10_000 == 9_999:
            producer.flush(SECONDS_MAX)
    assert producer.flush(SECONDS_MAX) == 0


def lines_of(manifests: Iterable[Data]) -> Iterator[tuple[FineId, str, Data]]:
    """Fine, bursar id and manifest of every line."""
    for manifest in manifests:
        for line in manifest["lines"]:
            name = (manifest["institution_id"], line["fine_id"])
            yield name, line["bursar_transaction_id"], manifest
