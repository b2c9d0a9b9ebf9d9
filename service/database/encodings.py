"""How values of the core that are no columns by themselves are kept in one: as JSON or digests."""

from dataclasses import replace
from datetime import datetime
from functools import cache
from hashlib import sha256

import asyncpg
import orjson

from ..core.events import Parkable
from ..core.ledger import ExportRef, Item, LibraryRef, Origin, PaymentRef
from ..core.terms import Terms
from ..core.words import (
    ImportCredits,
    Kind,
    LibraryPayments,
    LostRule,
    Mode,
    Overpayment,
    ProfileCode,
    RefusedRule,
    Wait,
)
from ..messages.older import for_older_releases
from ..messages.texts import WHITE_SPACE
from .outbox import pack_headers, unpack_headers


def json_of(value: object) -> str:
    """Returns a value, such as the owner of a fine, as JSON."""
    return orjson.dumps(value).decode()


def parked_value(event: Parkable) -> bytes | None:
    """Returns the value that is parked: that of the record, or what releases up to 0.3.0 read."""
    return for_older_releases(event)[0] if event.is_new_form else event.origin.value


def parked_headers(event: Parkable) -> bytes:
    """Returns the headers that belong to `parked_value`."""
    headers = for_older_releases(event)[1] if event.is_new_form else event.origin.headers
    return pack_headers(headers)


def stored_wait(wait: Wait) -> Wait:
    """Returns what the column `wait` of the table `parked` has for a record that waits.

    Releases up to 0.3.0 end as soon as a record waits for something that they do not know. A sum
    that is `unallocated` is stored as `not_exported`: both wait for an export, and any other record
    that is `not_exported` has a fine.
    """
    return Wait.NOT_EXPORTED if wait is Wait.UNALLOCATED else wait


def wait_of(stored: str, fine_id: str | None) -> Wait:
    """Returns what a row of the table `parked` waits for; release 0.7.0 stored the word itself."""
    wait = Wait(stored)
    return Wait.UNALLOCATED if wait is Wait.NOT_EXPORTED and fine_id is None else wait


def identifiers_of(text: str) -> tuple[tuple[str, str], ...]:
    """Returns the identifiers of a patron, each with its type, from their JSON.

    Earlier releases have kept white space at the ends of an identifier, and two spellings of one
    that differ only there.
    """
    pairs = ((kind, value.strip(WHITE_SPACE)) for kind, value in orjson.loads(text))
    return tuple(dict.fromkeys(pairs))


def item_of(text: str) -> Item:
    """Returns the item of a fine from its JSON."""
    body = orjson.loads(text)
    due = body.pop("due_date", None)
    return Item(**body, due_date=None if due is None else datetime.fromisoformat(due))


def cause_json(cause: PaymentRef | LibraryRef | ExportRef) -> str:
    """Returns what caused a transaction as JSON, without what people wrote.

    The ledger keeps its rows for ever, whereas these texts can be erased.
    """
    match cause:
        case PaymentRef() if cause.comment is not None:
            return json_of(replace(cause, comment=None))
        case LibraryRef() if cause.reason is not None:
            return json_of(replace(cause, reason=None))
    return json_of(cause)


@cache
def terms_id(terms: Terms) -> str:
    """Returns the digest of the text of the terms, so that equal terms share a row."""
    return sha256(terms_text(terms).encode()).hexdigest()[:32]


def terms_text(terms: Terms) -> str:
    """Returns the terms as the JSON that the table `terms` keeps; equal terms have equal texts."""
    body: dict[str, object] = {
        "profile": terms.profile,
        "mode": terms.mode,
        "lost": terms.lost,
        "lost_types": sorted(terms.lost_types),
        "close_paid_lost_loan": terms.close_paid_lost_loan,
        "overpayment": terms.overpayment,
        "refused": terms.refused,
        "labels": sorted((kind.value, text) for kind, text in terms.labels),
    }
    # Terms without these keep the text, and so the id, that they have from earlier releases.
    if terms.overpayment_max is not None:
        body["overpayment_max"] = terms.overpayment_max
    if terms.library_payments is not LibraryPayments.REJECT:
        body["library_payments"] = terms.library_payments
    if terms.import_credits is not ImportCredits.CONFIRM:
        body["import_credits"] = terms.import_credits
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()


def terms_of(row: asyncpg.Record) -> Terms:
    """Returns the terms of a row of the table `terms`."""
    body = orjson.loads(row["body"])
    return Terms(
        profile=ProfileCode(body["profile"]),
        mode=Mode(body["mode"]),
        lost=LostRule(body["lost"]),
        lost_types=frozenset(body["lost_types"]),
        close_paid_lost_loan=body["close_paid_lost_loan"],
        overpayment=Overpayment(body["overpayment"]),
        refused=RefusedRule(body["refused"]),
        labels=tuple((Kind(kind), text) for kind, text in body["labels"]),
        overpayment_max=body.get("overpayment_max"),
        library_payments=LibraryPayments(body.get("library_payments", LibraryPayments.REJECT)),
        import_credits=ImportCredits(body.get("import_credits", ImportCredits.CONFIRM)),
    )


def origin_of(row: asyncpg.Record) -> Origin:
    """Returns the record of Kafka that a row of `parked`, `parked_error` or `rejected` keeps.

    The table `parked` has no timestamps: no change and no payment depends on one.
    """
    return Origin(
        row["topic"],
        row["partition"],
        row["record_offset"],
        row["record_key"],
        row["record_value"],
        unpack_headers(row["record_headers"]),
        row["traceparent"],
        row.get("record_timestamp_ms"),
    )
