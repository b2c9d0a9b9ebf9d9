"""What must hold at the end of a simulation."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256

from service.database.session import Connection
from service.operations.reconcile import Difference, reconcile_in
from tests.auditor.evidence import Row
from tests.auditor.judge import broken
from tests.auditor.sources import read_tables
from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import AccountId, FineId
from tests.simulator.control import Control
from tests.simulator.history import History
from tests.support.load_audit import compare_ledger, compare_with_model
from tests.support.load_rules import RULES, due_fines, minor
from tests.support.topics import Read

FINDINGS_SHOWN = 5
# Batches whose bytes were never published, and of which they could not be made again so far.
WITHOUT_BYTES = (
    "SELECT institution_id, profile, batch_number FROM adopted_batch"
    " WHERE document = 'differs' OR document = 'missing' AND EXISTS ("
    " SELECT FROM adopted_line AS l WHERE (l.institution_id, l.profile, l.batch_number)"
    " = (adopted_batch.institution_id, adopted_batch.profile, adopted_batch.batch_number)"
    " AND l.state = 'waiting')"
)
COUNTS = {
    "recoveries": "SELECT count(*) FROM recovery",
    "batches adopted": "SELECT count(*) FROM adopted_batch",
    "printed again": "SELECT count(*) FROM adopted_batch WHERE document = 'rendered'",
    "not printed again": "SELECT count(*) FROM adopted_batch WHERE document <> 'rendered'"
    " AND document <> 'published'",
    "lines taken": "SELECT count(*) FROM adopted_line WHERE state = 'taken'",
    "lines waiting": "SELECT count(*) FROM adopted_line WHERE state = 'waiting'",
}


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
    """Compares everything with the model, which is returned, and lets the auditor look at it.

    Raises AssertionError.
    """
    history.check_offsets()
    model = history.model()
    installation = SimulatedInstallation(control, history)
    is_recovered = bool(control.value("SELECT EXISTS (SELECT FROM recovery)"))
    compare = compare_ledger if is_recovered else compare_with_model
    asyncio.run(compare(installation, model))
    _check_batches(control, history, model)
    _check_first_copies(installation)
    _check_readers(control, installation)
    _check_waiting_lines(control, model)
    _check_all_is_exported(control, model)
    assert control.run(_differences) == ()
    findings = broken(history.evidence.with_tables(control.run(_tables)))
    assert findings == [], findings[:FINDINGS_SHOWN]
    return model


async def _differences(connection: Connection) -> Sequence[Difference]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        done = await reconcile_in(connection)
    assert done.agrees or done.differences, "totals of profiles differ"
    return done.differences


async def _tables(connection: Connection) -> Mapping[str, Sequence[Row]]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await read_tables(connection)


def counts(control: Control, restores: int) -> Mapping[str, int]:
    """What the recoveries of a history have done."""
    return {"restores": restores} | {
        name: int(str(control.value(query))) for name, query in COUNTS.items()
    }


def _check_batches(control: Control, history: History, model: Model) -> None:
    """Batches are published as they were sealed, numbered without gaps, each chained to the one
    before; the lines of all of them are those that the model knows.
    """
    documents: dict[str, bytes] = {}
    for _, _, stored in history.output("export-batch.v1"):
        name = dict(stored.headers)["ce_id"].decode()
        assert documents.setdefault(name, stored.value or b"") == stored.value, name
    manifests = history.manifests
    without_bytes = {tuple(row.values()) for row in control.rows(WITHOUT_BYTES)}
    chains: dict[tuple[str, str], list[Data]] = defaultdict(list)
    for (institution, profile, _), manifest in sorted(manifests.items()):
        chains[institution, profile].append(manifest)
    for (institution, profile), chain in chains.items():
        previous = None
        for number, manifest in enumerate(chain, start=1):
            assert manifest["batch_number"] == number, f"{profile}: no batch {number}"
            assert manifest["previous_sha256"] == previous, f"{profile} {number}: the chain"
            previous = manifest["sha256"]
            document = documents.pop(f"{institution}/{profile}/{number}", None)
            if document is None and (institution, profile, number) in without_bytes:
                continue
            assert document is not None, f"{profile} {number}: no bytes"
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


def _check_readers(control: Control, installation: SimulatedInstallation) -> None:
    """A reader who drops what is older by epoch and sequence ends with the account."""
    latest: dict[AccountId, tuple[tuple[int, int], Data]] = {}
    for record in installation.records("balance-changed.v1"):
        event = json.loads(record.value or b"")
        account = (event["institution_id"], event["patron_id"], event["currency"])
        place = (event["epoch"], event["sequence"])
        if account not in latest or place >= latest[account][0]:
            latest[account] = (place, event["balance"])
    read = {
        account: (
            place[1],
            minor(balance["active"], account[0]),
            minor(balance["transferred"], account[0]),
        )
        for account, (place, balance) in latest.items()
    }
    rows = control.rows("SELECT * FROM account")
    assert read == {
        (row["institution_id"], row["patron_id"], row["currency"]): (
            row["sequence"],
            row["active"],
            row["transferred"],
        )
        for row in rows
    }


def _check_waiting_lines(control: Control, model: Model) -> None:
    rows = control.rows(
        "SELECT institution_id, bursar_transaction_id FROM adopted_line WHERE state = 'waiting'"
    )
    waiting = {tuple(row.values()) for row in rows}
    assert waiting == {line.line for line in model.adopted}, f"adopted lines that wait: {waiting}"


def _check_all_is_exported(control: Control, model: Model) -> None:
    """After the last run nothing is due any more."""
    left = all_due(control, model)
    assert left == [], f"not exported: {left}"


def all_due(control: Control, model: Model) -> list[FineId]:
    """What runs of all profiles would export now."""
    awaited = {line.fine for line in model.adopted} | _unconfirmed(control)
    return [
        name
        for institution, profiles in RULES.items()
        for rules in profiles
        for name in due_fines(model, institution, rules)
        if name not in awaited and not _may_be_credited(model, name)
    ]


def _unconfirmed(control: Control) -> set[FineId]:
    """The credits that a recovery has left to a person: the model does not know of them."""
    rows = control.rows(
        "SELECT institution_id, fine_id FROM fine_amendment"
        " WHERE unconfirmed AND EXISTS (SELECT FROM recovery)"
    )
    return {(str(row["institution_id"]), str(row["fine_id"])) for row in rows}


def _may_be_credited(model: Model, name: FineId) -> bool:
    """Whether a credit's line waits beside this credit, or one of which nobody knows the patron."""
    fine = model.fines[name]
    institution, patron, currency = fine["account"]
    return fine["amount"] < 0 and any(
        line.amount < 0
        and (line.fine[0], line.currency) == (institution, currency)
        and line.patron in (None, patron)
        for line in model.adopted
    )
