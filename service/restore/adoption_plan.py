"""Decides which published batches a restored database can adopt from Kafka, and says why others
cannot be adopted. Pure.

A published batch cannot be taken back: the bursar may already have billed its fines. Therefore a
recovery adopts each published batch unchanged, under its number in the sequence of its profile's
batches; nothing is guessed. If the topics do not say clearly which batch has a number, no batch at
all is adopted, and a person has to decide.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import TopicPartition

from ..core.ledger import BatchKey

ProfileKey = tuple[str, str]


class Place(NamedTuple):
    """The topic, the partition and the offset of a record in Kafka."""

    at: TopicPartition
    offset: int


class Tail(NamedTuple):
    """The last batch of a profile that the database knows; `sha256` is the hash of the
    batch's XML.
    """

    batch_number: int
    sha256: str | None


NO_BATCH = Tail(0, None)
OTHER_CONTENT = "was published with another content than this database has sealed"


@dataclass(frozen=True, slots=True)
class PublishedBatch:
    """What is needed of a published manifest to plan the adoption of its batch, which the database
    does not know.

    `digest` is the hash of the manifest's own bytes, and `sha256` the hash of the batch's XML, in
    hexadecimal.
    """

    key: BatchKey
    place: Place
    digest: bytes
    sha256: str
    previous_sha256: str | None
    export_number: int
    has_terms: bool


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """A batch to adopt; `document` is the place of its XML in Kafka, None if the topic does not
    have it.
    """

    batch: PublishedBatch
    document: Place | None


@dataclass(frozen=True, slots=True)
class AdoptionPlan:
    """The batches to adopt, in order, and the obstacles; if there is any obstacle, no batch may be
    adopted.
    """

    batches: tuple[PlannedBatch, ...]
    obstacles: tuple[str, ...]


def plan_adoption(
    manifests: Iterable[PublishedBatch],
    documents: Mapping[BatchKey, Mapping[str, Place]],
    tails: Mapping[ProfileKey, Tail],
    export_numbers: Collection[tuple[str, int]],
) -> AdoptionPlan:
    """Plans the adoption of the batches of `manifests`, none of which the database knows.

    `documents` says, by batch and by the hash of the XML, where in Kafka XML is that the database
    does not know. `tails` has the last batch of each profile that the database knows, and
    `export_numbers` the pairs of institution and export number that the database has given to
    batches.
    """
    by_profile: dict[ProfileKey, dict[int, dict[bytes, PublishedBatch]]] = defaultdict(dict)
    for batch in manifests:
        copies = by_profile[batch.key[:2]].setdefault(batch.key.batch_number, {})
        copies.setdefault(batch.digest, batch)
    obstacles = list(_lonely(documents, by_profile, tails))
    planned: list[PlannedBatch] = []
    for profile, numbers in sorted(by_profile.items()):
        obstacles += _obstacles(profile, numbers, tails.get(profile, NO_BATCH), documents)
        for number in sorted(numbers):
            batch = next(iter(numbers[number].values()))
            place = documents.get(batch.key, {}).get(batch.sha256)
            planned.append(PlannedBatch(batch, place))
    planned.sort(key=lambda each: (each.batch.key.institution_id, each.batch.export_number))
    obstacles += _repeated_numbers([each.batch for each in planned], export_numbers)
    return AdoptionPlan(tuple(planned), tuple(obstacles))


def _lonely(
    documents: Mapping[BatchKey, Mapping[str, Place]],
    by_profile: Mapping[ProfileKey, Mapping[int, object]],
    tails: Mapping[ProfileKey, Tail],
) -> Iterator[str]:
    """Batches whose bytes were published, but no manifest that would name their fines."""
    for key in sorted(documents):
        if key.batch_number in by_profile.get(key[:2], {}):
            continue
        if key.batch_number <= tails.get(key[:2], NO_BATCH).batch_number:
            yield f"{_name(key)} {OTHER_CONTENT}"
        else:
            yield f"{_name(key)} has bytes in the topic and no manifest, so its fines are not known"


def _obstacles(
    profile: ProfileKey,
    numbers: Mapping[int, Mapping[bytes, PublishedBatch]],
    tail: Tail,
    documents: Mapping[BatchKey, Mapping[str, Place]],
) -> Iterator[str]:
    """Reasons why the batches of a profile do not continue its chain."""
    expected, sha256 = tail.batch_number + 1, tail.sha256
    for number in sorted(numbers):
        copies = numbers[number]
        batch = next(iter(copies.values()))
        name = _name(batch.key)
        has_others = documents.get(batch.key, {}).keys() - {batch.sha256}
        if number <= tail.batch_number:
            yield f"{name} {OTHER_CONTENT}"
            continue
        if len(copies) > 1 or has_others:
            yield f"{name} was published with two contents"
        if not batch.has_terms:
            yield f"{name} has a manifest without terms: a release before 0.7.0 has published it"
        if number != expected:
            yield f"{_name(BatchKey(*profile, expected))} was not published, but {name} was"
        elif batch.previous_sha256 != sha256:
            yield f"{name} does not follow the batch before it: previous_sha256 is another one"
        expected, sha256 = number + 1, batch.sha256


def _repeated_numbers(
    batches: Sequence[PublishedBatch], export_numbers: Collection[tuple[str, int]]
) -> Iterator[str]:
    """Batches with an export number that another batch of their institution has."""
    used = set(export_numbers)
    for batch in batches:
        number = (batch.key.institution_id, batch.export_number)
        if number in used:
            yield f"{_name(batch.key)} has the export number of another batch"
        used.add(number)


def _name(key: BatchKey) -> str:
    return f"batch {key.batch_number} of profile {key.profile}, institution {key.institution_id},"
