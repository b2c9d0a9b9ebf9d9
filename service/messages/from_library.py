"""The records that the library sends: the shape of each, and the event that it means."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StrictBool

from ..core.events import FineChanged, FineCreated
from ..core.ledger import FineFacts, Item, Origin, Owner, Patron
from ..core.money import is_in_use
from ..core.words import CREDIT_TYPE, EXCESS_PREFIX, ChangeKind
from .texts import Reading, code, digest_of, identifier_value, is_plain
from .values import (
    COMMENT_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    REASON_CHARACTERS_MAX,
    TITLE_CHARACTERS_MAX,
    TRIMMED_ID_CHARACTERS_MAX,
    Id,
    Instant,
    Institution,
    LibraryId,
    Money,
    TrimmedId,
    Wire,
    above_zero,
    below_zero,
    expect,
    money,
    raise_schema,
    unknown_currency,
)


class WireIdentifier(Wire):
    """One of a patron's identifiers."""

    type: Annotated[str, Field(min_length=1, max_length=40)]
    value: TrimmedId

    def pair(self, index: int) -> tuple[str, str]:
        """The type and the value; `index` is the identifier's place in the record. Raises Fault."""
        if is_plain(self.type) and is_plain(self.value):
            return self.type, self.value
        field = f"patron.identifiers.{index}"
        return code(f"{field}.type", self.type), _trimmed(f"{field}.value", self.value)


class WirePatron(Wire):
    """The patron of a fine, as the library knows them at the time of the record."""

    patron_id: Id
    name: str
    user_group: TrimmedId
    identifiers: Annotated[tuple[WireIdentifier, ...], Field(max_length=50)]

    def snapshot(self, institution_id: str, seen_at: datetime, reading: Reading) -> Patron:
        """The patron at the time `seen_at`. Raises Fault.

        Two spellings of an identifier that differ only in white space at its ends are one.
        """
        pairs = (identifier.pair(index) for index, identifier in enumerate(self.identifiers))
        identifiers = dict.fromkeys(pairs)
        return Patron(
            institution_id,
            reading.identifier("patron.patron_id", self.patron_id),
            reading.text("patron.name", self.name, NAME_CHARACTERS_MAX),
            _trimmed("patron.user_group", self.user_group),
            tuple(identifiers),
            seen_at,
        )


def _trimmed(field: str, value: str) -> str:
    return identifier_value(field, value, TRIMMED_ID_CHARACTERS_MAX)


class WireOwner(Wire):
    """The library that a fine belongs to."""

    library_id: LibraryId
    library_code: Id
    library_name: str

    def parts(self, reading: Reading) -> tuple[str, str, str]:
        """The fields of the core's Owner. Raises Fault."""
        return (
            self.library_id,
            reading.identifier("owner.library_code", self.library_code),
            reading.text("owner.library_name", self.library_name, NAME_CHARACTERS_MAX),
        )


class WireItem(Wire):
    """The item that a fine is about."""

    title: str
    call_number: str | None = None
    library: str | None = None
    location: str | None = None
    internal_location: str | None = None
    due_date: Instant | None = None
    barcode: str | None = None

    def parts(
        self, reading: Reading
    ) -> tuple[str, str | None, str | None, str | None, str | None, datetime | None, str | None]:
        """The fields of the core's Item."""
        text_or_none, short = reading.text_or_none, NAME_CHARACTERS_MAX
        return (
            reading.text("item.title", self.title, TITLE_CHARACTERS_MAX),
            text_or_none("item.call_number", self.call_number, short),
            text_or_none("item.library", self.library, short),
            text_or_none("item.location", self.location, short),
            text_or_none("item.internal_location", self.internal_location, short),
            self.due_date,
            text_or_none("item.barcode", self.barcode, short),
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
    comment: str | None = None
    loan_id: Id | None = None
    item: WireItem | None = None
    credit_of: Id | None = None
    exportable: StrictBool | None = None

    def event(self, time: datetime, origin: Origin, reading: Reading) -> FineCreated:
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
        patron = self.patron.snapshot(self.institution_id, time, reading)
        facts = self._facts(patron.patron_id, amount, reading)
        earlier = None
        if reading.differs:
            earlier = reading.earlier_digest(
                facts.digest, lambda it: self._facts(patron.patron_id, amount, it).digest
            )
        return FineCreated(facts, patron, origin, earlier, reading.cuts)

    def _facts(self, patron_id: str, amount: int, reading: Reading) -> FineFacts:
        identifier_or_none = reading.identifier_or_none
        owner = None if self.owner is None else self.owner.parts(reading)
        item = None if self.item is None else self.item.parts(reading)
        facts = (
            self.institution_id,
            reading.identifier("fine_id", self.fine_id),
            patron_id,
            reading.identifier("type", self.type),
            amount,
            self.currency,
        )
        more = (
            self.created_at,
            reading.text_or_none("comment", self.comment, COMMENT_CHARACTERS_MAX),
            identifier_or_none("loan_id", self.loan_id),
        )
        last = (identifier_or_none("credit_of", self.credit_of), self.exportable is not False)
        return FineFacts(
            *facts,
            None if owner is None else Owner(*owner),
            *more,
            None if item is None else Item(*item),
            *last,
            digest_of("fine-created", *facts, owner, *more, item, *last),
        )


class WireFineChanged(Wire):
    """A fine was paid, waived, adjusted, cancelled, disputed or restored (fine-changed.v1)."""

    institution_id: Institution
    source: Id
    change_id: Id
    fine_id: Id
    kind: ChangeKind
    amount: object = None
    currency: str | None = None
    changed_at: Instant
    reason: str | None = None
    comment: str | None = None

    def event(self, time: datetime, origin: Origin, reading: Reading) -> FineChanged:
        """Returns the change of the fine. Raises Fault."""
        has_amount = self.kind.has_amount
        expect("amount", self.amount, has_amount, "paid, waived and adjusted")
        expect("currency", self.currency, has_amount, "paid, waived and adjusted")
        amount = None if self.currency is None else money(self.amount, self.currency, above_zero)
        key = reading.source_key(self.institution_id, self.source, "change_id", self.change_id)
        facts = (
            reading.identifier("fine_id", self.fine_id),
            self.kind,
            amount,
            self.currency,
            self.changed_at,
            reading.text_or_none("reason", self.reason, REASON_CHARACTERS_MAX),
            reading.text_or_none("comment", self.comment, COMMENT_CHARACTERS_MAX),
        )
        digest = digest_of("fine-changed", *key, *facts)
        earlier = reading.earlier_digest(
            digest, lambda texts: self.event(time, origin, texts).digest
        )
        return FineChanged(
            key,
            digest,
            origin,
            *facts,
            earlier_digest=earlier,
            cuts=reading.cuts,
            is_new_form=reading.is_new_form,
        )
