"""The program of a process that prints and proves batches for an exporter (printer.py).

It gets a connection as its first argument and says over it which program it is. Then it reads
pickled batches until the exporter closes the connection or ends, and answers each with the document
and its totals, or with None if that failed: then the exporter prints the batch itself and gets the
error. It writes nothing else anywhere.
"""

import contextlib
import copyreg
import pickle
import sys
from collections.abc import Callable
from dataclasses import fields
from hashlib import sha256
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ...core.ledger import Item, Owner
from ..batch import Batch, BatchLine, BatchPatron, CreditRef
from .proof import Printed, bursar_export_schema, print_proved

Answer: TypeAlias = "Printed | bytes | None"
if TYPE_CHECKING:
    Exporter: TypeAlias = Connection[Answer, bytes]
else:
    Exporter = Connection


def program() -> bytes:
    """Returns a digest of the source files that define a batch, its packing and its document.

    A worker is started from the files that are on the disk then. If another release was installed
    since the exporter was started, it would read the values of the batch wrongly.
    """
    here = Path(__file__).parent
    folders = (here, here.parent, here.parents[1] / "core")
    digest = sha256()
    for file in sorted(file for folder in folders for file in folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


def packed(batch: Batch) -> bytes:
    """Returns a batch as the bytes that `serve` reads."""
    return pickle.dumps(batch, pickle.HIGHEST_PROTOCOL)


def serve(exporter: Exporter) -> None:
    """Answers batches until the other end is closed."""
    with contextlib.suppress(EOFError, OSError):
        bursar_export_schema()
        exporter.send(program())
        while True:
            exporter.send(_answer(exporter.recv_bytes()))


def _answer(request: bytes) -> Printed | None:
    with contextlib.suppress(Exception):  # the exporter meets the same error, and reports it
        batch: Batch = pickle.loads(request)
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
    with contextlib.suppress(OSError):  # where memory is short, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    serve(Connection(int(sys.argv[1])))
