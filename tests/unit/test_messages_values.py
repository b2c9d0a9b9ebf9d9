"""Amounts, times and numbers of a record as core values (contracts.md, 1-4)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.events import Rejection
from service.core.money import format_minor
from service.messages.decode import parse
from tests.support.inputs import binary, bursar_payment, export_response, fine_created, record
from tests.support.reading import fine, payment, rejection, response

CREATED = datetime(2026, 9, 1, 10, tzinfo=UTC)


# --- value rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("95.50", "USD", 95_50),
        ("95.5", "USD", 95_50),
        ("95", "USD", 95_00),
        ("0.01", "USD", 1),
        ("9999999999.99", "EUR", 999_999_999_999),
        ("300", "JPY", 300),
        ("1.234", "KWD", 1_234),
        ("1.2", "KWD", 1_200),
    ],
)
def test_an_amount_is_minor_units_of_its_currency(amount: str, currency: str, minor: int) -> None:
    assert fine(amount=amount, currency=currency).facts.amount == minor
    assert fine(type="CREDIT", amount=f"-{amount}", currency=currency).facts.amount == -minor
    assert payment(amount=amount, currency=currency).amount == minor


@given(st.sampled_from(["JPY", "USD", "KWD"]), st.integers(1, 10**10 - 1))
def test_what_is_printed_is_read_back(currency: str, minor: int) -> None:
    assert payment(amount=format_minor(minor, currency), currency=currency).amount == minor


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("2026-09-01T10:00:00Z", CREATED),
        ("2026-09-01t10:00:00z", CREATED),
        ("2026-09-01T12:00:00+02:00", CREATED),
        ("2026-08-31T22:30:00-11:30", CREATED),
        ("2026-09-01T10:00:00-00:00", CREATED),
        ("2026-09-01T10:00:00.5Z", CREATED + timedelta(milliseconds=500)),
        ("2026-09-01T10:00:00.1234569Z", CREATED + timedelta(microseconds=123_456)),
        ("2026-09-01T10:00:00.9999999999Z", CREATED + timedelta(microseconds=999_999)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_time_is_an_instant_in_utc(sent: str, read_as: datetime) -> None:
    result = fine(created_at=sent).facts.created_at
    assert result == read_as
    assert result.tzinfo is UTC


@pytest.mark.parametrize(
    "sent",
    [
        *("2026-09-01T10:00:00", "2026-09-01 10:00:00Z", "2026-09-01", "20260901T100000Z"),
        *("2026-09-01T10:00:60Z", "2026-12-31T23:59:60Z", "2026-09-01T24:00:00Z"),
        *("2026-02-29T10:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01"),
        *("9999-12-31T23:59:59-00:01", "2026-09-01T10:00:00+24:00", "2026-09-01T10:00:00+0200"),
        *("2026-09-01T10:00:00.Z", "2026-09-01T10:00:00,5Z", "2026-09-01T10:00:00Z\n", ""),
        *("２026-09-01T10:00:00Z", "2026-09-01T10:00:00+02:60", "2026-W36-2T10:00:00Z"),
        *(f"2026-09-01T10:00:00.{'1' * 60}Z", 1_788_253_200, None, ["2026"]),
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(sent: object) -> None:
    reason, detail = rejection("fine-created.v1", fine_created(created_at=sent))
    assert reason == "invalid_schema"
    assert detail == "created_at: must be an RFC 3339 date and time with offset"


ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda at: timezone(timedelta(minutes=at)))


AWARE = st.datetimes(timezones=ZONES).filter(lambda time: 1 < time.year < 9999)


@given(AWARE)
def test_an_offset_changes_how_a_time_is_written_and_nothing_else(aware: datetime) -> None:
    assert payment(paid_at=aware.isoformat()).paid_at == aware


@pytest.mark.parametrize(
    ("sent", "number"), [(1, 1), (1.0, 1), (2**63 - 1, 2**63 - 1), (12e3, 12_000)]
)
def test_a_batch_number_is_any_json_integer(sent: object, number: int) -> None:
    assert response(batch_number=sent).batch.batch_number == number


@pytest.mark.parametrize("sent", [0, -1, 1.5, 2**63, 1e300, True, "1", None, [1]])
def test_a_batch_number_is_nothing_else(sent: object) -> None:
    reason, detail = rejection("export-response.v1", export_response(batch_number=sent))
    assert reason == "invalid_schema"
    assert detail.startswith("batch_number: must be a whole number from 1")


@pytest.mark.parametrize(
    "number",
    ["1e99999999999999999999", "1e-99999999999999999999", "1e400", "1" * 5_000, "-" + "1" * 5_000],
)
def test_a_number_beyond_all_bounds_is_refused_like_another(number: str) -> None:
    value, headers = binary("export-response.v1", export_response(batch_number="%"))
    value = value.replace(b'"%"', number.encode())
    result = parse("export-response.v1", record("export-response.v1", value, headers))
    assert isinstance(result, Rejection)
    assert result.detail.startswith("batch_number: must be a whole number from 1")


# --- bursar transaction ids ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("00001000000000000001", "1000000000000001"),
        ("1000000000000001", "1000000000000001"),
        ("007", "7"),
        ("0", "0"),
        ("0" * 20, "0"),
        ("9" * 20, "9" * 20),
    ],
)
def test_leading_zeros_of_a_bursar_id_do_not_count(sent: str, read_as: str) -> None:
    padded = payment(bursar_transaction_id=sent)
    assert padded.bursar_transaction_id == read_as
    assert padded.digest == payment(bursar_transaction_id=read_as).digest
    lines = [{"bursar_transaction_id": sent, "reason": "no"}]
    assert response(outcome="partial", refused_lines=lines).refused_lines == ((read_as, "no"),)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "0" * 21,
        "1" * 21,
        " 42",
        "42 ",
        "4 2",
        "-42",
        "1E+15",
        "1,00E+15",
        "\u0664\u0662",
        "42.0",
    ],
)
def test_what_is_no_number_of_a_line_is_refused(sent: str) -> None:
    fault = rejection("bursar-payment.v1", bursar_payment(bursar_transaction_id=sent))
    rule = "must match ^[0-9]{1,20}$"
    assert fault == ("invalid_schema", f"bursar_transaction_id: {rule}")
    lines = [{"bursar_transaction_id": sent, "reason": "no"}]
    partial = export_response(outcome="partial", refused_lines=lines)
    assert rejection("export-response.v1", partial) == (
        "invalid_schema",
        f"refused_lines.0.bursar_transaction_id: {rule}",
    )
