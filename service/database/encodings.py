"""Converts composite values of the rules, such as terms or an owner, to the JSON or the digest that
one column of the database keeps, and back.
"""

from dataclasses import replace
from datetime import datetime
from functools import cache, lru_cache
from hashlib import sha256

import asyncpg
import orjson

from ..core.events import Parkable
from ..core.ledger import ExportRef, Item, LibraryRef, Origin, Owner, PaymentRef
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
    """Returns a value, such as the owner of a fine, as JSON text for a column."""
    return orjson.dumps(value).decode()


def parked_value(event: Parkable) -> bytes | None:
    """Returns the record value that the table `parked` stores: the original one, or for a record in
    a newer form a value that releases up to 0.3.0 can read.
    """
    return for_older_releases(event)[0] if event.is_new_form else event.origin.value


def parked_headers(event: Parkable) -> bytes:
    """Returns the packed record headers that the table `parked` stores with the value of
    `parked_value`.
    """
    headers = for_older_releases(event)[1] if event.is_new_form else event.origin.headers
    return pack_headers(headers)


def stored_wait(wait: Wait) -> Wait:
    """Returns the word that the column `wait` of the table `parked` stores for what a record waits
    for.

    `unallocated`, of a payment that names only a patron, is stored as `not_exported`, because
    releases up to 0.3.0 end with an error when they read an unknown word. `wait_of` can tell the
    two apart, because every other record that is `not_exported` has a fine.
    """
    return Wait.NOT_EXPORTED if wait is Wait.UNALLOCATED else wait


def wait_of(stored: str, fine_id: str | None) -> Wait:
    """Returns what the record of a row of the table `parked` waits for: `not_exported` without a
    fine means `unallocated`, which release 0.7.0 stored under its own name.
    """
    wait = Wait(stored)
    return Wait.UNALLOCATED if wait is Wait.NOT_EXPORTED and fine_id is None else wait


def identifiers_of(text: str) -> tuple[tuple[str, str], ...]:
    """Returns the identifiers of a patron, each as a pair of type and value, from the JSON that the
    database keeps.

    Earlier releases stored white space at the ends of identifiers; it is removed here, and
    identifiers that differed only in it become one.
    """
    pairs = ((kind, value.strip(WHITE_SPACE)) for kind, value in orjson.loads(text))
    return tuple(dict.fromkeys(pairs))


@lru_cache(maxsize=1_000)
def owner_of(text: str) -> Owner:
    """Returns the owner of a fine (its library) from its JSON; the results are cached, because an
    institution has few owners.
    """
    return Owner(**orjson.loads(text))


def item_of(text: str) -> Item:
    """Returns the item of a fine (such as a book, with its due date) from its JSON."""
    body = orjson.loads(text)
    due = body.pop("due_date", None)
    return Item(**body, due_date=None if due is None else datetime.fromisoformat(due))


def cause_json(cause: PaymentRef | LibraryRef | ExportRef) -> str:
    """Returns as JSON the payment, library change or export that caused a transaction, without
    comments and reasons that people wrote.

    What people wrote is left out, because rows of the ledger are kept for ever, whereas it must be
    possible to erase texts of people.
    """
    match cause:
        case PaymentRef() if cause.comment is not None:
            named = cause.source, cause.payment_id, cause.reverses_payment_id, cause.status_code
            return json_of(PaymentRef(*named))
        case LibraryRef() if cause.reason is not None:
            return json_of(replace(cause, reason=None))
    return json_of(cause)


@cache
def terms_id(terms: Terms) -> str:
    """Returns the id of terms, a digest of their text, so that fines with equal terms share one row
    of the table `terms`.
    """
    return sha256(terms_text(terms).encode()).hexdigest()[:32]


def terms_text(terms: Terms) -> str:
    """Returns terms as the JSON text that the table `terms` keeps; equal terms always have equal
    texts.
    """
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
    """Returns the terms that a row of the table `terms` describes; members that older releases did
    not write get their defaults.
    """
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
    """Returns the Kafka record (topic, partition, offset, key, value, headers) that a row of the
    table `parked`, `parked_error` or `rejected` keeps.

    A row of the table `parked` has no record timestamp, because the rules for changes and payments
    do not use one.
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
