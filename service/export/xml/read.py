"""Reads bursar XML: the service's own files before the seal, and files that the bursar sends back.

Elements may have any namespace prefix, and unknown elements are ignored. Streams are read in
pieces; apart from reading them, the functions are pure.
"""

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count
from typing import IO, Final

from lxml import etree

from ...core.frozen import dataclass
from ...core.money import InvalidAmount, InvalidCurrency, decimals, parse_minor
from ...core.words import Reason
from ...messages.values import bursar_id
from ..batch import INSTITUTION, Totals, fault_of_id, sum_up
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
# The texts of a fine and of its owner: the name of each, and its element. Those of
# _REQUIRED have to be there.
FINE_ELEMENTS: Final = {
    "comment": "fineFeeComment",
    "type": "fineFeeType",
    "last_transaction": "lastTransactionDate",
    "item_title": "itemTitle",
    "item_call_number": "itemCallNumebr",  # sic
    "item_library": "itemLibrary",
    "item_location": "itemLocation",
    "item_internal_location": "itemInternalLocation",
    "item_due_date": "itemDueDate",
    "item_barcode": "itemBarcode",
}
OWNER_ELEMENTS: Final = {
    "institution_id": "InstitutionId",
    "library_id": "libraryId",
    "library_code": "libraryCode",
}
_REQUIRED = frozenset(("fineFeeType", "lastTransactionDate", "itemTitle", "InstitutionId"))


@dataclass(frozen=True, slots=True)
class PaidLine:
    """What the bursar has paid on one fine: the n-th `userFineFee` of the file, counted from 1.

    `bursar_transaction_id` has no leading zeros. `amount` is in signed minor units and never 0.
    """

    n: int
    bursar_transaction_id: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A `userFineFee` that cannot be used; the service keeps its bytes as a rejected record."""

    n: int
    reason: Reason
    detail: str
    value: bytes


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file that the bursar has sent back, with the fines that it contains.

    `institutions` are the ids in the file's elements InstitutionId, if it has any.
    """

    sha256: str
    lines: tuple[PaidLine, ...]
    bad: tuple[BadLine, ...]
    institutions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ReadLine:
    """Everything that the XML format prints of one fine.

    `texts` has the printed texts of the fine's elements, by the names in OWNER_ELEMENTS and
    FINE_ELEMENTS. The text of an element that is nil or absent is None.
    """

    paid: PaidLine
    texts: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class ReadPatron:
    """A patron and their fines, as far as an XML document has them."""

    match_type: str
    match_value: str
    institution_id: str
    name: str
    lines: tuple[ReadLine, ...]


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """A batch as far as an XML document has it; the ledger knows more of it."""

    export_number: str
    patrons: tuple[ReadPatron, ...]


def read_import(source: bytes | IO[bytes], bytes_max: int = BYTES_MAX) -> ImportFile:
    """Reads a file that the bursar has sent back, of at most `bytes_max` bytes.

    A fine of the file that cannot be used becomes a BadLine. Raises UnreadableDocument.
    """
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
        n = next(numbers)
        if next(element.iterancestors(FINE), None) is not None:
            continue  # a fine within an unknown element of another fine is ignored
        institutions.update(_institutions(element))
        line = _paid_line(n, element, _Fields(element))
        if isinstance(line, PaidLine):
            lines.append(line)
        else:
            bad.append(line)
    _check_currencies(lines)
    return ImportFile(digest.hexdigest(), tuple(lines), tuple(bad), frozenset(institutions))


def read(source: bytes | IO[bytes], bytes_max: int = BYTES_MAX) -> ReadBatch:
    """Reads back what `render` prints. Raises UnreadableDocument, even for a single bad fine."""
    numbers: list[str] = []
    patrons: list[ReadPatron] = []
    lines: list[ReadLine] = []
    fines = count(1)
    try:
        for element in elements(source, bytes_max):
            if element.tag == FINE:
                lines.append(_read_line(next(fines), element))
            elif element.tag == PATRON:
                patrons.append(_read_patron(element, tuple(lines)))
                lines.clear()
            else:
                numbers.append(element.text or "")
        if len(numbers) != 1 or lines:
            raise _Missing("exportNumber, userExportedFineFeesList: must be there")
    except _Missing as error:
        raise UnreadableDocument(Fault.BAD_LINE, str(error)) from None
    return ReadBatch(numbers[0], tuple(patrons))


