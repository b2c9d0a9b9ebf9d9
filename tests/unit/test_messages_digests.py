"""Same content, same digest; other content, another one (rules.md, 3)."""

import json

import pytest

from service.core.events import BursarPayment, FineCreated, Incoming, Rejection
from service.core.ledger import record_digest
from service.messages.decode import parse
from tests.support.inputs import (
    ABSENT,
    Data,
    binary,
    bursar_payment,
    export_response,
    fine_changed,
    fine_created,
    record,
    structured,
)

MAKE = {
    "fine-created.v1": fine_created,
    "fine-changed.v1": fine_changed,
    "bursar-payment.v1": bursar_payment,
    "export-response.v1": export_response,
}


def digest_of(result: Incoming | Rejection) -> bytes:
    assert not isinstance(result, Rejection), result.detail
    return result.facts.digest if isinstance(result, FineCreated) else result.digest


def digest(contract: str, **overrides: object) -> bytes:
    value, headers = binary(contract, MAKE[contract](**overrides))
    return digest_of(parse(contract, record(contract, value, headers)))


ITEM: Data = {"title": "Algorithms", "due_date": "2026-08-25T03:59:00Z", "barcode": "3903"}
PARTIAL: Data = {"outcome": "partial"}
LINES = [{"bursar_transaction_id": "42", "reason": "no"}]
REVERSAL: Data = {"kind": "reversal", "reverses_payment_id": "PAY-0"}
STATUS: Data = {"kind": "status", "status_code": "x", "amount": None, "currency": None}


@pytest.mark.parametrize(
    ("contract", "data", "other"),
    [
        ("fine-created.v1", {"amount": "95.50"}, {"amount": "95.5"}),
        ("fine-created.v1", {"exportable": ABSENT}, {"exportable": True}),
        ("fine-created.v1", {"exportable": ABSENT}, {"exportable": None}),
        ("fine-created.v1", {"owner": ABSENT}, {"owner": None}),
        ("fine-created.v1", {"comment": ABSENT}, {"comment": None}),
        ("fine-created.v1", {"item": ABSENT}, {"item": None}),
        ("fine-created.v1", {"item": ITEM}, {"item": ITEM | {"library": None}}),
        ("fine-created.v1", {"item": ITEM}, {"item": ITEM | {"unknown": 1}}),
        ("fine-created.v1", {}, {"unknown": {"deep": [1]}}),
        ("fine-created.v1", {"comment": "caf\u00e9"}, {"comment": "cafe\u0301"}),
        ("fine-created.v1", {"comment": "a b"}, {"comment": "a\nb"}),
        ("fine-created.v1", {"comment": "a b"}, {"comment": " a\u200f  b\u00a0"}),
        ("fine-created.v1", {"comment": "c" * 2_000}, {"comment": "c" * 2_001}),
        ("fine-created.v1", {"comment": None}, {"comment": " "}),
        ("fine-created.v1", {"item": ITEM}, {"item": ITEM | {"title": "\u0098Algorithms\u009c"}}),
        ("fine-created.v1", {"item": ITEM}, {"item": ITEM | {"location": ""}}),
        ("fine-changed.v1", {"reason": "a b"}, {"reason": "a\x0c b"}),
        ("fine-changed.v1", {"reason": None}, {"reason": ""}),
        (
            "bursar-payment.v1",
            {"bursar_transaction_id": "42"},
            {"bursar_transaction_id": "00000000000000000042"},
        ),
        (
            "export-response.v1",
            PARTIAL | {"refused_lines": LINES},
            PARTIAL | {"refused_lines": [{"bursar_transaction_id": "042", "reason": " no"}]},
        ),
        (
            "fine-created.v1",
            {"created_at": "2026-09-01T10:00:00Z"},
            {"created_at": "2026-09-01T12:00:00.0000009+02:00"},
        ),
        (
            "fine-created.v1",
            {},
            {
                "patron": {
                    "patron_id": "P-1",
                    "name": "Roe, Jane",
                    "user_group": "STAFF",
                    "identifiers": [],
                }
            },
        ),
        ("fine-changed.v1", {"amount": "10"}, {"amount": "10.00"}),
        ("fine-changed.v1", {"reason": ABSENT}, {"reason": None}),
        ("bursar-payment.v1", {"amount": "95.5"}, {"amount": "95.50"}),
        ("bursar-payment.v1", {"bursar_transaction_id": None}, {}),
        ("bursar-payment.v1", {"import_file": None}, {}),
        ("export-response.v1", {"refused_lines": None}, {"control": None}),
        (
            "export-response.v1",
            {"control": {"count": 1, "total": "100"}},
            {"control": {"count": 1, "total": "100.00"}},
        ),
        (
            "export-response.v1",
            {"control": {"count": 1, "total": "0.5"}},
            {"control": {"count": 1.0, "total": "0.50"}},
        ),
    ],
)
def test_the_same_content_written_otherwise_has_the_same_digest(
    contract: str, data: Data, other: Data
) -> None:
    assert digest(contract, **data) == digest(contract, **other)


