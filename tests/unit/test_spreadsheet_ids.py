"""Ids that went through a spreadsheet are another line's nowhere, and are named where they come."""

import json

import pytest

from service.core.bursar_ids import bursar_id, fault_of_unknown_id
from service.core.events import BursarPayment, Rejection
from service.core.ledger import Origin
from service.core.words import Reason
from service.export.xml.read import read_import
from service.messages.decode import parse
from tests.support import answers, inputs
from tests.support.write_path import record

# As spreadsheets show a number of eleven or of sixteen digits, in English and in German.
SHOWN = ("1E+10", "1.E+10", "1.00E+10", "1,00E+10", "1.0000000018E+10", "1E+15", "1,00E+15", "1e15")


def payment_with(line: str) -> BursarPayment | Rejection:
    data = inputs.bursar_payment(bursar_transaction_id=line, fine_id=inputs.ABSENT)
    sent = record("bursar-payment.v1", data)
    event = parse(sent.contract, Origin(sent.contract, 0, 0, sent.key, sent.value, sent.headers))
    assert isinstance(event, BursarPayment | Rejection)
    return event


@pytest.mark.parametrize("text", SHOWN)
def test_a_rounded_id_in_a_payment_is_rejected_and_named(text: str) -> None:
    rejection = payment_with(text)
    assert isinstance(rejection, Rejection)
    assert rejection.reason is Reason.INVALID_SCHEMA
    assert rejection.detail.startswith("bursar_transaction_id: must match ")
    assert text not in rejection.detail


@pytest.mark.parametrize("text", SHOWN)
def test_a_rounded_id_in_an_answer_is_rejected_and_named(text: str) -> None:
    lines = [{"bursar_transaction_id": text, "reason": "unknown student"}]
    data = inputs.export_response(outcome="partial", refused_lines=lines)
    sent = record("export-response.v1", data)
    rejection = parse(
        sent.contract, Origin(sent.contract, 0, 0, sent.key, sent.value, sent.headers)
    )
    assert isinstance(rejection, Rejection)
    assert rejection.reason is Reason.INVALID_SCHEMA
    assert rejection.detail.startswith("refused_lines.0.bursar_transaction_id: must match ")


@pytest.mark.parametrize("text", SHOWN)
def test_a_rounded_id_in_a_file_is_a_bad_line_that_says_why(text: str) -> None:
    content = read_import(answers.document(answers.fine("10000000018"), answers.fine(text)))
    assert [paid.bursar_transaction_id for paid in content.lines] == ["10000000018"]
    (bad,) = content.bad
    assert (bad.n, bad.reason) == (2, Reason.INVALID_SCHEMA)
    assert bad.detail == (
        "bursarTransactionId: is a rounded number as spreadsheets write it: the column has to be"
        " text"
    )


def test_a_number_instead_of_a_text_is_rejected() -> None:
    """JSON that a spreadsheet's export writes: a number would lose digits elsewhere."""
    data = {**inputs.bursar_payment(fine_id=inputs.ABSENT), "bursar_transaction_id": 10000000018}
    sent = record("bursar-payment.v1", data)
    rejection = parse(
        sent.contract, Origin(sent.contract, 0, 0, sent.key, sent.value, sent.headers)
    )
    assert isinstance(rejection, Rejection)
    assert rejection.reason is Reason.INVALID_SCHEMA
    assert rejection.detail.startswith("bursar_transaction_id: ")
    assert "10000000018" not in rejection.detail
    assert json.loads(sent.value or b"")["bursar_transaction_id"] == 10000000018


@pytest.mark.parametrize("digits", [1, 5, 9, 10])
def test_an_id_of_which_digits_were_cut_off_is_no_id_of_any_line(digits: int) -> None:
    text = bursar_id(1_234_567_890)
    cut, zeros = text[:digits], text[:digits] + "0" * (len(text) - digits)
    assert fault_of_unknown_id(cut) is not None
    if zeros != text:
        assert fault_of_unknown_id(zeros) is not None


def test_fifteen_digits_as_a_spreadsheet_keeps_them_are_a_whole_id() -> None:
    text = bursar_id(1_234_567_890)
    assert f"{float(text):.15g}" == text
