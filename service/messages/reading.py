"""From wire models to core values: the conditions between members, money, texts, the digest.

In this order in every function: what is invalid_schema, then money, then texts (rules.md, 3).

A digest is that of every member the contract defines, normalised, without the envelope: the same
content has the same digest (rules.md, 3). It is stored: an optional member that a contract gets
later may be added to its digest only where it is present, or old repeats would become conflicts.
"""

from datetime import datetime
from hashlib import blake2b
from typing import NoReturn
from unicodedata import normalize

import orjson

from ..core.events import BursarPayment, ExportResponse, FineChanged, FineCreated
from ..core.ledger import BatchKey, FineFacts, Item, Origin, Owner, Patron, SourceKey
from ..core.money import is_in_use
from ..core.words import (
    CREDIT_TYPE,
    EXCESS_PREFIX,
    ChangeKind,
    PaymentKind,
    Reason,
    ResponseOutcome,
)
from .envelope import Envelope
from .models import (
    WireBursarPayment,
    WireExportResponse,
    WireFineChanged,
    WireFineCreated,
    WireItem,
    WireOwner,
    WirePatron,
)
from .values import (
    Fault,
    above_zero,
    below_zero,
    identifier,
    identifier_or_none,
    known_currency,
    money,
    text,
    text_or_none,
    total,
    unknown_currency,
)


def fine_created(wire: WireFineCreated, envelope: Envelope, origin: Origin) -> FineCreated:
    """The patron's name, user group and identifiers do not count for the digest: a snapshot."""
    if wire.fine_id.startswith(EXCESS_PREFIX):
        _refuse("fine_id", f"must not start with the reserved {EXCESS_PREFIX}")
    rule = below_zero if wire.type == CREDIT_TYPE else above_zero
    amount = money(wire.amount, wire.currency, rule)
    # A change or a payment may be of an older fine; a fine is of the day on which it was created,
    # whenever its record comes.
    if not is_in_use(wire.currency, wire.created_at.date()):
        raise unknown_currency(wire.currency)
    patron = _patron(wire.institution_id, wire.patron, envelope.time)
    owner = None if wire.owner is None else _owner(wire.owner)
    item = None if wire.item is None else _item(wire.item)
    facts = (
        wire.institution_id,
        identifier("fine_id", wire.fine_id),
        patron.patron_id,
        identifier("type", wire.type),
        amount,
        wire.currency,
    )
    more = (
        wire.created_at,
        text_or_none("comment", wire.comment),
        identifier_or_none("loan_id", wire.loan_id),
    )
    last = (identifier_or_none("credit_of", wire.credit_of), wire.exportable is not False)
    digest = _digest("fine-created", *facts, owner, *more, item, *last)
    owned = None if owner is None else Owner(*owner)
    about = None if item is None else Item(*item)
    return FineCreated(FineFacts(*facts, owned, *more, about, *last, digest), patron, origin)


def _patron(institution_id: str, wire: WirePatron, seen_at: datetime) -> Patron:
    identifiers = tuple(
        (
            text(f"patron.identifiers.{index}.type", each.type),
            text(f"patron.identifiers.{index}.value", each.value),
        )
        for index, each in enumerate(wire.identifiers)
    )
    return Patron(
        institution_id,
        identifier("patron.patron_id", wire.patron_id),
        text("patron.name", wire.name),
        text("patron.user_group", wire.user_group),
        identifiers,
        seen_at,
    )


def _owner(wire: WireOwner) -> tuple[str, str, str]:
    code = identifier("owner.library_code", wire.library_code)
    return wire.library_id, code, text("owner.library_name", wire.library_name)


_ItemParts = tuple[str, str | None, str | None, str | None, str | None, datetime | None, str | None]


def _item(wire: WireItem) -> _ItemParts:
    return (
        text("item.title", wire.title),
        text_or_none("item.call_number", wire.call_number),
        text_or_none("item.library", wire.library),
        text_or_none("item.location", wire.location),
        text_or_none("item.internal_location", wire.internal_location),
        wire.due_date,
        text_or_none("item.barcode", wire.barcode),
    )


_WITH_MONEY = frozenset({ChangeKind.PAID, ChangeKind.WAIVED})


