"""The demo's own checks find what they are there for; no service is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

import pytest

from demo import checks
from demo.expected import Expected
from demo.outputs import Outputs, Record
from demo.scene import ADA, ANNA, MARKED_FINE, NORTH, SOUTH, Fine
from tests.contracts.examples import CONTRACTS

MANIFEST = CONTRACTS / "examples" / "export-manifest.v1" / "valid" / "first_batch.json"
DOCUMENT = CONTRACTS / "export" / "examples" / "valid" / "several_patrons_and_fines.xml"
IDENTITY = "6050/BURSAR_MAIN/1"
SUMS = {"sha256": "", "count": 1, "total": "7.50", "file_name": "MAIN.xml"}


def published(manifest: Mapping[str, object], document: bytes) -> Outputs:
    values = {
        "ce_id": IDENTITY,
        "bursar-sha256": str(manifest["sha256"]),
        "bursar-fine-count": str(manifest["count"]),
        "bursar-total": str(manifest["total"]),
        "bursar-file-name": str(manifest["file_name"]),
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


def test_expected_balances_of_an_adjusted_fine_paid_and_charged_back_in_part() -> None:
    expected = Expected()
    expected.created(Fine(ADA, "F-1", "OVERDUEFINE", "5.00"))
    expected.adjusted("F-1", Decimal("7.50"))
    assert expected.balances() == {ADA: (Decimal("7.50"), Decimal("0.00"))}
    expected.exported(SOUTH)
    expected.paid("F-1", Decimal("7.50"))
    expected.charged_back("F-1", Decimal("3.00"))
    assert expected.balances() == {ADA: (Decimal("0.00"), Decimal("3.00"))}
    assert expected.events == 5


@pytest.mark.parametrize(
    ("number", "result"), [("10000000018", True), ("10000000019", False), ("10000000081", False)]
)
def test_the_check_digit_of_an_id(number: str, result: bool) -> None:
    assert checks.has_check_digit(number) is result


def billed(title: str, amount: str, number: str = "10000000018") -> list[str]:
    """What differs when the fine with marks is billed like this."""
    line = {"bursar_transaction_id": number, "fine_id": MARKED_FINE.fine_id}
    document = f"""
        <xb:userFineFee xmlns:xb="{checks.XB.strip("{}")}">
          <xb:itemTitle>{title}</xb:itemTitle><xb:sum>{amount}</xb:sum>
          <xb:bursarTransactionId>{number}</xb:bursarTransactionId>
        </xb:userFineFee>"""
    return [*checks.lines_are_sound(published(SUMS | {"lines": [line]}, document.encode()))]


def test_a_fine_that_is_billed_readably_and_as_adjusted_passes() -> None:
    assert billed("Die Verwandlung / Franz Kafka", "7.5") == []


@pytest.mark.parametrize(
    ("title", "amount", "number", "named"),
    [
        ("Die Verwandlung / Franz Kafka", "5", "10000000018", "5"),
        ("\x98Die \x9cVerwandlung / Franz Kafka", "7.5", "10000000018", "Verwandlung"),
        ("Die Verwandlung / Franz Kafka", "7.5", "10000000019", "11 digits"),
        ("Die Verwandlung / Franz Kafka", "7.5", "1000000000000001", "11 digits"),
    ],
)
def test_a_line_that_is_billed_otherwise_is_named(
    title: str, amount: str, number: str, named: str
) -> None:
    result = billed(title, amount, number)
    assert any(named in line for line in result), result
