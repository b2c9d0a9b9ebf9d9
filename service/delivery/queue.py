"""Decides which batch of each profile is delivered next. Pure.

Each batch is two records, XML document and manifest, in topics that are read independently. Either
record may come late or several times: the relay sends a record again that the broker did not
acknowledge, an operator may send a batch again, and a delivery that restarts reads again from the
oldest record that it had not finished. The queue therefore follows three rules.

- The batches of a profile are delivered in the order of their numbers and without a gap, because
  each manifest names the hash of the batch before. A batch that cannot be delivered, or that is
  missing although a later one has come, stops the delivery of its profile until it comes. The other
  profiles continue.
- While a profile is stopped, the queue keeps in memory only the records of the batch that it waits
  for. Of later batches the queue notes the lowest offset in each partition, and the topics are read
  again from there when the profile goes on. If the queue kept all records, a profile that is
  stopped for a week would fill the memory.
- A delivered batch that comes again is compared with what was delivered, because other content
  under the same number is a fault that a person has to see. A record of a delivered batch counts as
  sent again if it lies behind those of the profile's last delivered batch; an earlier one was only
  read again, and is ignored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from .records import BatchRecord, RecordKind
from .state import Chain, Last, Place, Started, code_of

LOST = 0  # as the number of the batch that a profile waits for: all of its batches
LOST_TEXT = "state: how far this profile is was lost: say --continue-at PROFILE=BATCH"
REPEATED_MAX = 8  # delivered batches that have come again in part, per profile


@dataclass(frozen=True, slots=True)
class ReadyBatch:
    """A batch whose XML and manifest have both been read. `key` is `institution/profile`.

    `chain` has the profile's last delivered batch. `was_delivered` says that the batch was
    delivered before and its records have come again.
    """

    key: str
    batch_number: int
    document: BatchRecord
    manifest: BatchRecord
    chain: Chain
    was_delivered: bool


@dataclass(frozen=True, slots=True)
class Standstill:
    """Why a profile's delivery is stopped until `batch_number` comes. `text` names field and broken
    rule.
    """

    batch_number: int
    text: str


@dataclass(slots=True)
class _PendingPair:
    """The records of one batch so far; `places` has those of all copies."""

    records: dict[RecordKind, BatchRecord] = field(default_factory=dict)
    places: dict[RecordKind, list[Place]] = field(default_factory=dict)

    def take(self, record: BatchRecord) -> None:
        self.records[record.kind] = record
        self.places.setdefault(record.kind, []).append(record.place)

    @property
    def is_complete(self) -> bool:
        return len(self.records) == len(RecordKind)


@dataclass(slots=True)
class _ProfileQueue:
    """The batches of one profile."""

    key: str
    chain: Chain
    standstill: Standstill | None = None
    pairs: dict[int, _PendingPair] = field(default_factory=dict)
    repeated: dict[int, _PendingPair] = field(default_factory=dict)
    # The first record of each partition that was passed over while the profile stood still.
    passed_over: dict[RecordKind, dict[int, int]] = field(default_factory=dict)

    @property
    def next_number(self) -> int:
        return self.chain.last.batch_number + 1

    def waits_for(self, batch_number: int) -> bool:
        """Whether the profile stands still until this batch comes."""
        return self.standstill is not None and self.standstill.batch_number == batch_number

    def take(self, record: BatchRecord) -> None:
        if record.batch_number < self.next_number:
            self._take_repeated(record)
        elif self.standstill is not None and record.batch_number > self.standstill.batch_number:
            self._pass_over(record.kind, record.place)
        else:
            self._take_new(record)

    def _take_repeated(self, record: BatchRecord) -> None:
        last = self.chain.last
        read_to = last.batch_at if record.kind is RecordKind.BATCH else last.manifest_at
        if read_to is None or record.place.is_behind(read_to):
            return
        self.repeated.setdefault(record.batch_number, _PendingPair()).take(record)
        while len(self.repeated) > REPEATED_MAX:
            del self.repeated[next(iter(self.repeated))]

    def _take_new(self, record: BatchRecord) -> None:
        number = record.batch_number
        pair = self.pairs.setdefault(number, _PendingPair())
        pair.take(record)
        if not pair.is_complete:
            return
        if self.waits_for(number):
            self.standstill = None
        # The records of a profile keep their order: a batch before this one would have come first.
        if (missing := self._first_missing()) < number:
            self.stop(Standstill(missing, f"batch_number: {missing} is missing before {number}"))

    def _first_missing(self) -> int:
        number = self.next_number
        while number in self.pairs and self.pairs[number].is_complete:
            number += 1
        return number

    def _pass_over(self, kind: RecordKind, place: Place) -> None:
        offsets = self.passed_over.setdefault(kind, {})
        offsets[place.partition] = min(place.offset, offsets.get(place.partition, place.offset))

    def ready(self) -> ReadyBatch | None:
        """The next batch that can be delivered: also one before a gap that is further on."""
        pair = self.pairs.get(self.next_number)
        if pair is not None and pair.is_complete and not self.waits_for(self.next_number):
            return self._ready(self.next_number, pair, was_delivered=False)
        for number, repeated in self.repeated.items():
            if repeated.is_complete:
                return self._ready(number, repeated, was_delivered=True)
        return None

    def _ready(self, number: int, pair: _PendingPair, *, was_delivered: bool) -> ReadyBatch:
        document, manifest = pair.records[RecordKind.BATCH], pair.records[RecordKind.MANIFEST]
        return ReadyBatch(self.key, number, document, manifest, self.chain, was_delivered)

    def next_last(self, sha256: str) -> Last:
        """What `Chain.last` is once the next batch is delivered."""
        places, last = self.pairs[self.next_number].places, self.chain.last
        return Last(
            self.next_number,
            sha256,
            batch_at=_furthest(places[RecordKind.BATCH], last.batch_at),
            manifest_at=_furthest(places[RecordKind.MANIFEST], last.manifest_at),
        )

    def delivered(self, sha256: str) -> dict[RecordKind, dict[int, int]]:
        """Moves the chain on; returns from where this profile's records have to be read again."""
        last = self.next_last(sha256)
        del self.pairs[last.batch_number]
        self.chain = Chain(last)
        if self.standstill is not None:
            return {}
        passed_over, self.passed_over = self.passed_over, {}
        return passed_over

    def stop(self, standstill: Standstill) -> None:
        """Keeps the batch that is awaited; later ones are read again once it has come."""
        self.standstill = standstill
        for number in [number for number in self.pairs if number > standstill.batch_number]:
            for kind, places in self.pairs.pop(number).places.items():
                for place in places:
                    self._pass_over(kind, place)

    def unfinished(self, kind: RecordKind) -> Iterator[Place]:
        """Where records lie that were read and are neither delivered nor dropped."""
        for pair in self.pairs.values():
            yield from pair.places.get(kind, ())
        for partition, offset in self.passed_over.get(kind, {}).items():
            yield Place(partition, offset)