OTHERS: dict[str, list[Data]] = {
    "fine-created.v1": [
        {},
        {"institution_id": "6051"},
        {"fine_id": "F-2"},
        {"patron": {"patron_id": "P-2", "name": "", "user_group": "", "identifiers": []}},
        {"type": "OTHER"},
        {"amount": "95.51"},
        {"currency": "EUR"},
        {"type": "CREDIT", "amount": "-95.50"},
        {"owner": None},
        {"owner": {"library_id": "1", "library_code": "MAIN", "library_name": "Main Library"}},
        {"owner": {"library_id": "5867", "library_code": "X", "library_name": "Main Library"}},
        {"owner": {"library_id": "5867", "library_code": "MAIN", "library_name": ""}},
        {"created_at": "2026-09-01T10:00:00.000001Z"},
        {"comment": None},
        {"loan_id": None},
        {"loan_id": "Returned late", "comment": "L-1"},
        {"item": None},
        {"item": ITEM | {"title": ""}},
        {"item": ITEM | {"call_number": "Q"}},
        {"item": ITEM | {"library": "Q"}},
        {"item": ITEM | {"location": "Q"}},
        {"item": ITEM | {"internal_location": "Q"}},
        {"item": ITEM | {"barcode": "Q"}},
        {"item": ITEM | {"due_date": None}},
        {"credit_of": "F-0"},
        {"exportable": False},
    ],
    "fine-changed.v1": [
        {},
        {"institution_id": "6051"},
        {"source": "X"},
        {"change_id": "C-2"},
        {"fine_id": "F-2"},
        {"kind": "waived"},
        {"kind": "cancelled", "amount": None, "currency": None},
        {"kind": "disputed", "amount": None, "currency": None},
        {"amount": "10.01"},
        {"currency": "EUR"},
        {"changed_at": "2026-09-02T10:00:01Z"},
        {"reason": "x"},
        {"comment": "x"},
    ],
    "bursar-payment.v1": [
        {},
        {"institution_id": "6051"},
        {"source": "X"},
        {"payment_id": "PAY-2"},
        {"kind": "write_off"},
        REVERSAL,
        REVERSAL | {"amount": None},
        REVERSAL | {"reverses_payment_id": "PAY-9"},
        STATUS,
        STATUS | {"status_code": "y"},
        {"bursar_transaction_id": "42"},
        {"bursar_transaction_id": "42", "fine_id": None},
        {"fine_id": "42"},
        {"amount": "1"},
        {"currency": "EUR"},
        {"paid_at": "2026-10-01T08:00:01Z"},
        {"status_code": "x"},
        {"comment": "x"},
        {"import_file": "0" * 64},
        {"import_file": "a" * 64},
        {"import_file": "a" * 64, "comment": "x"},
    ],
    "export-response.v1": [
        {},
        {"institution_id": "6051"},
        {"source": "X"},
        {"response_id": "R-2"},
        {"profile": "other"},
        {"batch_number": 2},
        {"outcome": "refused", "reason": "x"},
        {"reason": "x"},
        PARTIAL | {"refused_lines": LINES},
        PARTIAL | {"refused_lines": [LINES[0] | {"reason": "x"}]},
        PARTIAL | {"refused_lines": [LINES[0] | {"bursar_transaction_id": "43"}]},
        PARTIAL | {"refused_lines": [*LINES, LINES[0] | {"bursar_transaction_id": "43"}]},
        {"control": {"count": 0, "total": "0"}},
        {"control": {"count": 1, "total": "0"}},
        {"control": {"count": 1, "total": "100"}},
        {"control": {"count": 1, "total": "1"}},
        {"control": {"count": 1, "total": "-1"}},
        {"responded_at": "2026-09-15T08:00:01Z"},
    ],
}


