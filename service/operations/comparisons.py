"""Compares a published record with its row in the database, member by member."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import asyncpg
import orjson

from ..restore.known import TYPE_PREFIX, Record

Key = tuple[str | int, ...]
Pairs = Mapping[str, tuple[object, object]]  # member: as it was published, as it is recorded
# What a record may raise that is not as its contract says.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


@dataclass(slots=True)
class Waiting:
    """A record that waits in the outbox or in quarantine instead of a topic; its partition
    is -1.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int = -1
    offset: int = -1
    timestamp: int = -1


class Published(NamedTuple):
    """A record of an output topic. `event` is the JSON object in the record's value; it is empty
    for the XML of a batch and for a rejected record.
    """

    record: Record
    headers: Mapping[str, str]
    event: Mapping[str, object]

    @property
    def value(self) -> bytes:
        """The value of the record in bytes; empty if the record has no value."""
        return self.record.value or b""


class Comparison(NamedTuple):
    """How the records of one contract are compared with the database.

    `key` returns the identity of a record, and `pairs` the published and the stored value of each
    member that is compared; both raise one of UNREADABLE if the record breaks its contract. `rows`
    is the word for such records in the statement names of `audit.sql`, such as `batches`.
    """

    contract: str
    rows: str
    key: Callable[[Published], Key]
    pairs: Callable[[Published, asyncpg.Record], Pairs]

    @property
    def by_key(self) -> str:
        """The name of the SQL statement that reads the rows with given identities."""
        return f"{self.rows}_of_keys"

    @property
    def all_keys(self) -> str:
        """The name of the SQL statement that reads the identities of all rows, each with the time
        at which the row was recorded.
        """
        return f"all_{self.rows}"


def opened(record: Record, *, has_json: bool) -> Published:
    """Decodes the headers and the JSON of a record of an output topic. Raises one of UNREADABLE."""
    headers = {name: (value or b"").decode() for name, value in record.headers}
    if not headers.get("ce_type", "").startswith(TYPE_PREFIX):
        raise ValueError("is not a record of this service")
    event = orjson.loads(record.value or b"") if has_json else {}
    if not isinstance(event, dict):
        raise ValueError("is not an object")
    return Published(record, headers, event)


def differing(
    published: Published, rows: Sequence[asyncpg.Record], comparison: Comparison
) -> list[str]:
    """Returns the names of the members whose published value differs from the database.

    A rejected record may have several rows, because a topic that was created again uses its offsets
    once more: the most similar row counts. If there is no row, the result is empty. Raises one of
    UNREADABLE.
    """
    compared = [
        [
            name
            for name, (sent, stored) in comparison.pairs(published, row).items()
            if sent != stored
        ]
        for row in rows
    ]
    return min(compared, key=len, default=[])


