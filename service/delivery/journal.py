"""The memory of a delivery on disk: one line of JSON per delivered batch, appended and synced.

A line is on disk before the batch's file gets its name. A crash can therefore tear only the last
line, whose batch has no file yet: that line is dropped, and written again with its batch.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ..export.batch_file import write_whole
from ..runtime.telemetry import Event, get_log
from .memory import DeliveredBatch
from .state import InvalidState

log = get_log(__name__)

HEADER: Final = b'{"format":1}\n'

_JSON: Final = TypeAdapter(DeliveredBatch)


class Journal:
    """The file beside the state file; the lock of the state protects it as well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0  # in bytes, up to the end of the last whole line

    def read(self) -> list[DeliveredBatch] | None:
        """The batches in the order in which they were added; None if there is no journal yet.

        Raises InvalidState.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise InvalidState(f"{self.path}: {problem.strerror}") from None
        if not data.startswith(HEADER):
            raise InvalidState(f"{self.path}: must begin with {HEADER.decode().strip()}")
        self._size = len(HEADER)
        batches = []
        rows = data.splitlines(keepends=True)
        for number, row in enumerate(rows[1:], 2):
            batch = _batch(row)
            if batch is not None:
                batches.append(batch)
                self._size += len(row)
            elif number == len(rows):
                log.warning(Event.DELIVERY_JOURNAL_TORN, line=number)
            else:
                raise InvalidState(f"{self.path}: line {number}: must be a delivered batch")
        return batches

    def begin(self, batches: Iterable[DeliveredBatch]) -> None:
        """Creates the file with these batches, whole or not at all. Raises OSError."""
        data = HEADER + _encoded(batches)
        write_whole(self.path, data)
        self._size = len(data)

    def append(self, batches: Iterable[DeliveredBatch]) -> None:
        """Adds batches, synced to disk. Raises OSError; the next call overwrites what is torn."""
        data = _encoded(batches)
        with self.path.open("r+b") as file:
            file.truncate(self._size)
            file.seek(self._size)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(data)


def _encoded(batches: Iterable[DeliveredBatch]) -> bytes:
    return b"".join(_JSON.dump_json(batch, exclude_none=True) + b"\n" for batch in batches)


def _batch(row: bytes) -> DeliveredBatch | None:
    if not row.endswith(b"\n"):
        return None
    try:
        return _JSON.validate_json(row)
    except ValidationError:
        return None
