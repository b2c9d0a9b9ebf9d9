"""Finds the records of the output topics that a restored database does not know, and reads what
they say.

The search begins at the acknowledged offsets of the database: it has published the records up to
them itself, unless a topic was deleted and created again since. To find out whether a topic was
created again, the record at the acknowledged offset is compared with the database, as in the
restore check.
"""

import contextlib
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

import orjson
from aiokafka import TopicPartition

from ..core.ledger import BatchKey
from ..core.money import parse_sum
from ..database.session import Connection, keep_session_alive
from .adoption_plan import Place
from .known import CONTRACTS, TYPE_PREFIX, Record, unknown
from .topics import Range, Topics

# What cannot be recovered without: what was billed, what readers of the balances know, and what
# people have decided.
NEEDED = ("export-manifest.v1", "balance-changed.v1", "operator-action.v1")

Offsets = Mapping[TopicPartition, int]


class Unread(NamedTuple):
    """The ranges of a topic whose records the database may not know, and the obstacles: parts of it
    that Kafka has deleted.
    """

    ranges: tuple[Range, ...]
    obstacles: tuple[str, ...]


class AccountEvent(NamedTuple):
    """The parts of a balance-changed event that a recovery needs; balances are in minor units.

    `bursar_transaction_id` is None unless the event is that of an export.
    """

    institution_id: str
    patron_id: str
    currency: str
    epoch: int
    sequence: int
    active: int
    transferred: int
    summary: str
    bursar_transaction_id: str | None


class LostLoan(NamedTuple):
    """A loan that was closed by an export and published as closed."""

    institution_id: str
    patron_id: str
    loan_id: str
    fine_id: str
    batch_number: int
    closed_at: datetime


class LostDecision(NamedTuple):
    """A published decision of an operator; `subject` and `details` are JSON."""

    ce_id: str
    action_id: int
    action: str
    institution_id: str | None
    subject: str
    details: str
    outcome: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class OutputState:
    """The offsets of the output partitions: the first record, the end, the last record that the
    database has noted as sent (`acknowledged`), and the last one up to which an operator or an
    earlier recovery has accepted records of other databases (`accepted`).
    """

    firsts: Offsets
    ends: Offsets
    acknowledged: Offsets
    accepted: Offsets

    def whole(self, topic: str) -> list[Range]:
        """Returns the range of all records of each partition of a topic; empty partitions are left
        out.
        """
        return [
            Range(at, first, self.ends[at])
            for at, first in sorted(self.firsts.items())
            if at.topic == topic and first < self.ends[at]
        ]

    async def unread(self, connection: Connection, topics: Topics, topic: str) -> Unread:
        """Returns the ranges of a topic behind the records that this database is known to have
        published.

        If this database does not know the record at its last acknowledged offset, and that record
        was not accepted, the topic was created again, and all of its records are read.
        """
        whole = self.whole(topic)
        last = [
            Range(part.at, offset, offset + 1)
            for part in whole
            if part.first <= (offset := self.acknowledged.get(part.at, -1)) < part.end
        ]
        foreign: set[TopicPartition] = set()
        async with contextlib.aclosing(pages_of(connection, topics, last)) as pages:
            async for page in pages:
                foreign |= {
                    record_place.at
                    for record_place in map(place_of, page.unknown)
                    if record_place.offset > self.accepted.get(record_place.at, -1)
                }
        continued = {part.at: part.end for part in last if part.at not in foreign}
        ranges = [part._replace(first=continued.get(part.at, part.first)) for part in whole]
        return Unread(tuple(ranges), tuple(self._gone(topic, foreign)))

    def _gone(self, topic: str, foreign: Collection[TopicPartition]) -> Iterator[str]:
        """Records that retention has removed before they could be read here."""
        for at, first in sorted(self.firsts.items()):
            unread = self.acknowledged.get(at, -1) + 1
            is_same = unread <= self.ends[at] and at not in foreign
            if at.topic == topic and first > (unread if is_same else 0):
                yield (
                    f"topic {at.topic}, partition {at.partition} begins at offset {first}: what "
                    "was published before and is not known here is gone"
                )


