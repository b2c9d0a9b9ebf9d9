"""The records that the library sends: the shape of each, and the event that it means."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StrictBool

from ..core.events import FineChanged, FineCreated
from ..core.ledger import FineFacts, Item, Origin, Owner, Patron
from ..core.money import is_in_use
from ..core.words import CREDIT_TYPE, EXCESS_PREFIX, ChangeKind
from .values import (
    Comment,
    Id,
    Instant,
    Institution,
    LibraryId,
    Money,
    ReasonText,
    ShortText,
    Wire,
    above_zero,
    below_zero,
    digest_of,
    expect,
    identifier,
    identifier_or_none,
    money,
    raise_schema,
    source_key_of,
    text,
    text_or_none,
    unknown_currency,
)


class WireIdentifier(Wire):
    """One of a patron's identifiers."""

    type: Annotated[str, Field(min_length=1, max_length=40)]
    value: Annotated[str, Field(max_length=200)]


class WirePatron(Wire):
    """The patron of a fine, as the library knows them at the time of the record."""

    patron_id: Id
    name: ShortText
    user_group: Annotated[str, Field(max_length=100)]
    identifiers: Annotated[tuple[WireIdentifier, ...], Field(max_length=50)]

    def snapshot(self, institution_id: str, seen_at: datetime) -> Patron:
        """The patron at the time `seen_at`. Raises Fault."""
        identifiers = tuple(
            (
                text(f"patron.identifiers.{index}.type", pair.type),
                text(f"patron.identifiers.{index}.value", pair.value),
            )
            for index, pair in enumerate(self.identifiers)
        )
        return Patron(
            institution_id,
            identifier("patron.patron_id", self.patron_id),
            text("patron.name", self.name),
            text("patron.user_group", self.user_group),
            identifiers,
            seen_at,
        )


class WireOwner(Wire):
    """The library that a fine belongs to."""

    library_id: LibraryId
    library_code: Id
    library_name: ShortText

    def parts(self) -> tuple[str, str, str]:
        """The fields of the core's Owner. Raises Fault."""
        code = identifier("owner.library_code", self.library_code)
        return self.library_id, code, text("owner.library_name", self.library_name)


class WireItem(Wire):
    """The item that a fine is about."""

    title: Annotated[str, Field(max_length=1000)]
    call_number: ShortText | None = None
    library: ShortText | None = None
    location: ShortText | None = None
    internal_location: ShortText | None = None
    due_date: Instant | None = None
    barcode: ShortText | None = None

    def parts(
        self,
    ) -> tuple[str, str | None, str | None, str | None, str | None, datetime | None, str | None]:
        """The fields of the core's Item. Raises Fault."""
        return (
            text("item.title", self.title),
            text_or_none("item.call_number", self.call_number),
            text_or_none("item.library", self.library),
            text_or_none("item.location", self.location),
            text_or_none("item.internal_location", self.internal_location),
            self.due_date,
            text_or_none("item.barcode", self.barcode),
        )


class WireFineCreated(Wire):
    """A fine or a credit of a patron, with a snapshot of the patron (fine-created.v1)."""

    institution_id: Institution
    fine_id: Id
    patron: WirePatron
    type: Id
    amount: Money
    currency: str
    owner: WireOwner | None = None
    created_at: Instant
    comment: Comment | None = None
    loan_id: Id | None = None
    item: WireItem | None = None
    credit_of: Id | None = None
    exportable: StrictBool | None = None

    def event(self, time: datetime, origin: Origin) -> FineCreated:
        """Returns the fine, with the patron as of `time`. Raises Fault.

        The patron's name, user group and identifiers do not belong to the digest.
        """
        if self.fine_id.startswith(EXCESS_PREFIX):
            raise_schema("fine_id", f"must not start with the reserved {EXCESS_PREFIX}")
        rule = below_zero if self.type == CREDIT_TYPE else above_zero
        amount = money(self.amount, self.currency, rule)
        # Only here does the day count: a change or a payment may be of an older fine. A fine is of
        # the day on which it was created, whenever its record comes.
        if not is_in_use(self.currency, self.created_at.date()):
            raise unknown_currency(self.currency)
        patron = self.patron.snapshot(self.institution_id, time)
        owner = None if self.owner is None else self.owner.parts()
        item = None if self.item is None else self.item.parts()
        facts = (
            self.institution_id,
            identifier("fine_id", self.fine_id),
            patron.patron_id,
            identifier("type", self.type),
            amount,
            self.currency,
        )
        more = (
            self.created_at,
            text_or_none("comment", self.comment),
            identifier_or_none("loan_id", self.loan_id),
        )
        last = (identifier_or_none("credit_of", self.credit_of), self.exportable is not False)
        digest = digest_of("fine-created", *facts, owner, *more, item, *last)
        fine = FineFacts(
            *facts,
            None if owner is None else Owner(*owner),
            *more,
            None if item is None else Item(*item),
            *last,
            digest,
        )
        return FineCreated(fine, patron, origin)


class WireFineChanged(Wire):
    """A fine was paid, waived, cancelled, disputed or restored in the library (fine-changed.v1)."""

    institution_id: Institution
    source: Id
    change_id: Id
    fine_id: Id
    kind: ChangeKind
    amount: object = None
    currency: str | None = None
    changed_at: Instant
    reason: ReasonText | None = None
    comment: Comment | None = None

    def event(self, _time: datetime, origin: Origin) -> FineChanged:
        """Returns the change of the fine. Raises Fault."""
        has_amount = self.kind in (ChangeKind.PAID, ChangeKind.WAIVED)
        expect("amount", self.amount, has_amount, "paid and waived")
        expect("currency", self.currency, has_amount, "paid and waived")
        amount = None if self.currency is None else money(self.amount, self.currency, above_zero)
        key = source_key_of(self.institution_id, self.source, "change_id", self.change_id)
        facts = (
            identifier("fine_id", self.fine_id),
            self.kind,
            amount,
            self.currency,
            self.changed_at,
            text_or_none("reason", self.reason),
            text_or_none("comment", self.comment),
        )
        return FineChanged(key, digest_of("fine-changed", *key, *facts), origin, *facts)
