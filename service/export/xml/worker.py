"""The program of a process that prints and proves batches for an exporter (printer.py).

It gets a connection as its first argument, reads pickled batches from it until the exporter closes
it or ends, and answers each with the document and its totals, or with None if that failed: then
the exporter prints the batch itself and gets the error.
"""

import contextlib
import copyreg
import pickle
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from multiprocessing.connection import Connection
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from ...core.ledger import Item, Owner
from ..batch import Batch, BatchLine, BatchPatron, CreditRef, Totals
from .proof import bursar_export_schema, prove
from .write import render

Printed: TypeAlias = tuple[bytes, Totals]
Answer: TypeAlias = "Printed | bytes | None"
if TYPE_CHECKING:
    Exporter: TypeAlias = Connection[Answer, bytes]
else:
    Exporter = Connection

READY: Final = b"ready"


def print_proved(batch: Batch) -> Printed:
    """Prints the document of a batch and proves it; returns its bytes and their totals. Pure.

    Raises UnreadableDocument or NotReadBack if the bytes do not say the same as the batch.
    """
    document = render(batch)
    return document, prove(batch, document)


def packed(batch: Batch) -> bytes:
    """Returns a batch as the bytes that `serve` reads."""
    return pickle.dumps(batch, pickle.HIGHEST_PROTOCOL)


def serve(exporter: Exporter) -> None:
    """Answers batches until the other end is closed."""
    bursar_export_schema()
    exporter.send(READY)
    with contextlib.suppress(EOFError, OSError):
        while True:
            exporter.send(_answer(pickle.loads(exporter.recv_bytes())))


def _answer(batch: Batch) -> Printed | None:
    with contextlib.suppress(Exception):  # the exporter meets the same error, and reports it
        return print_proved(batch)
    return None


def _pack_by_fields(kind: type) -> Callable[[object], tuple[type, tuple[object, ...]]]:
    """How a value of a dataclass is packed: as the call that makes it again.

    What dataclasses do themselves takes several times as long.
    """
    values = attrgetter(*(field.name for field in fields(kind)))
    return lambda value: (kind, values(value))


for _kind in (Batch, BatchPatron, BatchLine, CreditRef, Item, Owner):
    copyreg.pickle(_kind, _pack_by_fields(_kind))

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the exporter
    serve(Connection(int(sys.argv[1])))
