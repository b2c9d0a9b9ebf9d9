"""Which batch is next, per profile: numbers without gaps, document and manifest together. Pure.

What was delivered may come again, from a relay that died or because a person asked for it; what is
refused stops its profile alone, until the missing or mended batch comes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from .records import Half, Kind
from .state import Chain, Last, Place, Started

LOST = 0  # in the place of a batch's number: all of a profile's batches
LOST_TEXT = "state: how far this profile is was lost: say --continue-at PROFILE=BATCH"
AGAIN_MAX = 8  # halves of delivered batches that wait for their other half, per profile and kind


@dataclass(frozen=True, slots=True)
class Due:
    """A batch with its manifest; `chain`: how far its profile is.

    `again`: it was delivered before.
    """

    key: str
    batch_number: int
    document: Half
    manifest: Half
    chain: Chain
    again: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a profile stands still, until batch `batch_number` comes; `text` names field and rule."""

    batch_number: int
    text: str


@dataclass(slots=True)
class _Pair:
    """What has come of one batch; `places` are those of all its records."""

    halves: dict[Kind, Half] = field(default_factory=dict)
    places: dict[Kind, list[Place]] = field(default_factory=dict)

    def take(self, half: Half) -> None:
        self.halves[half.kind] = half
        self.places.setdefault(half.kind, []).append(half.place)

    @property
    def whole(self) -> bool:
        return len(self.halves) == len(Kind)


@dataclass(slots=True)
class _Line:
    """One profile's batches."""

    chain: Chain
    pairs: dict[int, _Pair] = field(default_factory=dict)
    again: dict[int, _Pair] = field(default_factory=dict)
    refusal: Refusal | None = None
    # Where a profile that stands still would have to be read from: its batches are not kept.
    passed: dict[Kind, dict[int, int]] = field(default_factory=dict)

    @property
    def is_lost(self) -> bool:
        return self.refuses(LOST)

    @property
    def next_number(self) -> int:
        return self.chain.last.batch_number + 1

    def take(self, half: Half) -> None:
        if half.batch_number < self.next_number:
            read_to = _read_to(self.chain.last, half.kind)
            if read_to is not None and not half.place.is_behind(read_to):
                self._take_again(half)
        elif self.refusal is not None and half.batch_number > self.refusal.batch_number:
            self._pass(half.kind, half.place)
        else:
            self._take_new(half)

    def refuses(self, number: int) -> bool:
        """What lies before a gap goes out all the same."""
        return self.refusal is not None and self.refusal.batch_number == number

    def refuse(self, refusal: Refusal) -> None:
        """Keeps the one that is awaited; the others are read again once it has come."""
        self.refusal = refusal
        for number in [number for number in self.pairs if number > refusal.batch_number]:
            for kind, places in self.pairs.pop(number).places.items():
                for place in places:
                    self._pass(kind, place)

    def next_last(self, sha256: str) -> Last:
        """What is the last one when the next one is delivered."""
        places, last = self.pairs[self.next_number].places, self.chain.last
        return Last(
            self.next_number,
            sha256,
            batch_at=_furthest(places[Kind.BATCH], last.batch_at),
            manifest_at=_furthest(places[Kind.MANIFEST], last.manifest_at),
        )

    def delivered(self, sha256: str) -> dict[Kind, dict[int, int]]:
        """The chain moves on; from where this profile's records have to be read again."""
        last = self.next_last(sha256)
        del self.pairs[last.batch_number]
        self.chain = Chain(last)
        if self.refusal is not None:
            return {}
        passed, self.passed = self.passed, {}
        return passed

    def held(self, kind: Kind) -> Iterator[Place]:
        """Records that were read and are not done with."""
        for pair in self.pairs.values():
            yield from pair.places.get(kind, ())
        for partition, offset in self.passed.get(kind, {}).items():
            yield Place(partition, offset)

    def _take_new(self, half: Half) -> None:
        number = half.batch_number
        pair = self.pairs.setdefault(number, _Pair())
        pair.take(half)
        if not pair.whole:
            return
        if self.refuses(number):
            self.refusal = None  # it has come, or has come anew
        if (missing := self._first_missing()) < number:
            # A profile's records keep their order: the one before would have come before.
            self.refuse(Refusal(missing, f"batch_number: {missing} is missing before {number}"))

    def _first_missing(self) -> int:
        number = self.next_number
        while number in self.pairs and self.pairs[number].whole:
            number += 1
        return number

    def _take_again(self, half: Half) -> None:
        self.again.setdefault(half.batch_number, _Pair()).take(half)
        while len(self.again) > AGAIN_MAX:
            del self.again[next(iter(self.again))]

    def _pass(self, kind: Kind, place: Place) -> None:
        offsets = self.passed.setdefault(kind, {})
        offsets[place.partition] = min(place.offset, offsets.get(place.partition, place.offset))


