"""What the model takes as given: the input records, the terms of batches and their lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.auditor.evidence import INPUTS, Data, Evidence, Row
from tests.auditor.inputs import Inputs

BatchId = tuple[str, str, int]
AccountId = tuple[str, str, str]


class Broken(Exception):
    """A transaction breaks a rule; the text says which."""


class Unjudged(Exception):
    """The record behind a transaction has left its topic, so that nothing can be computed."""


@dataclass(frozen=True)
class Facts:
    """The records that count, by their identity.

    `manifests` are those of the sealed batches, `fine_of_line` has the fine of each bursar
    transaction id, `refused` the lines that responses refuse (None: all lines of the batch), and
    `made` the rows of credits that the service has made. `whole` names the contracts whose topics
    still have every record.
    """

    inputs: Inputs
    manifests: Mapping[BatchId, Data]
    fine_of_line: Mapping[tuple[str, str], str]
    refused_lines: Mapping[BatchId, frozenset[str] | None]
    made: Mapping[tuple[str, str], Row]
    whole: frozenset[str]

    def fine(self, institution: str, fine_id: str) -> Data:
        """The record that has created a fine."""
        return self._data("fine-created.v1", institution, fine_id)

    def change(self, institution: str, source: str, change_id: str) -> Data:
        """The record of a change in the library."""
        return self._data("fine-changed.v1", institution, source, change_id)

    def payment(self, institution: str, source: str, payment_id: str) -> Data:
        """The record of a payment, write-off, reversal or status."""
        return self._data("bursar-payment.v1", institution, source, payment_id)

    def _data(self, contract: str, *identity: str) -> Data:
        record = self.inputs.record(contract, *identity)
        if record is not None:
            return record.data
        raise Broken("no record says so") if contract in self.whole else Unjudged


def facts_of(evidence: Evidence, inputs: Inputs) -> Facts:
    """Collects the facts."""
    manifests = {
        batch_id(row): json.loads(row["manifest"]) for row in evidence.tables["export_batch"]
    }
    lines = {
        (institution, line["bursar_transaction_id"]): line["fine_id"]
        for (institution, _, _), manifest in manifests.items()
        for line in manifest["lines"]
    }
    made = {
        (row["institution_id"], row["fine_id"]): row
        for row in evidence.tables["fine"]
        if row["fine_id"].startswith("bb-")
    }
    whole = frozenset(filter(evidence.is_whole, INPUTS))
    return Facts(inputs, manifests, lines, _refused_lines(evidence, inputs), made, whole)


def batch_id(row: Row) -> BatchId:
    """The identity of the batch that a row or a cause names."""
    return (row["institution_id"], row["profile"], row["batch_number"])


def account_id(row: Row) -> AccountId:
    """The account of a row."""
    return (row["institution_id"], row["patron_id"], row["currency"])


def _refused_lines(evidence: Evidence, inputs: Inputs) -> dict[BatchId, frozenset[str] | None]:
    """What the responses that were applied refuse, of each batch."""
    refused_lines: dict[BatchId, frozenset[str] | None] = {}
    for row in evidence.tables["export_response"]:
        identity = (row["institution_id"], row["source"], row["response_id"])
        record = inputs.record("export-response.v1", *identity)
        if row["state"] != "applied":
            continue
        if record is None or record.data["outcome"] == "refused":
            refused_lines[batch_id(row)] = None
        elif (lines := refused_lines.get(batch_id(row), frozenset())) is not None:
            named = (line for line, _ in record.data.get("refused_lines", ()))
            refused_lines[batch_id(row)] = lines | frozenset(named)
    return refused_lines
