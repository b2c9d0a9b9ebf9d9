"""The fines as plain rows: records of Kafka Connect, the table for them, and its address."""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import orjson

from tests.bench.load import Record

TABLE = "plain_fine"
KEY = ("institution_id", "fine_id")
AMOUNT, SCALE = "amount", 2
TIMES = ("created_at", "due_date")
_PATRON = ("patron_id", "name", "user_group")
_FROM_THE_FINE = ("institution_id", "fine_id", "type", "currency", "comment", "loan_id")
_OWNER = ("library_id", "library_code", "library_name")
_ITEM = ("title", "call_number", "library", "location", "internal_location", "barcode")
TEXTS = (*_FROM_THE_FINE, *_PATRON, "identifiers", *_OWNER, *_ITEM)
_DECIMAL, _TIMESTAMP = (
    f"org.apache.kafka.connect.data.{name}" for name in ("Decimal", "Timestamp")
)


def table() -> str:
    """The statement that makes the table: every value of a fine in a column, and its key."""
    columns = [f"{name} text NOT NULL" for name in TEXTS]
    columns += [f"{AMOUNT} numeric NOT NULL", *(f"{name} timestamptz NOT NULL" for name in TIMES)]
    return f"CREATE TABLE {TABLE} ({', '.join(columns)}, PRIMARY KEY ({', '.join(KEY)}))"


def schema() -> str:
    """What Connect has to know of each record, as its JSON converter reads it."""
    fields: list[Mapping[str, object]] = [{"field": name, "type": "string"} for name in TEXTS]
    fields.append(
        {
            "field": AMOUNT,
            "type": "bytes",
            "name": _DECIMAL,
            "version": 1,
            "parameters": {"scale": str(SCALE)},
        }
    )
    fields += [{"field": name, "type": "int64", "name": _TIMESTAMP, "version": 1} for name in TIMES]
    return json.dumps({"type": "struct", "optional": False, "fields": fields})


def plain(record: Record) -> Record:
    """The same fine without anything nested, as its writer would have to send it to the sink."""
    fine = orjson.loads(record.value)
    return record._replace(value=orjson.dumps(row_of(fine)), headers=())


def row_of(fine: Mapping[str, Any]) -> dict[str, object]:
    """A fine's values by their columns: a number as Connect's decimal, times in milliseconds."""
    row = {name: fine[name] for name in _FROM_THE_FINE}
    row |= {name: fine["patron"][name] for name in _PATRON}
    row |= {name: fine["owner"][name] for name in _OWNER}
    row |= {name: fine["item"][name] for name in _ITEM}
    return row | {
        "identifiers": orjson.dumps(fine["patron"]["identifiers"]).decode(),
        AMOUNT: decimal(fine["amount"]),
        "created_at": milliseconds(fine["created_at"]),
        "due_date": milliseconds(fine["item"]["due_date"]),
    }


def decimal(amount: str) -> str:
    """A positive amount with two decimals as Connect writes it: its minor units as bytes, with a
    sign, in base 64.
    """
    whole, _, cents = amount.partition(".")
    units = int(whole) * 10**SCALE + int(cents)
    return b64encode(units.to_bytes(units.bit_length() // 8 + 1, "big", signed=True)).decode()


def milliseconds(text: str) -> int:
    """An instant as Connect writes it: since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def jdbc_settings(database_url: str) -> dict[str, str]:
    """Where the sink finds the database. Its driver makes one statement of a batch's inserts."""
    parts = urlsplit(database_url)
    options = urlencode({"reWriteBatchedInserts": "true"})
    return {
        "connection.url": (
            f"jdbc:postgresql://{parts.hostname}:{parts.port or 5432}{parts.path}?{options}"
        ),
        "connection.username": unquote(parts.username or ""),
        "connection.password": unquote(parts.password or ""),
    }