def is_of_row(published: Published, row: asyncpg.Record) -> bool:
    """Whether this database has published the record from this row; otherwise a lost database has
    used the same identity. For a closed loan this is always false, since its row does not have the
    time of publishing.
    """
    return _instant(published.headers["ce_time"]) == row.get("recorded_at")


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("is not a text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError("is not a number of this service")
    return value


def _minor(value: object) -> int:
    """An amount with exactly the decimals of its currency, so that its digits are minor units."""
    return int(_text(value).replace(".", ""))


def _instant(value: object) -> datetime:
    return datetime.fromisoformat(_text(value)).astimezone(UTC)


def _members(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError("is not an object")
    return value


def _balance(value: object) -> tuple[int, int]:
    members = _members(value)
    return _minor(members["active"]), _minor(members["transferred"])


def _key_of_transaction(published: Published) -> Key:
    event = published.event
    account = (_text(event[name]) for name in ("institution_id", "patron_id", "currency"))
    return (*account, _whole(event["sequence"]))


def _transaction(published: Published, row: asyncpg.Record) -> Pairs:
    event = published.event
    transaction, fine = _members(event["transaction"]), _members(event["fine"])
    after = (row["active"], row["transferred"])
    change = (row["active_change"], row["transferred_change"])
    before = (after[0] - change[0], after[1] - change[1])
    is_latest = event["epoch"] == row["epoch"]
    pairs: dict[str, tuple[object, object]] = {
        "key": (published.record.key, _patron_key(published).encode()),
        "balance": (_balance(event["balance"]), after),
        "balance.total": (_minor(_members(event["balance"])["total"]), sum(after)),
        "previous": (_balance(event["previous"]), before),
        "change": (_balance(event["change"]), change),
        "transaction.type": (transaction["type"], row["label"]),
        "transaction.kind": (transaction["kind"], row["kind"]),
        "transaction.amount": (_minor(transaction["amount"]), row["amount"]),
        "fine.fine_id": (fine["fine_id"], row["fine_id"]),
        "fine.status": (fine["status"], row["fine_status"]),
        "fine.considered": (fine["considered"], row["fine_considered"]),
        "fine.remaining": (_minor(fine["remaining"]), row["fine_remaining"]),
        "fine.outstanding_at_bursar": (
            _minor(fine["outstanding_at_bursar"]),
            row["fine_outstanding"],
        ),
        "occurred_at": (_instant(event["occurred_at"]), row["occurred_at"]),
        "recorded_at": (_instant(event["recorded_at"]), row["recorded_at"]),
    }
    if is_latest:
        pairs["transaction.transaction_id"] = (
            transaction["transaction_id"],
            row["transaction_id"],
        )
        pairs["ce_id"] = (published.headers["ce_id"], row["transaction_id"])
    if row["kind"] == "export_rejected":
        pairs["export.bursar_transaction_id"] = ("refused", row["line_state"])
    return pairs


def _patron_key(published: Published) -> str:
    return f"{published.event['institution_id']}/{published.event['patron_id']}"


def _key_of_batch(published: Published) -> Key:
    name = published.headers["ce_id"].removesuffix("/manifest")
    institution_id, profile, number = name.split("/")
    return institution_id, profile, _whole(int(number))


def _batch(published: Published, row: asyncpg.Record) -> Pairs:
    digest = sha256(published.value)
    headers = published.headers
    return {
        "key": (published.record.key, "/".join(map(str, _key_of_batch(published)[:2])).encode()),
        "document": (digest.digest(), row["document_sha256"]),
        "sha256": (digest.digest(), row["sha256"]),
        "bursar-sha256": (headers["bursar-sha256"], row["sha256"].hex()),
        "bursar-fine-count": (headers["bursar-fine-count"], str(row["fine_count"])),
        "bursar-file-name": (headers["bursar-file-name"], row["file_name"]),
    }


def _manifest(published: Published, row: asyncpg.Record) -> Pairs:
    event = published.event
    previous = row["previous_sha256"]
    return {
        "key": (published.record.key, "/".join(map(str, _key_of_batch(published)[:2])).encode()),
        "manifest": (sha256(published.value).digest(), row["manifest_sha256"]),
        "institution_id": (event["institution_id"], _key_of_batch(published)[0]),
        "export_number": (event["export_number"], row["export_number"]),
        "currency": (event["currency"], row["currency"]),
        "count": (event["count"], row["fine_count"]),
        "total": (_minor(event["total"]), row["total"]),
        "file_name": (event["file_name"], row["file_name"]),
        "sha256": (event["sha256"], row["sha256"].hex()),
        "previous_sha256": (event["previous_sha256"], previous and previous.hex()),
        "lines": (_digest_of_lines(event["lines"]), row["lines_sha256"]),
    }


def _digest_of_lines(lines: object) -> bytes:
    """The digest that the statement makes of a batch's lines in the database."""
    if not isinstance(lines, list):
        raise ValueError("is not a list")
    texts = sorted(
        f"{line['bursar_transaction_id']} {line['fine_id']} {_minor(line['amount'])}"
        for line in lines
    )
    return sha256("\n".join(texts).encode()).digest()


def _key_of_loan(published: Published) -> Key:
    return _text(published.event["institution_id"]), _text(published.event["loan_id"])


def _loan(published: Published, row: asyncpg.Record) -> Pairs:
    event = published.event
    return {
        "key": (published.record.key, _patron_key(published).encode()),
        "patron_id": (event["patron_id"], row["patron_id"]),
        "fine_id": (event["fine_id"], row["fine_id"]),
        "batch_number": (event["batch_number"], row["batch_number"]),
        "closed_at": (_instant(event["closed_at"]), row["closed_at"]),
    }


def _key_of_rejection(published: Published) -> Key:
    headers = published.headers
    place = (int(headers["bursar-partition"]), _whole(int(headers["bursar-offset"])))
    return (headers["bursar-topic"], *place, headers["bursar-reason"])


def _rejection(published: Published, row: asyncpg.Record) -> Pairs:
    pairs: Pairs = {"ce_subject": (published.headers.get("ce_subject"), row["institution_id"])}
    if row["value_sha256"] is None:  # the bytes were removed after their retention
        return pairs
    return {**pairs, "value": (sha256(published.value).digest(), row["value_sha256"])}


def _key_of_action(published: Published) -> Key:
    return (_whole(published.event["action_id"]),)


def _action(published: Published, row: asyncpg.Record) -> Pairs:
    event = published.event
    return {
        "action": (event["action"], row["action"]),
        "institution_id": (event.get("institution_id"), row["institution_id"]),
        "outcome": (event["outcome"], row["outcome"]),
        "recorded_at": (_instant(event["recorded_at"]), row["recorded_at"]),
    }


COMPARISONS: Sequence[Comparison] = (
    Comparison("balance-changed.v1", "transactions", _key_of_transaction, _transaction),
    Comparison("export-batch.v1", "batches", _key_of_batch, _batch),
    Comparison("export-manifest.v1", "batches", _key_of_batch, _manifest),
    Comparison("loan-closed.v1", "loans", _key_of_loan, _loan),
    Comparison("rejected.v1", "rejections", _key_of_rejection, _rejection),
    Comparison("operator-action.v1", "actions", _key_of_action, _action),
)
WITHOUT_JSON = frozenset({"export-batch.v1", "rejected.v1"})


def columns_of(keys: Iterable[tuple[int, Key]]) -> list[list[object]]:
    """Turns numbered identities into one list for each column, as the SQL statements take them."""
    rows = [(place, *key) for place, key in keys]
    return [list(column) for column in zip(*rows, strict=True)]