class Queue:
    """Collects the records of the batches of all profiles until the batches can be delivered.

    `chains` has the last delivered batch of each profile, by `institution/profile`. `continue_at`
    has, by profile code, the batch from which an operator lets the delivery go on although earlier
    ones are missing; a number below the next batch has no effect. `lost_before` is for a lost state
    file: by kind and partition, the offset up to which it had read at most.
    """

    def __init__(
        self,
        chains: Mapping[str, Chain],
        continue_at: Mapping[str, int],
        lost_before: Mapping[RecordKind, Mapping[int, int]] | None = None,
    ) -> None:
        self._continue_at = continue_at
        self._lost_before = lost_before or {}
        self._profiles = {
            key: _ProfileQueue(key, self._continued(key, chain)) for key, chain in chains.items()
        }

    @property
    def chains(self) -> dict[str, Chain]:
        """Returns each profile's last delivered batch, except for profiles whose state was lost."""
        return {
            key: profile.chain
            for key, profile in self._profiles.items()
            if not profile.waits_for(LOST)
        }

    @property
    def keys(self) -> frozenset[str]:
        """Returns as `institution/profile` every profile of which a record has been read, also
        before the last restart.
        """
        return frozenset(self._profiles)

    @property
    def standstills(self) -> dict[str, Standstill]:
        """Returns the stopped profiles, each with the batch that it waits for and the reason."""
        return {
            key: profile.standstill
            for key, profile in self._profiles.items()
            if profile.standstill is not None
        }

    def take(self, record: BatchRecord) -> None:
        """Adds a record in the order in which it was read from its topic."""
        if record.key not in self._profiles:
            self._profiles[record.key] = self._new_profile(record)
        self._profiles[record.key].take(record)

    def ready(self) -> ReadyBatch | None:
        """Returns the next batch to deliver, of any profile; None if no batch is ready."""
        batches = (profile.ready() for profile in self._profiles.values())
        return next((batch for batch in batches if batch is not None), None)

    def start(self, batch: ReadyBatch, file_name: str, sha256: str) -> None:
        """Notes in the profile's chain that a new batch's file will be renamed to `file_name`."""
        profile = self._profiles[batch.key]
        started = Started(file_name, profile.next_last(sha256))
        profile.chain = replace(profile.chain, started=started)

    def delivered(self, batch: ReadyBatch, sha256: str) -> dict[RecordKind, dict[int, int]]:
        """Removes a delivered batch; returns by kind and partition where to read again."""
        profile = self._profiles[batch.key]
        if not batch.was_delivered:
            return profile.delivered(sha256)
        del profile.repeated[batch.batch_number]
        return {}

    def undeliverable(self, batch: ReadyBatch, text: str) -> None:
        """Stops the delivery of the profile until the batch comes again; if the batch was delivered
        before, its new records are dropped and the profile goes on.
        """
        profile = self._profiles[batch.key]
        if batch.was_delivered:
            del profile.repeated[batch.batch_number]
        else:
            profile.stop(Standstill(batch.batch_number, text))

    def first_unfinished(self, kind: RecordKind) -> dict[int, int]:
        """Returns for each partition the lowest offset to read again after a restart."""
        first: dict[int, int] = {}
        for profile in self._profiles.values():
            for place in profile.unfinished(kind):
                first[place.partition] = min(place.offset, first.get(place.partition, place.offset))
        return first

    def waiting_bytes(self, kind: RecordKind) -> int:
        """Returns the size of all records of this kind that wait for their batch's delivery."""
        return sum(
            len(pair.records[kind].value)
            for profile in self._profiles.values()
            for pair in profile.pairs.values()
            if kind in pair.records
        )

    def _new_profile(self, record: BatchRecord) -> _ProfileQueue:
        chain = self._continued(record.key, Chain())
        read_to = self._lost_before.get(record.kind, {}).get(record.place.partition, 0)
        is_lost = record.place.offset < read_to and code_of(record.key) not in self._continue_at
        return _ProfileQueue(record.key, chain, Standstill(LOST, LOST_TEXT) if is_lost else None)

    def _continued(self, key: str, chain: Chain) -> Chain:
        number = self._continue_at.get(code_of(key), 1)
        if number <= chain.last.batch_number + 1:
            return chain
        return Chain(replace(chain.last, batch_number=number - 1, sha256=None))


def _furthest(places: list[Place], before: Place | None) -> Place:
    """How far a profile was read. Places on another partition than `before` are later."""
    place = max(places, key=lambda place: (place.partition, place.offset))
    return before if before is not None and place.is_behind(before) else place
