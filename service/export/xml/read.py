"""Reading bursar XML: our own files before they are sealed, and what the bursar sends back.

Works on any namespace prefix and on pieces of a file; unknown elements are ignored. Pure but for
reading the stream it is given.
"""

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import IO, Final

from lxml import etree

from ...core.money import InvalidAmount, InvalidCurrency, decimals, parse_minor
from ...core.words import Reason
from ..batch import OWN, Totals, is_bursar_id, sum_up
from .stream import (
    BYTES_MAX,
    FINE,
    PATRON,
    Fault,
    UnreadableDocument,
    elements,
)
from .write import NIL_NAMESPACE, NO_INSTITUTION, tag

_BLANKS: Final = " \t\r\n"
_SUM = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


_NIL = f"{{{NIL_NAMESPACE}}}nil"


@dataclass(frozen=True, slots=True)
class PaidLine:
    """What a bursar says of the n-th `userFineFee`: signed minor units, never 0."""

    n: int
    bursar_transaction_id: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A `userFineFee` that says nothing usable: to be recorded as rejected, with its bytes."""

    n: int
    reason: Reason
    detail: str
    value: bytes


@dataclass(frozen=True, slots=True)
class ImportFile:
    """`institutions`: what the InstitutionId of fines and patrons say, where there are any."""

    sha256: str
    lines: tuple[PaidLine, ...]
    bad: tuple[BadLine, ...]
    institutions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ReadLine:
    """Everything the format prints of a fine; times as printed, None where nil or absent."""

    paid: PaidLine
    comment: str | None
    type: str
    institution_id: str
    library_id: str | None
    library_code: str | None
    last_transaction: str
    item_title: str
    item_call_number: str | None
    item_library: str | None
    item_location: str | None
    item_internal_location: str | None
    item_due_date: str | None
    item_barcode: str | None


@dataclass(frozen=True, slots=True)
class ReadPatron:
    match_type: str
    match_value: str
    institution_id: str
    name: str
    lines: tuple[ReadLine, ...]


@dataclass(frozen=True, slots=True)
class ReadBatch:
    export_number: str
    patrons: tuple[ReadPatron, ...]


def read_import(source: bytes | IO[bytes], bytes_max: int = BYTES_MAX) -> ImportFile:
    """A file the bursar sent back. Raises UnreadableDocument; a fine without sense is a BadLine."""
    lines: list[PaidLine] = []
    bad: list[BadLine] = []
    institutions: set[str] = set()
    digest = hashlib.sha256()
    numbers = count(1)
    for element in elements(source, bytes_max, digest.update):
        if element.tag == PATRON:
            institutions.update(_institutions(element.find(tag("user"))))
        if element.tag != FINE:
            continue
        n, fine = next(numbers), element
        if next(fine.iterancestors(FINE), None) is not None:
            continue  # what an unknown element of a fine holds is ignored, too
        institutions.update(_institutions(fine))
        match _paid_line(n, fine):
            case PaidLine() as line:
                lines.append(line)
            case BadLine() as line:
                bad.append(line)
    _check_currencies(lines)
    return ImportFile(digest.hexdigest(), tuple(lines), tuple(bad), frozenset(institutions))


def read(source: bytes | IO[bytes], bytes_max: int = BYTES_MAX) -> ReadBatch:
    """Everything a document of ours prints. Raises UnreadableDocument, for a bad line, too."""
    try:
        return _read(elements(source, bytes_max))
    except _Missing as error:
        raise UnreadableDocument(Fault.BAD_LINE, str(error)) from None


def _read(found: Iterator[etree._Element]) -> ReadBatch:
    numbers: list[str] = []
    patrons: list[ReadPatron] = []
    lines: list[ReadLine] = []
    fines = count(1)
    for element in found:
        if element.tag == FINE:
            lines.append(_read_line(next(fines), element))
        elif element.tag == PATRON:
            patrons.append(_read_patron(element, tuple(lines)))
            lines.clear()
        else:
            numbers.append(element.text or "")
    if len(numbers) != 1 or lines:
        raise _Missing("exportNumber, userExportedFineFeesList: must be there")
    return ReadBatch(numbers[0], tuple(patrons))


def totals_of_read(batch: ReadBatch) -> Totals:
    """Control totals of what was read, as far as the bytes tell."""
    lines = (line for patron in batch.patrons for line in patron.lines)
    entries = ((line.type, line.library_code or OWN, line.paid.amount) for line in lines)
    return sum_up(entries, patrons=len(batch.patrons))


def _institutions(element: etree._Element | None) -> Iterator[str]:
    """Of its owner, or owners; they count for nothing but to tell a file of somebody else."""
    if element is None:
        return
    for owner in element.findall(tag("owneredEntity")):
        for named in owner.findall(tag("InstitutionId")):
            text = (named.text or "").strip(_BLANKS)
            if text not in ("", NO_INSTITUTION):
                yield text


def _check_currencies(lines: list[PaidLine]) -> None:
    currencies: dict[str, str] = {}
    for line in lines:
        if currencies.setdefault(line.bursar_transaction_id, line.currency) != line.currency:
            raise UnreadableDocument(Fault.TWO_CURRENCIES, f"userFineFee {line.n}")


def _paid_line(n: int, fine: etree._Element) -> PaidLine | BadLine:
    """Only the bursar's id and the sum count in an import."""
    return _paid_of(n, fine, _Fields(fine))


