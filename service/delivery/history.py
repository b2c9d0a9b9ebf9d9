"""Where a memory comes from: its journal, the state, the topic of manifests, the target's names.

A state of a release without a journal keeps the last batch of each profile alone. The batches
before it are those that its chain leads back to: each manifest in the topic names the SHA-256 of
the batch before. Two batches of one number in the topic cannot be mistaken for each other, because
the chain of the last delivered batch leads to one of them.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..export.formats import Format
from ..runtime.telemetry import Event, get_log
from .feed import Feed
from .journal import Journal
from .memory import DeliveredBatch, Memory, export_number_of
from .placing import batch_of
from .records import Half, NoBatch, manifest_of
from .state import Chain, Last
from .target import Target

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class PastBatch:
    """What a manifest in the topic says; `previous_sha256`: of the batch before, None for none."""

    batch: DeliveredBatch
    previous_sha256: str | None


PastBatches = Mapping[tuple[str, int, str], PastBatch]  # by key, batch number and SHA-256


async def remembered(
    journal: Journal, feed: Feed, form: Format, chains: Mapping[str, Chain]
) -> Memory:
    """The journal, after it was begun or completed with what it lacks of `chains`.

    `form`: in which this delivery prints its files. Raises InvalidState, OSError, and AWAY.
    """
    noted = await asyncio.to_thread(journal.read)
    memory = Memory(noted or ())
    lacking = {key: chain for key, chain in chains.items() if _lacks(memory, key, chain)}
    past = await _past_batches(feed, form) if lacking else {}
    learned = []
    for key, chain in lacking.items():
        batches = list(_learned(key, chain, past, memory))
        learned += batches[::-1]
        known = {"first": batches[-1].batch_number, "last": batches[0].batch_number}
        log.warning(Event.DELIVERED_BATCHES_LEARNED, profile=key, **known)
    if noted is None:
        await asyncio.to_thread(journal.begin, learned)
    elif learned:
        await asyncio.to_thread(journal.append, learned)
    for batch in learned:
        memory.add(batch)
    return memory


async def see_target(memory: Memory, target: Target) -> None:
    """What lies on the target, where it can be listed. Raises TargetUnavailable, TargetRefused."""
    names = await target.names()
    if names is None:
        log.info(Event.TARGET_NOT_LISTED, known=len(memory))
    else:
        memory.see(names)


def _lacks(memory: Memory, key: str, chain: Chain) -> bool:
    last = _latest(chain)
    return last.sha256 is not None and memory.batch(key, last.batch_number) is None


def _latest(chain: Chain) -> Last:
    return chain.last if chain.started is None else chain.started.last


def _learned(key: str, chain: Chain, past: PastBatches, memory: Memory) -> Iterator[DeliveredBatch]:
    """From the latest batch back, until one is known already or not in the topic any more."""
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
    """What a state or a later manifest says of a batch. A started one has its file's name."""
    institution, _, profile = key.partition("/")
    batch = DeliveredBatch(institution, profile, number, digest)
    started = chain.started
    if started is None or started.last.batch_number != number:
        return batch
    number_in_name = export_number_of(started.file_name)
    return replace(batch, export_number=number_in_name, file_name=started.file_name)


async def _past_batches(feed: Feed, form: Format) -> PastBatches:
    found: dict[tuple[str, int, str], PastBatch] = {}
    async for halves in feed.past_manifests():
        for past in _read(halves, form):
            batch = past.batch
            # The first one is what was delivered; the same batch again is a repeat.
            found.setdefault((batch.key, batch.batch_number, batch.sha256), past)
    return found


def _read(halves: Iterable[Half], form: Format) -> Iterator[PastBatch]:
    for half in halves:
        try:
            manifest = manifest_of(half)
        except NoBatch:
            continue  # told in the log when it was, or will be, read in its turn
        previous = manifest.get("previous_sha256")
        batch = batch_of(manifest, half.value, form)
        yield PastBatch(batch, previous if isinstance(previous, str) else None)
