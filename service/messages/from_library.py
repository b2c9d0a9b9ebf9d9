"""The members of each record that the library system sends, and the event that the record means."""

from datetime import datetime
from typing import Annotated, NotRequired

from pydantic import Field, StrictBool
from typing_extensions import TypedDict

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


# What a fine has inside is read into dictionaries: a model for each part of it, seven in all, would
# take eight microseconds more.
class WireIdentifier(TypedDict):
    """One of a patron's identifiers, with its type and value."""

    type: Annotated[str, Field(min_length=1, max_length=40)]
    value: TrimmedId


class WirePatron(TypedDict):
    """The patron of a fine, as the library system knew them when it sent the record."""

    patron_id: Id
    name: str
    user_group: TrimmedId
    identifiers: Annotated[tuple[WireIdentifier, ...], Field(max_length=50)]


class WireOwner(TypedDict):
    """The library of the institution that owns a fine."""

    library_id: LibraryId
    library_code: Id
    library_name: str


class WireItem(TypedDict):
    """The item, such as a book, for which a fine is charged."""

    title: str
    call_number: NotRequired[str | None]
    library: NotRequired[str | None]
    location: NotRequired[str | None]
    internal_location: NotRequired[str | None]
    due_date: NotRequired[Instant | None]
    barcode: NotRequired[str | None]


def _patron(institution_id: str, patron: WirePatron, seen_at: datetime, reading: Reading) -> Patron:
    """The patron at the time `seen_at`. Raises Fault.

    Two spellings of an identifier that differ only in white space at its ends are one.
    """
    pairs = [_identifier(index, each) for index, each in enumerate(patron["identifiers"])]
    return Patron(
        institution_id,
        reading.identifier("patron.patron_id", patron["patron_id"]),
        reading.text("patron.name", patron["name"], NAME_CHARACTERS_MAX),
        _trimmed("patron.user_group", patron["user_group"]),
        tuple(dict.fromkeys(pairs)),
        seen_at,
    )


def _identifier(index: int, identifier: WireIdentifier) -> tuple[str, str]:
    """The type and the value; `index` is the identifier's place in the record. Raises Fault."""
    kind, value = identifier["type"], identifier["value"]
    if is_plain(kind) and is_plain(value):
        return kind, value
    field = f"patron.identifiers.{index}"
    return code(f"{field}.type", kind), _trimmed(f"{field}.value", value)


def _trimmed(field: str, value: str) -> str:
    return identifier_value(field, value, TRIMMED_ID_CHARACTERS_MAX)


def _owner(owner: WireOwner, reading: Reading) -> tuple[str, str, str]:
    """The fields of the core's Owner. Raises Fault."""
    return (
        owner["library_id"],
        reading.identifier("owner.library_code", owner["library_code"]),
        reading.text("owner.library_name", owner["library_name"], NAME_CHARACTERS_MAX),
    )


def _item(
    item: WireItem, reading: Reading
) -> tuple[str, str | None, str | None, str | None, str | None, datetime | None, str | None]:
    """The fields of the core's Item."""
    text_or_none, short = reading.text_or_none, NAME_CHARACTERS_MAX
    return (
        reading.text("item.title", item["title"], TITLE_CHARACTERS_MAX),
        text_or_none("item.call_number", item.get("call_number"), short),
        text_or_none("item.library", item.get("library"), short),
        text_or_none("item.location", item.get("location"), short),
        text_or_none("item.internal_location", item.get("internal_location"), short),
        item.get("due_date"),
        text_or_none("item.barcode", item.get("barcode"), short),
    )


class WireFineCreated(Wire):
    """A record of fine-created.v1: a fine or a credit, with the patron's data of that time."""

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
        """Returns the fine, with the patron's data as of `time`. Raises Fault.

        The digest does not cover the patron's name, user group and identifiers, so a record in
        which only these differ is a repeat.
        """
        if self.fine_id.startswith(EXCESS_PREFIX):
            raise_schema("fine_id", f"must not start with the reserved {EXCESS_PREFIX}")
        rule = below_zero if self.type == CREDIT_TYPE else above_zero
        amount = money(self.amount, self.currency, rule)
        # Only here does the day count: a change or a payment may be of an older fine. A fine is of
        # the day on which it was created, whenever its record comes.
        if not is_in_use(self.currency, self.created_at.date()):
            raise unknown_currency(self.currency)
        patron = _patron(self.institution_id, self.patron, time, reading)
        facts = self._facts(patron.patron_id, amount, reading)
        earlier = None
        if reading.differs:
            earlier = reading.earlier_digest(
                facts.digest, lambda it: self._facts(patron.patron_id, amount, it).digest
            )
        return FineCreated(facts, patron, origin, earlier, reading.cuts)

    def _facts(self, patron_id: str, amount: int, reading: Reading) -> FineFacts:
        identifier_or_none = reading.identifier_or_none
        owner = None if self.owner is None else _owner(self.owner, reading)
        item = None if self.item is None else _item(self.item, reading)
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
    """A record of fine-changed.v1: a fine was paid, waived, adjusted, cancelled, disputed or
    restored.
    """

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
        """Returns the change of the fine that the record reports. Raises Fault."""
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