def totals_of_read(batch: ReadBatch) -> Totals:
    """Computes the control totals of a batch that was read."""
    lines = (line for patron in batch.patrons for line in patron.lines)
    entries = (
        (line.texts["type"] or "", line.texts["library_code"] or INSTITUTION, line.paid.amount)
        for line in lines
    )
    return sum_up(entries, patrons=len(batch.patrons))


def _institutions(element: etree._Element | None) -> Iterator[str]:
    """The ids of the owners; they only serve to recognise a file of another institution."""
    if element is not None:
        for owner in element.iterfind(f"{tag('owneredEntity')}/{tag('InstitutionId')}"):
            text = (owner.text or "").strip(_BLANKS)
            if text not in ("", NO_INSTITUTION):
                yield text


def _check_currencies(lines: list[PaidLine]) -> None:
    currencies: dict[str, str] = {}
    for line in lines:
        if currencies.setdefault(line.bursar_transaction_id, line.currency) != line.currency:
            raise UnreadableDocument(Fault.TWO_CURRENCIES, f"userFineFee {line.n}")


def _paid_line(n: int, fine: etree._Element, fields: "_Fields") -> PaidLine | BadLine:
    """What an import needs of a fine: the bursar's id and the sum."""
    try:
        composite = _Fields(fields.only("compositeSum"))
        digits = fields.value("bursarTransactionId")
        currency = composite.value("currency")
        amount = minor_units(composite.value("sum"), currency)
        if (fault := fault_of_id(digits)) is not None:
            raise _Missing(f"bursarTransactionId: {fault}")
        return PaidLine(n, bursar_id(digits), amount, sys.intern(currency))
    except _Missing as error:
        reason, detail = Reason.INVALID_SCHEMA, str(error)
    except InvalidCurrency as error:
        reason, detail = Reason.INVALID_CURRENCY, f"currency: {error}"
    except InvalidAmount as error:
        reason, detail = Reason.INVALID_AMOUNT, f"sum: {error}"
    return BadLine(n, reason, detail, etree.tostring(fine, encoding="UTF-8", with_tail=False))


def minor_units(text: str, currency: str) -> int:
    """Returns the amount of a printed sum in minor units, never 0. Raises InvalidAmount or
    InvalidCurrency.

    Trailing zeros may exceed the decimals of the currency.
    """
    decimals(currency)
    if not _SUM.fullmatch(text):
        raise InvalidAmount("must be plain digits with an optional fraction")
    amount = parse_minor(text.rstrip("0").rstrip(".") if "." in text else text, currency)
    if amount == 0:
        raise InvalidAmount("must not be zero")
    return amount


def _read_line(n: int, fine: etree._Element) -> ReadLine:
    fields = _Fields(fine)
    paid = _paid_line(n, fine, fields)
    if isinstance(paid, BadLine):
        raise UnreadableDocument(Fault.BAD_LINE, f"userFineFee {n}, {paid.detail}")
    owner = _Fields(fields.only("owneredEntity"))
    return ReadLine(paid, {**owner.texts(OWNER_ELEMENTS), **fields.texts(FINE_ELEMENTS)})


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
    """An element that must be there exactly once, with a value, is missing."""


class _Fields:
    """The children of an element, by name."""

    def __init__(self, element: etree._Element) -> None:
        self._by_tag = {child.tag: child for child in element}
        # Elements almost never repeat: their names are only collected if some do.
        self._repeated = _repeated(element) if len(self._by_tag) < len(element) else frozenset()

    def only(self, name: str) -> etree._Element:
        element = self._by_tag.get(expected := tag(name))
        if element is None or expected in self._repeated:
            raise _Missing(f"{name}: must be there exactly once")
        return element

    def value(self, name: str) -> str:
        """The trimmed text of an element, which holds no other element: that would end the text."""
        element = self.only(name)
        if len(element):
            raise _Missing(f"{name}: must hold nothing but text")
        return (element.text or "").strip(_BLANKS)

    def required(self, name: str) -> str:
        return self.only(name).text or ""

    def texts(self, elements: Mapping[str, str]) -> dict[str, str | None]:
        """The texts of these elements, by their names."""
        return {name: self._text(element) for name, element in elements.items()}

    def _text(self, name: str) -> str | None:
        """The text; None if the element is absent or nil (then it is empty), and not required."""
        child = self._by_tag.get(tag(name))
        if child is None or self._repeated:
            if child is None and name not in _REQUIRED:
                return None
            child = self.only(name)
        is_nil = child.text is None and name not in _REQUIRED and child.get(_NIL) == "true"
        return None if is_nil else child.text or ""


def _repeated(element: etree._Element) -> frozenset[str]:
    return frozenset(name for name, n in Counter(c.tag for c in element).items() if n > 1)
