"""Fills the memory of a delivery: from its journal, its state and the topic of manifests.

A state of a release without a journal has only the last batch of each profile. The batches before
it are found in the topic, because each manifest names the SHA-256 of the batch before its own. If
the topic holds two batches of one number, only one of them is in the chain that ends with the last
delivered batch.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..export.formats import Format
from ..runtime.telemetry import Event, get_log
from .feed import Feed
from .journal import Journal
from .memory import DeliveredBatch, Memory, export_number_of
from .placing import describe_batch
from .records import InvalidBatchRecord, manifest_of
from .state import Chain, Last
from .target import Target

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class PastBatch:
    """A batch as its manifest describes it, and the hash of the batch before; None for none."""

    batch: DeliveredBatch
    previous_sha256: str | None


PastBatches = Mapping[tuple[str, int, str], PastBatch]  # by key, batch number and SHA-256


async def remembered_batches(
    journal: Journal, feed: Feed, form: Format, chains: Mapping[str, Chain]
) -> Memory:
    """The memory of the journal, once that is created or completed with what it lacks of `chains`.

    `form` is the format of this delivery's files. Raises InvalidState, OSError, KafkaError and
    Unavailable.
    """
    recorded = await asyncio.to_thread(journal.read)
    memory = Memory(recorded or ())
    lacking = {key: chain for key, chain in chains.items() if _lacks(memory, key, chain)}
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
    """Adds the names of the target's files to the memory, if the target can be listed.

    Raises TargetUnavailable and TargetUnusable.
    """
    names = await target.names()
    if names is None:
        log.info(Event.TARGET_NOT_LISTED, known=len(memory))
    else:
        memory.add_target_names(names)


def _lacks(memory: Memory, key: str, chain: Chain) -> bool:
    last = _latest(chain)
    return last.sha256 is not None and memory.batch(key, last.batch_number) is None


def _latest(chain: Chain) -> Last:
    return chain.last if chain.started is None else chain.started.last


def _learned(key: str, chain: Chain, past: PastBatches, memory: Memory) -> Iterator[DeliveredBatch]:
    """From the latest batch back to one that is known, or is not in the topic any more."""
    latest = _latest(chain)
    number, digest = latest.batch_number, latest.sha256
    while digest is not None and memory.batch(key, number) is None:
        manifest = past.get((key, number, digest))
        if manifest is None:
            yield _without_name(key, number, digest, chain)
            return
        yield manifest.batch
        number, digest = number - 1, manifest.previous_sha256


def _without_name(key: str, number: int, digest: str, chain: Chain) -> DeliveredBatch:
    """A batch without a manifest: the state has its hash, and the file name of a started batch."""
    institution, _, profile = key.partition("/")
    batch = DeliveredBatch(institution, profile, number, digest)
    started = chain.started
    if started is None or started.last.batch_number != number:
        return batch
    number_in_name = export_number_of(started.file_name)
    return replace(batch, export_number=number_in_name, file_name=started.file_name)


async def _past_batches(feed: Feed, form: Format) -> PastBatches:
    batches: dict[tuple[str, int, str], PastBatch] = {}
    async for records in feed.past_manifests():
        for record in records:
            try:
                manifest = manifest_of(record)
            except InvalidBatchRecord:
                continue  # the log names it when it is read in its turn
            batch, previous = (
                describe_batch(manifest, record.value, form),
                manifest.get("previous_sha256"),
            )
            # The first of equal ones was delivered; the others are repeats of it.
            past = PastBatch(batch, previous if isinstance(previous, str) else None)
            batches.setdefault((batch.key, batch.batch_number, batch.sha256), past)
    return batches
