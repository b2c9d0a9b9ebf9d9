"""The demo's own checks find what they are there for; no service is needed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from demo import checks
from demo.expected import Expected
from demo.outputs import Outputs, Record
from demo.scene import ADA, ANNA, NORTH, SOUTH, Fine
from tests.contracts.examples import CONTRACTS

MANIFEST = CONTRACTS / "examples" / "export-manifest.v1" / "valid" / "first_batch.json"
DOCUMENT = CONTRACTS / "export" / "examples" / "valid" / "several_patrons_and_fines.xml"
IDENTITY = "6050/BURSAR_MAIN/1"


def published(manifest: dict[str, Any], document: bytes) -> Outputs:
    values = {
        "ce_id": IDENTITY,
        "bursar-sha256": manifest["sha256"],
        "bursar-fine-count": str(manifest["count"]),
        "bursar-total": manifest["total"],
        "bursar-file-name": manifest["file_name"],
    }
    value = json.dumps(manifest).encode()
    outputs = Outputs("demo.")
    outputs.records["export-batch"] = [Record("export-batch", (0, 0), None, document, values)]
    named = {"ce_id": f"{IDENTITY}/manifest"}
    outputs.records["export-manifest"] = [Record("export-manifest", (0, 0), None, value, named)]
    return outputs


def changed(sequence: int, previous: str, active: str) -> Record:
    value = {
        "institution_id": "101",
        "patron_id": "N-1",
        "currency": "USD",
        "sequence": sequence,
        "previous": {"active": previous, "transferred": "0.00", "total": previous},
        "balance": {"active": active, "transferred": "0.00", "total": active},
    }
    return Record("balance-changed", (0, sequence), None, json.dumps(value).encode(), {})


def account_problems(*records: Record) -> list[str]:
    outputs = Outputs("demo.")
    outputs.records["balance-changed"] = [*records]
    result = checks.events_are_sound(outputs)
    return [line for line in result if line.startswith("balance-changed of")]


def test_a_sound_batch_passes() -> None:
    manifest = json.loads(MANIFEST.read_bytes())
    assert [*checks.batches_are_sound(published(manifest, DOCUMENT.read_bytes()))] == []


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("total", "414.77", "total"),
        ("count", 7, "count"),
        ("sha256", "0" * 64, "sha256"),
        ("previous_sha256", "0" * 64, "chained"),
        ("export_number", "100000000000013", "export number"),
    ],
)
def test_a_manifest_that_says_otherwise_is_named(field: str, value: object, named: str) -> None:
    manifest = json.loads(MANIFEST.read_bytes()) | {field: value}
    result = [*checks.batches_are_sound(published(manifest, DOCUMENT.read_bytes()))]
    assert any(named in line for line in result), result


def test_a_document_of_another_structure_breaks_the_xsd() -> None:
    manifest = json.loads(MANIFEST.read_bytes())
    document = DOCUMENT.read_bytes().replace(b"itemCallNumebr", b"itemCallNumber")
    result = [*checks.batches_are_sound(published(manifest, document))]
    assert any("XSD" in line for line in result), result


def test_events_in_order_pass() -> None:
    assert account_problems(changed(1, "0.00", "5.00"), changed(2, "5.00", "7.00")) == []


def test_a_gap_in_the_sequence_is_named() -> None:
    result = account_problems(changed(1, "0.00", "5.00"), changed(3, "5.00", "7.00"))
    assert any("gaps" in line for line in result), result


def test_an_event_that_does_not_go_on_where_the_last_one_ended_is_named() -> None:
    result = account_problems(changed(1, "0.00", "5.00"), changed(2, "4.00", "7.00"))
    assert any("previous" in line for line in result), result


def test_expected_balances_of_an_export_only_institution_leave_the_library() -> None:
    expected = Expected()
    expected.created(Fine(ANNA, "F-1", "OVERDUEFINE", "10.00"))
    expected.exported(NORTH)
    assert expected.balances() == {ANNA: (Decimal("0.00"), Decimal("0.00"))}
    assert expected.events == 2


def test_expected_balances_of_an_overpaid_fine_have_a_credit() -> None:
    expected = Expected()
    expected.created(Fine(ADA, "F-1", "OVERDUEFINE", "10.00"))
    expected.exported(SOUTH)
    expected.paid("F-1", Decimal("12.50"))
    assert expected.balances() == {ADA: (Decimal("-2.50"), Decimal("0.00"))}
    assert expected.events == 4
