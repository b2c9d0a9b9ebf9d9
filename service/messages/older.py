"""Encodes parked records in a form that releases up to 0.3.0 can read.

While an installation is updated, a process of a release up to 0.3.0 may run beside this one, and it
also tries parked records again. A process of a release up to 0.3.0 ends if it cannot read a parked
record. A record that only this release can read is therefore parked in a form that the older one
can read, too, and its original bytes are stored beside it.
"""

from __future__ import annotations

from unicodedata import category

import orjson

from ..core.events import BursarPayment, FineChanged, Parkable
from ..core.money import format_minor
from ..core.payments import excess_credit_id
from .encode import JSON, Headers, Members, attributes, instant_bytes
from .values import may_be_a_line

CE_SOURCE = "/parked"


def for_older_releases(event: Parkable) -> tuple[bytes, Headers]:
    """Returns value and headers of a record in binary mode with the same meaning as the event."""
    contract = "fine-changed.v1" if isinstance(event, FineChanged) else "bursar-payment.v1"
    members = _of_change(event) if isinstance(event, FineChanged) else _of_payment(event)
    body = {name: member for name, member in members.items() if member is not None}
    time = event.changed_at if isinstance(event, FineChanged) else event.paid_at
    named = attributes(contract, event.key.id.encode(), CE_SOURCE, instant_bytes(time))
    return orjson.dumps(body), (*named, ("content-type", JSON))


def _of_change(event: FineChanged) -> Members:
    return {
        "institution_id": event.key.institution_id,
        "source": event.key.source,
        "change_id": event.key.id,
        "fine_id": event.fine_id,
        "kind": event.kind,
        "amount": _amount(event),
        "currency": event.currency,
        "changed_at": event.changed_at,
        "reason": _text(event.reason),
        "comment": _text(event.comment),
    }


def _of_payment(event: BursarPayment) -> Members:
    """The members of a payment.

    A sum that names a patron alone names a fine here, because those releases want a reference. The
    id is that of the credit which its excess may become: no other fine ever has it.
    """
    return {
        "institution_id": event.key.institution_id,
        "source": event.key.source,
        "payment_id": event.key.id,
        "kind": event.kind,
        "bursar_transaction_id": _line(event.bursar_transaction_id),
        "fine_id": event.fine_id if event.account is None else excess_credit_id(event.key),
        "amount": _amount(event),
        "currency": event.currency,
        "paid_at": event.paid_at,
        "reverses_payment_id": event.reverses_payment_id,
        "status_code": event.status_code,
        "comment": _text(event.comment),
    }


def _line(named: str | None) -> str | None:
    """Without an id that is that of no line: the other reference decides, here and there."""
    return named if named is not None and may_be_a_line(named) else None


def _amount(event: Parkable) -> str | None:
    if event.amount is None or event.currency is None:
        return None
    return format_minor(event.amount, event.currency)


def _text(text: str | None) -> str | None:
    """Without a text that has a character which is not assigned: it would be rejected there."""
    has_unassigned = text is not None and any(category(each) == "Cn" for each in text)
    return None if has_unassigned else text
