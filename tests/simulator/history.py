"""What happens to the service in a simulation, and what has to come out.

Records are published in a random order, some of them again. They are applied in an order that
nobody knows before. The commits tell it: each says which records it has read and which batches it
has sealed. The independent model takes records and batches in that order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from aiokafka import TopicPartition

from service.core.ledger import FineKey
from service.kafka.topics import INPUTS, OUTPUTS
from tests.auditor.evidence import Evidence, Record
from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import FineId, ModelAdopted
from tests.simulator.cluster import Cluster, Stored
from tests.simulator.instance import PREFIX, Place
from tests.simulator.sessions import Batch, Line, Work
from tests.support import inputs
from tests.support.load import Load
from tests.support.load_events import Event, lines_of, take_all
from tests.support.load_rules import LUMP_PAYMENTS, export_of, minor

PARTITIONS = 2
PATRONS = 6
PUBLISHED_AGAIN = 0.04
TOPICS: Mapping[str, int] = {PREFIX + name: PARTITIONS for name in (*INPUTS, *OUTPUTS)}


class FewPatrons(Load):
    """A load whose patrons are so few that most records meet others of their account."""

    def _new_fine(
        self, institution: str | None = None, kind: str | None = None, patron: str | None = None
    ) -> Data:
        some = patron or f"P-{self.random.randrange(PATRONS)}"
        return super()._new_fine(institution, kind, some)

    def after_exports(
        self, count: int, model: Model, batches: Mapping[FineId, Data]
    ) -> list[Event]:
        """The second half; or another first one, as long as too little was exported."""
        of_sums = {str(fine["fine_id"]) for fines in self._sums for fine in fines}
        exported = self._facts.keys() & model.live_lines().keys()
        if all(fine_id in of_sums for _, fine_id in exported):
            return self.first_half(count)
        return self.second_half(count, model, batches)


@dataclass(frozen=True, slots=True)
class Step:
    """What one commit has done. `places` are the records that it has read, in their order, and
    `patrons` whose fines lines are, as far as that was published when it adopted batches.
    """

    work: Work
    places: tuple[Place, ...]
    patrons: Mapping[Line, str]


@dataclass(slots=True)
class History:
    """The records that were published, by their places, and the commits in their order; `resumed`
    are topics that were stopped, each with the number of commits before it was resumed.
    """

    cluster: Cluster
    events: dict[Place, Event] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    resumed: list[tuple[int, str]] = field(default_factory=list)

    def publish(self, event: Event) -> None:
        """Publishes a record, at times again: a producer may send twice."""
        random = self.cluster.random
        place = event.place.encode()
        at = TopicPartition(PREFIX + event.contract, crc32(place) % PARTITIONS)
        headers = inputs.binary(event.contract, b"")[1]
        for _ in range(2 if random.random() < PUBLISHED_AGAIN else 1):
            stored = Stored(place, event.value, headers, self.cluster.clock.milliseconds)
            self.events[(*at, self.cluster.append(at, [stored]))] = event

    def note(self, work: Work, places: tuple[Place, ...]) -> None:
        """Adds what a commit has done."""
        self.steps.append(Step(work, places, self._patrons() if work.adopted else {}))

    def _patrons(self) -> dict[Line, str]:
        """The patrons of lines, from the events of their exports."""
        events = [json.loads(each.value or b"") for _, _, each in self.output("balance-changed.v1")]
        return {
            (event["institution_id"], event["export"]["bursar_transaction_id"]): event["patron_id"]
            for event in events
            if event["transaction"]["kind"] in ("export", "export_and_paid")
        }

    @property
    def manifests(self) -> dict[Batch, Data]:
        """The manifests that were published. Raises AssertionError if a batch has two."""
        manifests: dict[Batch, Data] = {}
        for _, _, stored in self.output("export-manifest.v1"):
            data = json.loads(stored.value or b"")
            key = (data["institution_id"], data["profile"], data["batch_number"])
            assert manifests.setdefault(key, data) == data, f"two manifests of batch {key}"
        return manifests

    def output(self, contract: str) -> Iterator[tuple[TopicPartition, int, Stored]]:
        """The records of an output topic, partition by partition."""
        for number in range(PARTITIONS):
            at = TopicPartition(PREFIX + contract, number)
            for offset, stored in enumerate(self.cluster.logs[at]):
                yield at, offset, stored

    @property
    def evidence(self) -> Evidence:
        """The topics, as the auditor judges them."""
        logs = self.cluster.logs
        records = {
            contract: [
                Record(at.topic, at.partition, offset, each.key, each.value, each.headers)
                for at, log in logs.items()
                if at.topic == PREFIX + contract
                for offset, each in enumerate(log)
            ]
            for contract in (*INPUTS, *OUTPUTS)
        }
        return Evidence(
            PREFIX,
            records,
            {tuple(at): 0 for at in logs},
            {tuple(at): len(log) for at, log in logs.items()},
        )

    def model(self) -> Model:
        """The independent model after all commits. Raises AssertionError if a commit cannot be."""
        model, manifests = Model(settings=LUMP_PAYMENTS), self.manifests
        for step in self.steps:
            take_all(model, [self.events[place] for place in step.places])
            for key in step.work.batches:
                _check_due(model, manifests[key])
                model.take(export_of(manifests[key]))
            for key in step.work.adopted:
                model.adopt(_adopted(manifests[key], step.patrons))
            if not step.work.advances:
                model.see([line for line in model.adopted if line.line in step.work.lines])
        return model

    def lines(self) -> dict[FineId, Data]:
        """The manifest that has each fine's latest line."""
        return {name: manifest for name, _, manifest in lines_of(self.manifests.values())}

    def check_offsets(self) -> None:
        """Every record was read by exactly one commit, in the order of its partition."""
        read: dict[TopicPartition, int] = {}
        for step in self.steps:
            for advance in step.work.advances:
                at = TopicPartition(advance.topic, advance.partition)
                expected = read.get(at, 0)
                assert advance.first == expected, f"{at} read at {advance.first}, not {expected}"
                read[at] = advance.end
        for at, log in self.cluster.logs.items():
            if at.topic.removeprefix(PREFIX) in INPUTS:
                assert read.get(at, 0) == len(log), f"{at} read up to {read.get(at, 0)}"


def _adopted(manifest: Data, patrons: Mapping[Line, str]) -> list[ModelAdopted]:
    """The lines of a batch that was published and not known."""
    institution = manifest["institution_id"]
    lines = {line["bursar_transaction_id"]: line for line in manifest["lines"]}
    return [
        ModelAdopted(
            fine,
            minor(lines[fine.bursar_transaction_id]["amount"], institution),
            manifest["currency"],
            patrons.get((institution, fine.bursar_transaction_id)),
            lines[fine.bursar_transaction_id]["status"] == "Closed",
        )
        for fine in export_of(manifest).fines
    ]


def _check_due(model: Model, manifest: Data) -> None:
    """Each line is of a fine that owes this amount in the library."""
    for line in manifest["lines"]:
        key = FineKey(manifest["institution_id"], line["fine_id"])
        fine = model.fines[key.institution_id, key.fine_id]
        amount = minor(line["amount"], key.institution_id)
        assert (fine["status"], fine["remaining"]) == ("Active", amount), f"{key} was not due"
