"""Reads XML of unknown origin in pieces, and empties each element after it was read, to save
memory.

A document with a document type declaration, with undeclared entities or with too many bytes is
refused. The parser fetches nothing from the network and refuses trees of unusual depth.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from io import BytesIO
from typing import IO, Final, Protocol, cast

from lxml import etree

from .write import tag

BYTES_MAX: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024


ROOT: Final = tag("xml-fragment")
NUMBER: Final = tag("exportNumber")
PATRON: Final = tag("userExportedFineFeesList")
FINE: Final = tag("userFineFee")


class Fault(StrEnum):
    """The reasons why a document is refused as a whole."""

    EMPTY = "it is empty"
    TOO_LARGE = "larger than the limit"
    DOCTYPE = "has a document type declaration"
    NOT_WELL_FORMED = "not well formed"
    OTHER_ROOT = "the root is not xml-fragment of the bursar namespace"
    TWO_CURRENCIES = "two currencies for one bursarTransactionId"
    BAD_LINE = "a fine cannot be read"
    NOT_VALID = "not valid against the schema"


class UnreadableDocument(ValueError):
    """A document that is refused as a whole. The text has the rule and the place, never a value."""

    def __init__(self, fault: Fault, place: str = "") -> None:
        super().__init__(f"{fault.value}{place and f' ({place})'}")
        self.fault = fault


class LogEntry(Protocol):
    """One error: its place in the document and its rule."""

    line: int
    column: int
    path: str | None
    type_name: str


class ErrorLog(Protocol):
    """The errors of a document, in the order in which they were found."""

    @property
    def last_error(self) -> LogEntry | None:
        """The latest error, if there is any."""

    def __getitem__(self, index: int, /) -> LogEntry: ...


def elements(
    source: bytes | IO[bytes],
    bytes_max: int,
    on_chunk: Callable[[bytes], None] = lambda _: None,
) -> Iterator[etree._Element]:
    """Yields each element of a fine, a patron or an export number as soon as its end tag was read.

    An element is emptied as soon as the caller asks for the next one. `on_chunk` is called with
    each piece of bytes that was read, for a hash of the file. Raises UnreadableDocument.
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
    check_document(root)
    yield from _complete(parser)


def _complete(parser: etree.XMLPullParser) -> Iterator[etree._Element]:
    for _, element in parser.read_events():
        if isinstance(element, etree._Element):
            check_document(element)
            yield element
            element.clear()


def check_document(element: etree._Element) -> None:
    """Raises UnreadableDocument if the document of an element has a document type declaration or
    another root than a bursar document.
    """
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


def error_log_of(source: etree.LxmlError | etree.XMLSchema) -> ErrorLog:
    """Returns what the parser or a schema has found; lxml-stubs leave out what is in it."""
    return cast(ErrorLog, source.error_log)


def not_well_formed(error: etree.XMLSyntaxError) -> UnreadableDocument:
    """Turns a syntax error of the parser into an UnreadableDocument that names the place in the
    document.
    """
    # The message of the parser itself may quote the document.
    if error.lineno:
        return UnreadableDocument(
            Fault.NOT_WELL_FORMED, f"line {error.lineno}, column {error.offset}"
        )
    # Only the log knows the place of an entity that is not declared, such as `&nbsp;`.
    logged = error_log_of(error).last_error
    place = f"line {logged.line}, column {logged.column}" if logged and logged.line else ""
    return UnreadableDocument(Fault.NOT_WELL_FORMED, place)
