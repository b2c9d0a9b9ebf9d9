"""Reads the topics and plans what a recovery will do, before anything is written."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from aiokafka import TopicPartition

from ..core.ledger import BatchKey
from ..database.session import Connection, statements
from ..messages.manifests import UnreadableManifest, read_manifest
from ..runtime.problems import OperatorError
from .adoption_plan import (
    AdoptionPlan,
    Place,
    PlannedBatch,
    ProfileKey,
    PublishedBatch,
    Tail,
    plan_adoption,
)
from .check import Scope
from .inputs import InputState, read_inputs
from .known import Record
from .published import (
    NEEDED,
    OutputState,
    Unread,
    batch_document,
    contract_of,
    pages_of,
    place_of,
)
from .topics import Range, Topics

SQL = statements("recovery")
RESTORE = statements("restore")
BATCHES, MANIFESTS, LOANS = "export-batch.v1", "export-manifest.v1", "loan-closed.v1"

Documents = dict[BatchKey, dict[str, Place]]


class Step(NamedTuple):
    """How far one step of a recovery has got: `done` of `total` records, batches or accounts."""

    name: str
    done: int
    total: int


Advance = Callable[[Step], None]


class RecoveryNotPossible(OperatorError):
    """A recovery cannot be made; the text names each obstacle in a line of its own."""

    def __init__(self, *obstacles: str) -> None:
        super().__init__("\n".join(obstacles))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recovery will do: the batches to adopt, in order, the offsets at which the input
    topics go on, and the records of the output topics that the database may not know, by contract.
    """

    batches: tuple[PlannedBatch, ...]
    inputs: InputState
    outputs: OutputState
    unread: Mapping[str, Unread]


@dataclass(frozen=True, slots=True)
class Survey:
    """Reads the topics over one connection to the database and one to Kafka.

    `advance` is called after each page of records.
    """

    connection: Connection
    topics: Topics
    scope: Scope
    prefix: str
    advance: Advance

    async def records(self, contract: str, ranges: Sequence[Range]) -> AsyncIterator[list[Record]]:
        """Yields the records of an output contract that the database does not know, page by
        page.
        """
        done, total = 0, sum(part.end - part.first for part in ranges)
        pages = pages_of(self.connection, self.topics, ranges)
        async with contextlib.aclosing(pages):
            async for page in pages:
                yield [record for record in page.unknown if contract_of(record) == contract]
                done += len(page.records)
                self.advance(Step(f"reading {contract}", done, total))

    async def plan(self) -> Plan:
        """Compares the topics with the database and returns the plan of the recovery. Raises
        RecoveryNotPossible.
        """
        scope = self.scope
        partitions = await self.topics.partitions([*scope.inputs, *scope.outputs])
        needed = [*scope.inputs, *(self.prefix + name for name in (*NEEDED, BATCHES))]
        if missing := [name for name in needed if name not in partitions]:
            raise RecoveryNotPossible(*(f"topic {name} does not exist" for name in missing))
        inputs = await read_inputs(self.connection, self.topics, _all(partitions, scope.inputs))
        outputs = await self._output_state(_all(partitions, scope.outputs))
        unread = {
            name: await outputs.unread(self.connection, self.topics, self.prefix + name)
            for name in (*NEEDED, BATCHES, LOANS)
        }
        manifests, faults = await self._manifests(outputs)
        documents = await self._documents(outputs, unread[BATCHES], manifests)
        adoption = await self._adoption(manifests, documents)
        obstacles = [*inputs.obstacles, *faults, *adoption.obstacles]
        obstacles += [text for name in NEEDED for text in unread[name].obstacles]
        if obstacles:
            raise RecoveryNotPossible(*obstacles)
        return Plan(adoption.batches, inputs, outputs, unread)

    async def _output_state(self, partitions: Sequence[TopicPartition]) -> OutputState:
        names = list(self.scope.outputs)

        async def stored(statement: str) -> Mapping[TopicPartition, int]:
            rows = await self.connection.fetch(RESTORE[statement], names)
            return {TopicPartition(row[0], row[1]): row[2] for row in rows}

        return OutputState(
            await self.topics.firsts(partitions),
            await self.topics.ends(partitions),
            await stored("output_offsets"),
            await stored("accepted_outputs"),
        )

    async def _manifests(self, outputs: OutputState) -> tuple[list[PublishedBatch], list[str]]:
        """The manifests that the database does not know, and the faults of those that cannot be
        read. All of the topic is read: it is the record of what was billed.
        """
        manifests: list[PublishedBatch] = []
        faults: list[str] = []
        async for records in self.records(MANIFESTS, outputs.whole(self.prefix + MANIFESTS)):
            for record in records:
                try:
                    manifests.append(published_batch(record))
                except UnreadableManifest as problem:
                    at, offset = place_of(record)
                    name = f"topic {at.topic}, partition {at.partition}, offset {offset}"
                    faults.append(f"{name}: {problem}")
        return manifests, faults

    async def _documents(
        self, outputs: OutputState, unread: Unread, manifests: Sequence[PublishedBatch]
    ) -> Documents:
        """The places of the bytes of batches that the database does not know.

        If those of a manifest are not among the newest records, the whole topic is searched.
        """
        whole = tuple(outputs.whole(self.prefix + BATCHES))
        documents: Documents = {}
        for ranges in (unread.ranges, whole):
            async for records in self.records(BATCHES, ranges):
                for record in records:
                    if (named := batch_document(record)) is not None:
                        key, digest = named
                        documents.setdefault(key, {}).setdefault(digest, place_of(record))
            missing = [m for m in manifests if m.sha256 not in documents.get(m.key, {})]
            if not missing or unread.ranges == whole:
                break
        return documents

    async def _adoption(
        self, manifests: Sequence[PublishedBatch], documents: Documents
    ) -> AdoptionPlan:
        rows = await self.connection.fetch(SQL["tails"])
        tails: dict[ProfileKey, Tail] = {(row[0], row[1]): Tail(row[2], row[3]) for row in rows}
        numbers = sorted({(each.key.institution_id, each.export_number) for each in manifests})
        taken = await self.connection.fetch(
            SQL["export_numbers_taken"],
            [institution_id for institution_id, _ in numbers],
            [number for _, number in numbers],
        )
        given = {(row[0], int(row[1])) for row in taken}
        return plan_adoption(manifests, documents, tails, given)


def published_batch(record: Record) -> PublishedBatch:
    """Reads from the record of a manifest what is needed to plan the adoption of its batch. Raises
    UnreadableManifest.
    """
    manifest = read_manifest(record.value)
    return PublishedBatch(
        manifest.key,
        place_of(record),
        sha256(record.value or b"").digest(),
        manifest.sha256,
        manifest.previous_sha256,
        int(manifest.export_number),
        has_terms=manifest.published_terms is not None,
    )


def _all(
    partitions: Mapping[str, Sequence[TopicPartition]], topics: Iterable[str]
) -> list[TopicPartition]:
    return [at for topic in topics for at in partitions.get(topic, ())]
