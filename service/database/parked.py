"""Converts parked records to rows of the table `parked`, and rows of that table to events."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

import asyncpg

from ..core.events import BursarPayment, FineChanged, Incoming, ParkedEvent, ParkedKey, Rejection
from ..core.ledger import Origin, SourceKey
from ..core.parked import ParkedFailure
from ..messages.decode import parse_parked
from ..runtime.problems import result_or_exception
from .encodings import origin_of, parked_headers, parked_value, stored_wait, wait_of
from .outbox import pack_headers
from .tables import Table

Parse = Callable[[str, Origin], Incoming | Rejection]
CONTRACTS = {"payment": "bursar-payment.v1", "change": "fine-changed.v1"}


def _record_of(is_change: bool) -> str:
    return "change" if is_change else "payment"


PARKED: Table[ParkedEvent] = Table(
    "parked",
    "event.key.institution_id is_change:record event.key.source event.key.id wait fine_id original"
    " event:bursar_transaction_id event.origin.topic event.origin.partition"
    " event.origin.offset:record_offset event.origin.key:record_key event:record_value"
    " event:record_headers event.origin.traceparent",
    4,
    changing="wait fine_id original",
    stored={
        "wait": stored_wait,
        "record": _record_of,
        "original": attrgetter("id"),
        "bursar_transaction_id": lambda event: getattr(event, "bursar_transaction_id", None),
        "record_value": parked_value,
        "record_headers": parked_headers,
    },
    is_dated=True,
)
# The bytes of those parked records that releases up to 0.3.0 cannot read (messages/older.py).
PARKED_ORIGINAL: Table[ParkedEvent] = Table(
    "parked_original",
    "event.key.institution_id is_change:record event.key.source event.key.id"
    " event.origin.value:record_value event.origin.headers:record_headers",
    4,
    stored={"record": _record_of, "record_headers": pack_headers},
)


def parked_key_of(row: asyncpg.Record) -> ParkedKey:
    """Returns the key of the parked record in a row of the table `parked`: payment or change,
    institution, source and id.
    """
    return (row["record"], SourceKey(row["institution_id"], row["source"], row["id"]))


def parked_items(rows: Sequence[asyncpg.Record], parse: Parse) -> dict[ParkedKey, ParkedEvent]:
    """Decodes the events of rows of the table `parked`, and returns them in the order of the rows.

    Raises ParkedFailure, with the keys of all records whose bytes cannot be decoded.
    """
    items: dict[ParkedKey, ParkedEvent] = {}
    failures: dict[ParkedKey, Exception] = {}
    for row in rows:
        key = parked_key_of(row)
        result = result_or_exception(partial(_parked_item, row, key[1], parse))
        if isinstance(result, Exception):
            failures[key] = result
        else:
            items[key] = result
    if failures:
        raise ParkedFailure(tuple(failures)) from next(iter(failures.values()))
    return items


def _parked_item(row: asyncpg.Record, key: SourceKey, parse: Parse) -> ParkedEvent:
    contract, origin = CONTRACTS[row["record"]], origin_of(row)
    event = parse(contract, origin)
    if isinstance(event, Rejection):  # an earlier release has allowed more in an id
        event = parse_parked(contract, origin)
    # The record was sound when it was parked, and each release reads what the one before read.
    assert isinstance(event, FineChanged | BursarPayment)
    original_id = row["original"]
    original = None if original_id is None else key._replace(id=original_id)
    wait = wait_of(row["wait"], row["fine_id"])
    return ParkedEvent(event, wait, row["fine_id"], original, row["arrival"])
