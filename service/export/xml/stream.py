"""XML from outside, piece by piece: refused early, forgotten as soon as it was read.

No entities, no document type, no network, no huge trees, a limit on bytes.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from io import BytesIO
from typing import IO, Final

from lxml import etree

from .write import tag

BYTES_MAX: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024


ROOT: Final = tag("xml-fragment")
NUMBER: Final = tag("exportNumber")
PATRON: Final = tag("userExportedFineFeesList")
FINE: Final = tag("userFineFee")


class Fault(StrEnum):
    """Why a document is refused as a whole."""

    EMPTY = "it is empty"
    TOO_LARGE = "larger than the limit"
    DOCTYPE = "has a document type declaration"
    NOT_WELL_FORMED = "not well formed"
    OTHER_ROOT = "the root is not xml-fragment of the bursar namespace"
    TWO_CURRENCIES = "two currencies for one bursarTransactionId"
    BAD_LINE = "a fine cannot be read"
    NOT_VALID = "not valid against the schema"


class RefusedDocument(ValueError):
    """A document of which nothing is taken. The text names rule and place, never a value."""

    def __init__(self, fault: Fault, place: str = "") -> None:
        super().__init__(f"{fault.value}{place and f' ({place})'}")
        self.fault = fault


def validate(data: bytes, schema: etree.XMLSchema) -> None:
    """Raise RefusedDocument, with the path of the element and the rule, unless `data` is valid."""
    try:
        document = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise _not_well_formed(error) from None
    if not schema.validate(document):
        first = schema.error_log[0]  # type: ignore[index]  # lxml-stubs leave it out
        raise RefusedDocument(Fault.NOT_VALID, f"{first.path}: {first.type_name}")


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def elements(
    source: bytes | IO[bytes],
    bytes_max: int,
    saw: Callable[[bytes], None] = lambda _: None,
) -> Iterator[etree._Element]:
    """Each complete fine, patron and export number in document order; then it is forgotten."""
    parser = etree.XMLPullParser(
        events=("end",),
        tag=(FINE, PATRON, NUMBER),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    etree.clear_error_log()  # the thread's: what it holds afterwards is of this document
    try:
        for chunk in _chunks(source, bytes_max):
            saw(chunk)
            parser.feed(chunk)
            yield from _complete(parser)
        root = parser.close()
    except etree.XMLSyntaxError as error:
        raise _not_well_formed(error) from None
    _refuse_foreign(root)
    yield from _complete(parser)


def _complete(parser: etree.XMLPullParser) -> Iterator[etree._Element]:
    for _, element in parser.read_events():
        if isinstance(element, etree._Element):
            _refuse_foreign(element)
            yield element
            if element.tag != NUMBER:
                element.clear()


def _refuse_foreign(element: etree._Element) -> None:
    document = element.getroottree()
    if document.docinfo.internalDTD is not None:
        raise RefusedDocument(Fault.DOCTYPE)
    if document.getroot().tag != ROOT:
        raise RefusedDocument(Fault.OTHER_ROOT)


def _chunks(source: bytes | IO[bytes], bytes_max: int) -> Iterator[bytes]:
    stream = BytesIO(source) if isinstance(source, bytes) else source
    size_bytes = 0
    while chunk := stream.read(_CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > bytes_max:
            raise RefusedDocument(Fault.TOO_LARGE, f"at most {bytes_max} bytes")
        yield chunk
    if size_bytes == 0:
        raise RefusedDocument(Fault.EMPTY)


def _not_well_formed(error: etree.XMLSyntaxError) -> RefusedDocument:
    # The parser's own message may quote the document.
    if error.lineno:
        return RefusedDocument(Fault.NOT_WELL_FORMED, f"line {error.lineno}, column {error.offset}")
    # Of an entity that is not declared (`&nbsp;`) only the log knows the place.
    logged = error.error_log.last_error  # type: ignore[attr-defined]  # lxml-stubs leave it out
    place = f"line {logged.line}, column {logged.column}" if logged and logged.line else ""
    return RefusedDocument(Fault.NOT_WELL_FORMED, place)