def fine_changed(wire: WireFineChanged, _: Envelope, origin: Origin) -> FineChanged:
    for field, value in (("amount", wire.amount), ("currency", wire.currency)):
        _expect(field, value, wire.kind in _WITH_MONEY, "paid and waived")
    amount = None if wire.currency is None else money(wire.amount, wire.currency, above_zero)
    key = _source_key(wire.institution_id, wire.source, "change_id", wire.change_id)
    facts = (
        identifier("fine_id", wire.fine_id),
        wire.kind,
        amount,
        wire.currency,
        wire.changed_at,
        text_or_none("reason", wire.reason),
        text_or_none("comment", wire.comment),
    )
    return FineChanged(key, *facts, _digest("fine-changed", *key, *facts), origin)


def bursar_payment(wire: WireBursarPayment, _: Envelope, origin: Origin) -> BursarPayment:
    _check_payment(wire)
    amount = None
    if wire.amount is not None and wire.currency is not None:
        amount = money(wire.amount, wire.currency, above_zero)
    elif wire.currency is not None:
        known_currency(wire.currency)
    key = _source_key(wire.institution_id, wire.source, "payment_id", wire.payment_id)
    facts = (
        wire.kind,
        wire.bursar_transaction_id,
        identifier_or_none("fine_id", wire.fine_id),
        amount,
        wire.currency,
        wire.paid_at,
        identifier_or_none("reverses_payment_id", wire.reverses_payment_id),
        text_or_none("status_code", wire.status_code),
        text_or_none("comment", wire.comment),
    )
    return BursarPayment(key, *facts, _digest("bursar-payment", *key, *facts), origin)


def _check_payment(wire: WireBursarPayment) -> None:
    """The conditions of contracts.md, 3."""
    reversal, status = wire.kind is PaymentKind.REVERSAL, wire.kind is PaymentKind.STATUS
    if wire.bursar_transaction_id is None and wire.fine_id is None and not reversal:
        _refuse("bursar_transaction_id", "this or fine_id is required, except for reversal")
    _expect("reverses_payment_id", wire.reverses_payment_id, reversal, "reversal")
    if status and wire.status_code is None:
        _refuse("status_code", "is required for status")
    for field, value in (("amount", wire.amount), ("currency", wire.currency)):
        if status or not reversal:
            _expect(field, value, not status, "payment, write_off and reversal")
    if wire.amount is not None and wire.currency is None:
        _refuse("currency", "is required with amount")
    if wire.reverses_payment_id is not None and _nfc(wire.reverses_payment_id) == _nfc(
        wire.payment_id
    ):
        _refuse("reverses_payment_id", "must not be the payment_id itself")


def export_response(wire: WireExportResponse, _: Envelope, origin: Origin) -> ExportResponse:
    """A digest reads control.total as a number: the currency, and so the scale, is the batch's."""
    if wire.outcome is ResponseOutcome.REFUSED and wire.reason is None:
        _refuse("reason", "is required for refused")
    _expect("refused_lines", wire.refused_lines, wire.outcome is ResponseOutcome.PARTIAL, "partial")
    control = None if wire.control is None else total("control.total", wire.control.total)
    key = _source_key(wire.institution_id, wire.source, "response_id", wire.response_id)
    facts = (
        BatchKey(wire.institution_id, wire.profile, wire.batch_number),
        wire.outcome,
        text_or_none("reason", wire.reason),
        tuple(
            (line.bursar_transaction_id, text(f"refused_lines.{index}.reason", line.reason))
            for index, line in enumerate(wire.refused_lines or ())
        ),
        None if wire.control is None else wire.control.count,
    )
    digest = _digest(
        "export-response",
        *key,
        *facts[0],
        *facts[1:],
        None if control is None else _plain_total(control),
        wire.responded_at,
    )
    return ExportResponse(key, *facts, control, wire.responded_at, digest, origin)


def _plain_total(control: str) -> str:
    return control.rstrip("0").rstrip(".") if "." in control else control


def _source_key(institution_id: str, source: str, name: str, own_id: str) -> SourceKey:
    return SourceKey(institution_id, identifier("source", source), identifier(name, own_id))


def _expect(field: str, value: object, wanted: bool, kinds: str) -> None:
    """Only and always for `kinds`."""
    if wanted and value is None:
        _refuse(field, f"is required for {kinds}")
    if not wanted and value is not None:
        _refuse(field, f"is only for {kinds}")


def _nfc(value: str) -> str:
    return normalize("NFC", value)


def _refuse(field: str, rule: str) -> NoReturn:
    raise Fault(Reason.INVALID_SCHEMA, f"{field}: {rule}")


def _digest(*parts: object) -> bytes:
    """32 bytes over the parts as one JSON array: strings, numbers, instants, arrays of them."""
    return blake2b(orjson.dumps(parts), digest_size=32).digest()
