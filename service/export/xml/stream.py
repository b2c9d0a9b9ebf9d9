"""Reads XML from outside in pieces, and forgets each element once it was read.

A document with a document type or undeclared entities, or with too many bytes, is not read. The
parser's own defaults forbid access to the network and trees of unusual depth.
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
    """The reason why a document is not read at all."""

    EMPTY = "it is empty"
    TOO_LARGE = "larger than the limit"
    DOCTYPE = "has a document type declaration"
    NOT_WELL_FORMED = "not well formed"
    OTHER_ROOT = "the root is not xml-fragment of the bursar namespace"
    TWO_CURRENCIES = "two currencies for one bursarTransactionId"
    BAD_LINE = "a fine cannot be read"
    NOT_VALID = "not valid against the schema"


class UnreadableDocument(ValueError):
    """A document of which nothing is read. The text names the rule and the place, never a value."""

    def __init__(self, fault: Fault, place: str = "") -> None:
        super().__init__(f"{fault.value}{place and f' ({place})'}")
        self.fault = fault


def elements(
    source: bytes | IO[bytes],
    bytes_max: int,
    on_chunk: Callable[[bytes], None] = lambda _: None,
) -> Iterator[etree._Element]:
    """Yields each fine, patron and export number once it is complete, in the order of their ends.

    An element is emptied when the next one is asked for. `on_chunk` is called with all bytes that
    are read. Raises UnreadableDocument.
    """
    # Nothing is fetched or expanded, and depth and texts are bounded. Three of the four options are
    # the library's defaults; they are written down because the safety of the import rests on them.
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
    # The log belongs to the thread; what it has from now on belongs to this document.
    etree.clear_error_log()
    try:
        for chunk in _chunks(source, bytes_max):
            on_chunk(chunk)
            parser.feed(chunk)
            yield from _complete(parser)
        root = parser.close()
    except etree.XMLSyntaxError as error:
        raise not_well_formed(error) from None
    _check_document(root)
    yield from _complete(parser)


def _complete(parser: etree.XMLPullParser) -> Iterator[etree._Element]:
    for _, element in parser.read_events():
        if isinstance(element, etree._Element):
            _check_document(element)
            yield element
            element.clear()


def _check_document(element: etree._Element) -> None:
    document = element.getroottree()
    if document.docinfo.internalDTD is not None:
        raise UnreadableDocument(Fault.DOCTYPE)
    if document.getroot().tag != ROOT:
        raise UnreadableDocument(Fault.OTHER_ROOT)


def _chunks(source: bytes | IO[bytes], bytes_max: int) -> Iterator[bytes]:
    stream = BytesIO(source) if isinstance(source, bytes) else source
    size_bytes = 0
    while chunk := stream.read(_CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > bytes_max:
            raise UnreadableDocument(Fault.TOO_LARGE, f"at most {bytes_max} bytes")
        yield chunk
    if size_bytes == 0:
        raise UnreadableDocument(Fault.EMPTY)


def not_well_formed(error: etree.XMLSyntaxError) -> UnreadableDocument:
    """The error to raise for a syntax error; it names the place in the document."""
    # The message of the parser itself may quote the document.
    if error.lineno:
        return UnreadableDocument(
            Fault.NOT_WELL_FORMED, f"line {error.lineno}, column {error.offset}"
        )
    # Only the log knows the place of an entity that is not declared, such as `&nbsp;`.
    logged = error.error_log.last_error  # type: ignore[attr-defined]  # lxml-stubs leave it out
    place = f"line {logged.line}, column {logged.column}" if logged and logged.line else ""
    return UnreadableDocument(Fault.NOT_WELL_FORMED, place)
