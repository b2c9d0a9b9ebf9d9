"""Proves a document before its batch is sealed: validates it, reads it back, compares and totals
it. Pure.
"""

from functools import cache
from importlib.resources import files

from lxml import etree

from ..batch import Batch, Totals
from .stream import (
    Fault,
    UnreadableDocument,
    check_document,
    error_log_of,
    not_well_formed,
)
from .transcript import transcript, transcript_of_batch
from .write import render


class NotReadBack(ValueError):
    """The bytes do not say what the batch should print; this is a bug, and the batch must not be
    sealed.
    """


SCHEMA_NAME = "bursar-export.v1.xsd"


def print_proved(batch: Batch) -> tuple[bytes, Totals]:
    """Prints the document of a batch and proves it; returns its bytes and their totals.

    Raises UnreadableDocument or NotReadBack if the bytes do not say the same as the batch.
    """
    document = render(batch)
    return document, prove(batch, document)


def prove(batch: Batch, document: bytes) -> Totals:
    """Returns the totals of a document, once it was validated, read back and found equal to its
    batch.

    Raises UnreadableDocument, InvalidBatch or NotReadBack.
    """
    root = validate(document)
    check_document(root)
    expected, totals = transcript_of_batch(batch)
    if transcript(root) != expected:
        raise NotReadBack("the document read back differs from the batch")
    return totals


def validate(document: bytes) -> etree._Element:
    """Returns the root element of a document that is valid by the published schema.

    Raises UnreadableDocument if the document is invalid; the error names the element's path and the
    rule.
    """
    try:
        root = etree.fromstring(
            document, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        )
    except etree.XMLSyntaxError as error:
        raise not_well_formed(error) from None
    schema = bursar_export_schema()
    if not schema.validate(root):
        first = error_log_of(schema)[0]
        raise UnreadableDocument(Fault.NOT_VALID, f"{first.path}: {first.type_name}")
    return root


@cache
def bursar_export_schema() -> etree.XMLSchema:
    """The released XSD, compiled. The schema imports no other schema, so compiling it fetches
    nothing from the network.

    The installed package has the schema's file in its own folder `contracts`. In a checkout of the
    repository, the schema's file is in `contracts/export/`, beside the package.
    """
    package = files(__package__.split(".")[0])
    installed = package / "contracts" / SCHEMA_NAME
    source = (
        installed if installed.is_file() else package / ".." / "contracts" / "export" / SCHEMA_NAME
    )
    return etree.XMLSchema(etree.fromstring(source.read_bytes()))