@pytest.mark.parametrize("contract", OTHERS)
def test_every_member_of_a_contract_makes_another_digest(contract: str) -> None:
    digests = [digest(contract, **overrides) for overrides in OTHERS[contract]]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("contract", MAKE)
def test_envelope_order_and_spacing_do_not_count(contract: str) -> None:
    data = MAKE[contract]()
    value, headers = structured(contract, dict(reversed(data.items())), id="another", subject="x")
    result = parse(contract, record(contract, value, headers, offset=8))
    spaced = json.dumps(data, indent=3).encode()
    again = parse(contract, record(contract, *binary(contract, spaced, "2027-01-01T00:00:00Z")))
    assert digest_of(result) == digest_of(again) == digest(contract)


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        ("fine-created.v1", "16ce3c5ad0ffe91575772a272a3ad099"),
        ("fine-changed.v1", "8bae5535172a93bac1823c43504b9179"),
        ("bursar-payment.v1", "4c23e07f6988a59603226872cea7e067"),
        ("export-response.v1", "423d2604735da82158845c7b4e4e91f4"),
    ],
)
def test_a_stored_digest_stays_valid(contract: str, expected: str) -> None:
    """A release that changes one would turn repeats of what is stored into conflicts."""
    assert digest(contract).hex()[:32] == expected


def payment_event(**overrides: object) -> BursarPayment:
    value, headers = binary("bursar-payment.v1", bursar_payment(**overrides))
    result = parse("bursar-payment.v1", record("bursar-payment.v1", value, headers))
    assert isinstance(result, BursarPayment)
    return result


FILE = "0123456789abcdef" * 4


def test_a_line_of_an_imported_file_is_also_what_releases_without_import_file_stored() -> None:
    stored = payment_event(payment_id=f"{FILE}-17").digest
    line = payment_event(payment_id=f"{FILE}-17", import_file=FILE)
    assert line.digest != stored
    assert line.has_content(stored)
    assert not line.has_content(payment_event(payment_id=f"{FILE}-17", amount="1").digest)


def test_import_file_belongs_to_the_content_of_any_other_payment() -> None:
    stored = payment_event().digest
    assert not payment_event(import_file=FILE).has_content(stored)
    assert not payment_event().has_content(payment_event(import_file=FILE).digest)
    other = payment_event(import_file="f" * 64)
    assert not other.has_content(payment_event(import_file=FILE).digest)


@pytest.mark.parametrize(
    ("key", "value", "stored"),
    [
        (None, None, "d8156bae0c4243d3"),
        (b"k", None, "8af45d88cf8d9898"),
        (None, b"v", "80734bd220e5ebf4"),
        (b"k", b"v", "d405ef57b3de51e4"),
        (b"x", b"v", "18a202aa36523492"),
    ],
)
def test_databases_keep_the_digest_of_a_record(
    key: bytes | None, value: bytes | None, stored: str
) -> None:
    """Another digest would tell the next start that the topic was made anew."""
    assert record_digest(key, value).hex().startswith(stored)