def _paid_of(n: int, fine: etree._Element, fields: "_Fields") -> PaidLine | BadLine:
    try:
        composite = _Fields(fields.only("compositeSum"))
        line_id = fields.value("bursarTransactionId")
        currency = composite.value("currency")
        amount = _amount(composite.value("sum"), currency)
    except _Missing as error:
        return BadLine(n, Reason.INVALID_SCHEMA, str(error), _bytes_of(fine))
    except InvalidCurrency as error:
        return BadLine(n, Reason.INVALID_CURRENCY, f"currency: {error}", _bytes_of(fine))
    except InvalidAmount as error:
        return BadLine(n, Reason.INVALID_AMOUNT, f"sum: {error}", _bytes_of(fine))
    if not is_bursar_id(line_id):
        rule = "bursarTransactionId: must be digits without leading 0"
        return BadLine(n, Reason.INVALID_SCHEMA, rule, _bytes_of(fine))
    return PaidLine(n, line_id, amount, sys.intern(currency))


def _amount(text: str, currency: str) -> int:
    """Minor units, never 0; trailing zeros are fine, beyond the currency's decimals, too."""
    decimals(currency)
    if not _SUM.fullmatch(text):
        raise InvalidAmount("must be plain digits with an optional fraction")
    amount = parse_minor(text.rstrip("0").rstrip(".") if "." in text else text, currency)
    if amount == 0:
        raise InvalidAmount("must not be zero")
    return amount


def _bytes_of(element: etree._Element) -> bytes:
    return etree.tostring(element, encoding="UTF-8", with_tail=False)


def _read_line(n: int, fine: etree._Element) -> ReadLine:
    fields = _Fields(fine)
    paid = _paid_of(n, fine, fields)
    if isinstance(paid, BadLine):
        raise UnreadableDocument(Fault.BAD_LINE, f"userFineFee {n}, {paid.detail}")
    owner = _Fields(fields.only("owneredEntity"))
    return ReadLine(
        paid=paid,
        comment=fields.optional("fineFeeComment"),
        type=fields.required("fineFeeType"),
        institution_id=owner.required("InstitutionId"),
        library_id=owner.optional("libraryId"),
        library_code=owner.optional("libraryCode"),
        last_transaction=fields.required("lastTransactionDate"),
        item_title=fields.required("itemTitle"),
        item_call_number=fields.optional("itemCallNumebr"),
        item_library=fields.optional("itemLibrary"),
        item_location=fields.optional("itemLocation"),
        item_internal_location=fields.optional("itemInternalLocation"),
        item_due_date=fields.optional("itemDueDate"),
        item_barcode=fields.optional("itemBarcode"),
    )


def _read_patron(patron: etree._Element, lines: tuple[ReadLine, ...]) -> ReadPatron:
    fields = _Fields(patron)
    user = _Fields(fields.only("user"))
    return ReadPatron(
        match_type=user.required("type"),
        match_value=user.required("value"),
        institution_id=_Fields(user.only("owneredEntity")).required("InstitutionId"),
        name=fields.required("patronName"),
        lines=lines,
    )


class _Missing(ValueError):
    """An element that must be there exactly once, with a value, is not."""


class _Fields:
    """The children of an element by name: one pass, then look-ups."""

    def __init__(self, element: etree._Element) -> None:
        self._by_tag = {child.tag: child for child in element}
        # Almost never: what repeats is named only then.
        self._repeated = _repeated(element) if len(self._by_tag) < len(element) else frozenset()

    def only(self, name: str) -> etree._Element:
        found = self._by_tag.get(wanted := tag(name))
        if found is None or wanted in self._repeated:
            raise _Missing(f"{name}: must be there exactly once")
        return found

    def value(self, name: str) -> str:
        """The trimmed text of an element that counts: an element in it would cut it short."""
        found = self.only(name)
        if len(found):
            raise _Missing(f"{name}: must hold nothing but text")
        return (found.text or "").strip(_BLANKS)

    def required(self, name: str) -> str:
        return self.only(name).text or ""

    def optional(self, name: str) -> str | None:
        """The text; None where the element is absent or nil."""
        if tag(name) not in self._by_tag:
            return None
        found = self.only(name)
        return None if found.get(_NIL) == "true" else found.text or ""


def _repeated(element: etree._Element) -> frozenset[str]:
    return frozenset(name for name, n in Counter(c.tag for c in element).items() if n > 1)