class Queue:
    """All profiles' batches, as their records come.

    `continue_at`: by profile code the first batch that is awaited, whatever came before it; it
    leads forward alone. `lost_before`: by kind and partition, as State has it.
    """

    def __init__(
        self,
        chains: Mapping[str, Chain],
        continue_at: Mapping[str, int],
        lost_before: Mapping[Kind, Mapping[int, int]] | None = None,
    ) -> None:
        self._continue_at = continue_at
        self._lost_before = lost_before or {}
        self._lines = {key: _Line(self._continued(key, chain)) for key, chain in chains.items()}

    @property
    def chains(self) -> dict[str, Chain]:
        """Of profiles that are known: not of those whose place was lost."""
        return {key: line.chain for key, line in self._lines.items() if not line.is_lost}

    @property
    def keys(self) -> frozenset[str]:
        """Every profile that was seen."""
        return frozenset(self._lines)

    @property
    def refusals(self) -> dict[str, Refusal]:
        """By profile; those that stand still."""
        lines = self._lines.items()
        return {key: line.refusal for key, line in lines if line.refusal is not None}

    def take(self, half: Half) -> None:
        if half.key not in self._lines:
            self._lines[half.key] = self._new_line(half)
        self._lines[half.key].take(half)

    def due(self) -> Due | None:
        """The next batch that can be delivered."""
        for key, line in self._lines.items():
            number = line.next_number
            pair = line.pairs.get(number)
            if pair is not None and pair.whole and not line.refuses(number):
                return _due(key, number, pair, line.chain, again=False)
            for known, again in line.again.items():
                if again.whole:
                    return _due(key, known, again, line.chain, again=True)
        return None

    def start(self, due: Due, file_name: str, sha256: str) -> None:
        """Before a new batch gets its name."""
        line = self._lines[due.key]
        line.chain = replace(line.chain, started=Started(file_name, line.next_last(sha256)))

    def delivered(self, due: Due, sha256: str) -> dict[Kind, dict[int, int]]:
        """Where to read again, by kind and partition: what was passed over meanwhile."""
        line = self._lines[due.key]
        if due.again:
            del line.again[due.batch_number]
            return {}
        return line.delivered(sha256)

    def refuse(self, due: Due, text: str) -> None:
        line = self._lines[due.key]
        if due.again:
            del line.again[due.batch_number]
        else:
            line.refuse(Refusal(due.batch_number, text))

    def held(self, kind: Kind) -> dict[int, int]:
        """By partition the first record that has to be read again after a restart."""
        first: dict[int, int] = {}
        for line in self._lines.values():
            for place in line.held(kind):
                first[place.partition] = min(place.offset, first.get(place.partition, place.offset))
        return first

    def held_bytes(self, kind: Kind) -> int:
        """What waits in memory."""
        return sum(
            len(pair.halves[kind].value)
            for line in self._lines.values()
            for pair in line.pairs.values()
            if kind in pair.halves
        )

    def _new_line(self, half: Half) -> _Line:
        chain = self._continued(half.key, Chain())
        read_to = self._lost_before.get(half.kind, {}).get(half.place.partition, 0)
        if half.place.offset < read_to and code_of(half.key) not in self._continue_at:
            return _Line(chain, refusal=Refusal(LOST, LOST_TEXT))
        return _Line(chain)

    def _continued(self, key: str, chain: Chain) -> Chain:
        number = self._continue_at.get(code_of(key), 1)
        if number <= chain.last.batch_number + 1:
            return chain
        return Chain(replace(chain.last, batch_number=number - 1, sha256=None))


def _read_to(last: Last, kind: Kind) -> Place | None:
    return last.batch_at if kind is Kind.BATCH else last.manifest_at


def _furthest(places: list[Place], before: Place | None) -> Place:
    """How far this profile was read; what lies on another partition came later."""
    place = max(places, key=lambda one: (one.partition, one.offset))
    return before if before is not None and place.is_behind(before) else place


def code_of(key: str) -> str:
    """The profile's code."""
    return key.partition("/")[2]


def _due(key: str, number: int, pair: _Pair, chain: Chain, *, again: bool) -> Due:
    halves = pair.halves
    return Due(key, number, halves[Kind.BATCH], halves[Kind.MANIFEST], chain, again)
