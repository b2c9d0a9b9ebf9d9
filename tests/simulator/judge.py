"""What must hold at the end of a simulation."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import FineId
from tests.simulator.control import Control
from tests.simulator.history import History
from tests.support.load_audit import compare_with_model
from tests.support.load_rules import RULES, due_fines
from tests.support.topics import Read


class SimulatedInstallation:
    """The tables of a database, and the topics of simulated Kafka."""

    def __init__(self, control: Control, history: History) -> None:
        self._control = control
        self._history = history

    async def rows(self, query: str, *arguments: object) -> list[dict[str, object]]:
        return self._control.rows(query, *arguments)

    def records(self, contract: str) -> Sequence[Read]:
        return [
            Read(at.partition, offset, stored.key, stored.value, stored.headers)
            for at, offset, stored in self._history.output(contract)
        ]


def judge(control: Control, history: History) -> Model:
    """Compares everything with the model, which is returned. Raises AssertionError."""
    history.check_offsets()
    model = history.model()
    installation = SimulatedInstallation(control, history)
    asyncio.run(compare_with_model(installation, model))
    _check_batches(control, history, model)
    _check_first_copies(installation)
    _check_all_is_exported(model)
    return model


def _check_batches(control: Control, history: History, model: Model) -> None:
    """Batches are published as they were sealed, numbered without gaps, each chained to the one
    before; the lines of all of them are those that the model knows.
    """
    documents: dict[str, bytes] = {}
    for _, _, stored in history.output("export-batch.v1"):
        name = dict(stored.headers)["ce_id"].decode()
        assert documents.setdefault(name, stored.value or b"") == stored.value, name
    manifests = history.manifests
    chains: dict[tuple[str, str], list[Data]] = defaultdict(list)
    for (institution, profile, _), manifest in sorted(manifests.items()):
        chains[institution, profile].append(manifest)
    for (institution, profile), chain in chains.items():
        previous = None
        for number, manifest in enumerate(chain, start=1):
            assert manifest["batch_number"] == number, f"{profile}: no batch {number}"
            assert manifest["previous_sha256"] == previous, f"{profile} {number}: the chain"
            previous = manifest["sha256"]
            document = documents.pop(f"{institution}/{profile}/{number}", b"")
            assert sha256(document).hexdigest() == previous, f"{profile} {number}: the bytes"
    assert documents == {}, "batches without a manifest"
    sealed = control.rows("SELECT institution_id, profile, batch_number FROM export_batch")
    assert {tuple(row.values()) for row in sealed} == manifests.keys()
    lines = [
        (manifest["institution_id"], line["bursar_transaction_id"])
        for manifest in manifests.values()
        for line in manifest["lines"]
    ]
    assert sorted(lines) == sorted(model.lines)


def _check_first_copies(installation: SimulatedInstallation) -> None:
    """The first copies of an account's events come in the order of the ledger."""
    latest: dict[tuple[str, str, str], int] = defaultdict(int)
    for record in installation.records("balance-changed.v1"):
        event = json.loads(record.value or b"")
        account = (event["institution_id"], event["patron_id"], event["currency"])
        assert event["sequence"] <= latest[account] + 1, f"{account}: {event['sequence']} overtakes"
        latest[account] = max(latest[account], event["sequence"])


def _check_all_is_exported(model: Model) -> None:
    """After the last run nothing is due any more."""
    left = all_due(model)
    assert left == [], f"not exported: {left}"


def all_due(model: Model) -> list[FineId]:
    """What runs of all profiles would export now."""
    return [
        name
        for institution, profiles in RULES.items()
        for rules in profiles
        for name in due_fines(model, institution, rules)
    ]
