"""Records of the mixed load: what each says, which are bad, and how they are published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from zlib import crc32

from confluent_kafka import KafkaError, Message, Producer

from tests.oracle.model import Model
from tests.oracle.records import Data, event_of
from tests.oracle.tables import FineId
from tests.support import inputs
from tests.support.topics import must_be_delivered

SECONDS_MAX = 60
EVENTS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """A record and what it says; None in `data`: it is bad, for `reason`.

    Without `headers` of its own it has those that its contract wants.
    """

    contract: str
    place: str  # what lies in one partition
    data: Data | None
    value: bytes | None
    reason: str | None = None
    headers: inputs.Headers | None = None


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


class Publisher:
    """Publishes events in their order; what has one place lies in one partition of its topic.

    Several threads may publish at the same time.
    """

    def __init__(self, servers: str, prefix: str, partitions: int) -> None:
        self.acknowledged = 0
        self._prefix = prefix
        self._partitions = partitions
        self._lock = Lock()
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "linger.ms": 20,
                "enable.idempotence": True,
                "log_level": 0,
            }
        )

    def put(self, events: Sequence[Event], seconds_max: float = SECONDS_MAX) -> None:
        """Returns when all of them are acknowledged."""
        with self._lock:
            for event in events:
                self._put(event)
            assert self._producer.flush(seconds_max) == 0

    def _put(self, event: Event) -> None:
        headers = event.headers
        self._producer.produce(
            self._prefix + event.contract,
            event.value,
            event.place.encode(),
            partition=crc32(event.place.encode()) % self._partitions,
            headers=list(_headers_of(event.contract) if headers is None else headers),
            on_delivery=self._delivered,
        )

    def _delivered(self, error: KafkaError | None, record: Message) -> None:
        must_be_delivered(error, record)
        self.acknowledged += 1


@cache
def _headers_of(contract: str) -> inputs.Headers:
    return inputs.binary(contract, b"")[1]


def publish(servers: str, prefix: str, events: Sequence[Event], partitions: int) -> None:
    """All of them, acknowledged."""
    publisher = Publisher(servers, prefix, partitions)
    for first in range(0, len(events), EVENTS_AT_ONCE):
        publisher.put(events[first : first + EVENTS_AT_ONCE])


def lines_of(manifests: Iterable[Data]) -> Iterator[tuple[FineId, str, Data]]:
    """Fine, bursar id and manifest of every line."""
    for manifest in manifests:
        for line in manifest["lines"]:
            name = (manifest["institution_id"], line["fine_id"])
            yield name, line["bursar_transaction_id"], manifest