class Page(NamedTuple):
    """One page of records of a topic, and those of them that this database has not published."""

    records: Sequence[Record]
    unknown: Sequence[Record]


async def pages_of(
    connection: Connection, topics: Topics, ranges: Sequence[Range]
) -> AsyncGenerator[Page, None]:
    """Reads records page by page and compares them with the database; meanwhile the session of
    `connection` is kept from timing out.
    """
    async with contextlib.aclosing(topics.read(ranges)) as pages:
        while True:
            page = await keep_session_alive(connection, anext(pages, None))
            if page is None:
                return
            yield Page(page, await unknown(connection, page))


async def record_at(connection: Connection, topics: Topics, place: Place) -> Record:
    """Reads the single record at a topic, partition and offset, which was found there shortly
    before. Raises CannotAsk.
    """
    part = Range(place.at, place.offset, place.offset + 1)
    async with contextlib.aclosing(topics.read([part])) as pages:
        page = await keep_session_alive(connection, anext(pages))
    return page[0]


def place_of(record: Record) -> Place:
    """Returns the topic, the partition and the offset of a record."""
    return Place(TopicPartition(record.topic, record.partition), record.offset)


def contract_of(record: Record) -> str | None:
    """Returns the contract of a record of this service, such as "export-batch.v1"; None for records
    of other programs.
    """
    for name, value in record.headers:
        if name == "ce_type" and value is not None:
            contract = value.decode("utf-8", "replace").removeprefix(TYPE_PREFIX)
            return contract if contract in CONTRACTS else None
    return None


def batch_document(record: Record) -> tuple[BatchKey, str] | None:
    """Returns the batch whose XML the record holds, and the hash of the XML; None if the record
    holds no XML of a batch.
    """
    identity = dict(record.headers).get("ce_id") or b""
    parts = identity.decode("utf-8", "replace").split("/")
    if len(parts) != len(BatchKey._fields) or not parts[2].isdecimal():
        return None
    key = BatchKey(parts[0], parts[1], int(parts[2]))
    return key, sha256(record.value or b"").hexdigest()


def account_event(record: Record) -> AccountEvent:
    """Reads the parts of a balance-changed record that a recovery needs. Raises ValueError,
    KeyError or TypeError if the record breaks its contract.
    """
    event = orjson.loads(record.value or b"")
    balance, currency = event["balance"], event["currency"]
    summary = {
        "kind": event["transaction"]["kind"],
        "fine_id": event["fine"]["fine_id"],
        "occurred_at": event["occurred_at"],
    }
    is_export = event["transaction"]["kind"] in ("export", "export_and_paid")
    return AccountEvent(
        event["institution_id"],
        event["patron_id"],
        currency,
        int(event["epoch"]),
        int(event["sequence"]),
        parse_sum(balance["active"], currency),
        parse_sum(balance["transferred"], currency),
        orjson.dumps(summary).decode(),
        event["export"]["bursar_transaction_id"] if is_export else None,
    )


def lost_loan(record: Record) -> LostLoan:
    """Reads the closed loan from a loan-closed record. Raises ValueError, KeyError or TypeError if
    the record breaks its contract.
    """
    event = orjson.loads(record.value or b"")
    return LostLoan(
        str(event["institution_id"]),
        str(event["patron_id"]),
        str(event["loan_id"]),
        str(event["fine_id"]),
        int(event["batch_number"]),
        datetime.fromisoformat(event["closed_at"]),
    )


def lost_decision(record: Record) -> LostDecision:
    """Reads the operator's decision from an operator-action record. Raises ValueError, KeyError or
    TypeError if the record breaks its contract.
    """
    event = orjson.loads(record.value or b"")
    return LostDecision(
        (dict(record.headers).get("ce_id") or b"").decode(),
        int(event["action_id"]),
        str(event["action"]),
        event.get("institution_id"),
        orjson.dumps(event["subject"]).decode(),
        orjson.dumps(event.get("details", {})).decode(),
        str(event["outcome"]),
        datetime.fromisoformat(event["recorded_at"]),
    )
