"""Lets operators list, show and release records in quarantine, which Kafka refused to take; each
release is one commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ..apply.applier import Applier
from ..apply.operator_actions import (
    Decision,
    DecisionNotPossible,
    DecisionResult,
    Justification,
    Subject,
    carry_out,
)
from ..core.ledger import BatchKey
from ..core.words import BatchState
from ..database import quarantine
from ..database.outbox import unpack_headers
from ..database.quarantine import BeingSent, QuarantineId
from ..database.session import Connection, statements
from ..messages.decode import read_json
from ..messages.values import Fault

SQL = statements("quarantine")
ALL_MAX = 1_000_000
NOT_QUARANTINED = "is not in quarantine any more"
BEING_SENT = "other records of its outbox row are still to be sent: try again when they are"

# What a record is about, where its value says so; the names are those of the contracts.
_MEMBERS = {
    "balance-changed.v1": ("institution_id", "patron_id", "currency", "epoch", "sequence"),
    "loan-closed.v1": ("institution_id", "patron_id", "loan_id", "fine_id"),
    "operator-action.v1": ("institution_id", "action_id", "action"),
}
_BATCH_PARTS = {"export-batch.v1": "document", "export-manifest.v1": "manifest"}
_REJECTED_HEADERS = ("bursar-reason", "bursar-topic", "bursar-partition", "bursar-offset")


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """Which records in quarantine a command is about; a field that is None allows any value.

    `topic` is the name of a topic, with the prefix of the installation or without it.
    """

    id: QuarantineId | None = None
    topic: str | None = None
    limit: int = ALL_MAX


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """A record in quarantine, without its value. `recorded_at` is when the record was put into the
    outbox, or last released into it.
    """

    id: QuarantineId
    topic: str
    reason: str
    key: bytes | None
    packed_headers: bytes
    size_bytes: int
    recorded_at: datetime
    age_seconds: int

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the record, as text."""
        packed = unpack_headers(self.packed_headers)
        return {name: value.decode(errors="replace") for name, value in packed}

    @property
    def ce_id(self) -> str | None:
        """The CloudEvents id of the record, which stays the same when the record is released; None
        if it has none.
        """
        return self.headers.get("ce_id")

    @property
    def subject(self) -> Subject:
        """The names and values by which a recorded operator decision refers to this record. The
        subject includes the `ce_id`, so that earlier decisions are found even if the record was
        released and refused by Kafka once more.
        """
        place: Subject = {"id": str(self.id), "topic": self.topic}
        return place if self.ce_id is None else {**place, "ce_id": self.ce_id}

    @property
    def lasting_subject(self) -> Subject:
        """The part of the subject that stays the same when the record is released: without the
        quarantine's own id, if there is a `ce_id`.
        """
        subject = self.subject
        return {name: subject[name] for name in subject if name != "id" or "ce_id" not in subject}

    @property
    def institution_id(self) -> str | None:
        """The institution of the record, which is the first part of its `ce_subject`; None for a
        rejected record that names none.
        """
        return self.headers.get("ce_subject", "").split("/")[0] or None

    @property
    def batch(self) -> BatchKey | None:
        """The batch of which this record is the XML document or the manifest, as its `ce_subject`
        says; None for other records.
        """
        parts = self.headers.get("ce_subject", "").split("/")
        if _contract(self.topic) not in _BATCH_PARTS or len(parts) != 3:
            return None
        return BatchKey(parts[0], parts[1], int(parts[2]))


async def find(connection: Connection, wanted: QuarantineFilter) -> list[QuarantinedRecord]:
    """Returns the records in quarantine that the filter allows, in the order in which they were put
    into the outbox.
    """
    place = wanted.id or (None, None)
    return [
        QuarantinedRecord(
            QuarantineId(row["outbox_id"], row["place"]),
            row["topic"],
            row["reason"],
            row["record_key"],
            row["headers"],
            row["size_bytes"],
            row["recorded_at"],
            row["age_seconds"],
        )
        for row in await connection.fetch(SQL["quarantined"], *place, wanted.topic, wanted.limit)
    ]


async def count(connection: Connection) -> int:
    """How many records are in quarantine."""
    return int(await connection.fetchval(SQL["quarantined_count"]))


async def value_of(connection: Connection, record_id: QuarantineId) -> bytes | None:
    """Returns the value of a record in quarantine, which is personal data; None if there is no such
    record.
    """
    value: bytes | None = await connection.fetchval(SQL["quarantined_value"], *record_id)
    return value


async def queued_as(connection: Connection, record_id: QuarantineId) -> QuarantineId | None:
    """Returns the id of the copy that was put into the outbox when this record was released from
    quarantine; None if there is no copy.
    """
    row_id = await connection.fetchval(SQL["released_as"], *record_id)
    return None if row_id is None else QuarantineId(row_id, 0)


async def about(
    connection: Connection, record: QuarantinedRecord, value: bytes | None
) -> Mapping[str, object]:
    """Returns the fields that name what a quarantined record is about.

    A quarantined record is about a batch, an account with its sequence number, a loan, an
    operator's decision or a rejected record.
    """
    contract = _contract(record.topic) or ""
    if record.batch is not None:
        state = await connection.fetchval(SQL["batch_state"], *record.batch)
        return {
            **record.batch._asdict(),
            "part": _BATCH_PARTS[contract],
            "batch_state": state,
        }
    if contract == "rejected.v1":
        names = {name: name.replace("bursar-", "rejected_") for name in _REJECTED_HEADERS}
        return {names[name]: record.headers.get(name) for name in _REJECTED_HEADERS}
    return _members(value, _MEMBERS.get(contract, ()))


def _contract(topic: str) -> str | None:
    """The contract of the topic, whatever its prefix; None for a topic of no contract of ours."""
    known = (*_MEMBERS, *_BATCH_PARTS, "rejected.v1")
    return next((contract for contract in known if topic.endswith(contract)), None)


def _members(value: bytes | None, names: tuple[str, ...]) -> Mapping[str, object]:
    try:
        body = read_json(value)
    except Fault:
        return {}  # the value is not ours: its headers and its size are all there is to show
    return {name: body.get(name) for name in names} if isinstance(body, dict) else {}


async def release(
    applier: Applier, record: QuarantinedRecord, justification: Justification
) -> DecisionResult:
    """Puts the record into the outbox again with the same key, value and headers. The relay then
    sends the released record to Kafka.

    If the record is not in quarantine any more, or other records of the same outbox row are still
    to be sent, nothing changes and the result says why.
    """

    async def work(connection: Connection) -> str:
        try:
            row_id = await quarantine.release(connection, record.id)
        except BeingSent:
            raise DecisionNotPossible(BEING_SENT) from None
        if row_id is None:
            raise DecisionNotPossible(NOT_QUARANTINED)
        outcome = f"queued as {QuarantineId(row_id, 0)}"
        if record.batch is not None:
            state = await quarantine.batch_queued_again(
                connection, record.batch, record.packed_headers, row_id
            )
            if state is BatchState.QUARANTINED:
                outcome += "; the other part of the batch is still in quarantine"
        return outcome

    subject, institution_id = record.subject, record.institution_id
    decision = Decision("quarantined_release", institution_id, subject, justification)
    return await carry_out(applier, decision, work)
