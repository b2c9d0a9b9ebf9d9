"""The journal is a file that remembers every delivered batch: one line of JSON each, appended and
synced to disk.

A batch's line is on disk before the batch's file gets its final name. A crash can therefore damage
only the last line, whose batch has no named file yet; that line is dropped, and written again when
its batch is delivered.

Releases without a journal kept only the last batch of each profile in their state. After an update
from such a release, the earlier batches are found in the topic of manifests, where each manifest
names the SHA-256 of the batch before its own. If two manifests in the topic have the same batch
number, the hashes that lead back from the last delivered batch show which of the two was delivered.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ..export.batch_file import write_whole
from ..export.formats import Format
from ..runtime.telemetry import Event, get_log
from .feed import Feed
from .memory import DeliveredBatch, Memory, export_number_of
from .placing import describe_batch
from .records import InvalidBatchRecord, manifest_of
from .state import Chain, InvalidState
from .target import Target

log = get_log(__name__)

HEADER: Final = b'{"format":1}\n'

_JSON: Final = TypeAdapter(DeliveredBatch)


class Journal:
    """The journal's file, beside the state file; whoever has locked the state may write both."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0  # in bytes, up to the end of the last whole line

    def read(self) -> list[DeliveredBatch] | None:
        """Returns the batches in the order in which they were added; None if there is no journal
        file.

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
        """Creates the file with these batches; after a crash the file is complete or does not
        exist. Raises OSError.
        """
        data = HEADER + _encoded(batches)
        write_whole(self.path, data)
        self._size = len(data)

    def append(self, batches: Iterable[DeliveredBatch]) -> None:
        """Adds batches at the end of the file and syncs it to disk. Raises OSError; the next call
        then overwrites an incomplete line.
        """
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


# By key, batch number and SHA-256: the batch as its manifest describes it, and the hash of the one
# before, None for none.
PastBatches = Mapping[tuple[str, int, str], tuple[DeliveredBatch, str | None]]


async def remembered_batches(
    journal: Journal, feed: Feed, form: Format, chains: Mapping[str, Chain]
) -> Memory:
    """Returns all delivered batches, from the journal; batches of `chains` that the journal lacks
    are found in the topic of manifests and added to it.

    `form` is the format of this delivery's files. Raises InvalidState, OSError, KafkaError and
    Unavailable.
    """
    recorded = await asyncio.to_thread(journal.read)
    memory = Memory(recorded or ())
    lacking = {
        key: chain
        for key, chain in chains.items()
        if chain.latest.sha256 and memory.batch(key, chain.latest.batch_number) is None
    }
    past = await _past_batches(feed, form) if lacking else {}
    learned = []
    for key, chain in lacking.items():
        batches = list(_learned(key, chain, past, memory))
        learned += batches[::-1]
        known = {"first": batches[-1].batch_number, "last": batches[0].batch_number}
        log.warning(Event.DELIVERED_BATCHES_LEARNED, profile=key, **known)
    if recorded is None:
        await asyncio.to_thread(journal.begin, learned)
    elif learned:
        await asyncio.to_thread(journal.append, learned)
    for batch in learned:
        memory.add(batch)
    return memory


async def list_target(memory: Memory, target: Target) -> None:
    """Adds the names of the files on the target to the memory, unless the target refuses to list
    them.

    Raises TargetUnavailable and TargetUnusable.
    """
    names = await target.names()
    if names is None:
        log.info(Event.TARGET_NOT_LISTED, known=len(memory))
    else:
        memory.add_target_names(names)


def _learned(key: str, chain: Chain, past: PastBatches, memory: Memory) -> Iterator[DeliveredBatch]:
    """From the latest batch back to one that is known, or is not in the topic any more."""
    number, digest = chain.latest.batch_number, chain.latest.sha256
    while digest is not None and memory.batch(key, number) is None:
        unnamed = (_without_manifest(key, number, digest, chain), None)
        batch, digest = past.get((key, number, digest), unnamed)
        yield batch
        number -= 1


def _without_manifest(key: str, number: int, digest: str, chain: Chain) -> DeliveredBatch:
    """A batch without a manifest: the state has its hash, and the file name of a started batch."""
    institution, _, profile = key.partition("/")
    batch = DeliveredBatch(institution, profile, number, digest)
    if chain.started is None or chain.latest.batch_number != number:
        return batch
    name = chain.started.file_name
    return replace(batch, export_number=export_number_of(name), file_name=name)


async def _past_batches(feed: Feed, form: Format) -> PastBatches:
    batches: dict[tuple[str, int, str], tuple[DeliveredBatch, str | None]] = {}
    async for records in feed.past_manifests():
        for record in records:
            try:
                manifest = manifest_of(record)
            except InvalidBatchRecord:
                continue  # the log names it when it is read in its turn
            batch = describe_batch(manifest, record.value, form)
            previous = manifest.get("previous_sha256")
            past = (batch, previous if isinstance(previous, str) else None)
            # The first of equal ones was delivered; the others are repeats of it.
            batches.setdefault((batch.key, batch.batch_number, batch.sha256), past)
    return batches
