"""The envelope: CloudEvents in binary and structured mode, strict JSON, size (contracts.md, 0)."""

from datetime import UTC, datetime

import pytest

from service.core.events import BursarPayment, FineCreated, Rejection
from service.core.words import Reason
from service.messages.decode import RECORD_BYTES_MAX, parse
from tests.support.enveloped import PAYMENT, binary_headers, rejection, with_headers
from tests.support.inputs import (
    ABSENT,
    TRACEPARENT,
    Headers,
    binary,
    bursar_payment,
    fine_created,
    record,
    structured,
    value_of,
)

FINE = "fine-created.v1"


JSON_EVENT = b"application/cloudevents+json"


@pytest.mark.parametrize(
    "headers",
    [
        binary_headers(),
        binary_headers(content_type=None),
        binary_headers(content_type=b""),
        binary_headers(content_type=b"application/json; charset=utf-8"),
        binary_headers(content_type=b"APPLICATION/JSON"),
        binary_headers(content_type=b"application/vnd.sap.fi+json;v=1"),
        binary_headers(ce_subject=b"6050", ce_anything=b"\xff", other=b"x"),
        binary_headers(ce_time=b"2026-09-01t10:00:05.123456789+02:00"),
        binary_headers(ce_time=None),
        (*binary_headers(content_type=None), ("Content-Type", b"application/json")),
        (*binary_headers(), ("other", b"1"), ("other", b"2")),
    ],
)
def test_binary_mode_is_read(headers: Headers) -> None:
    assert isinstance(with_headers(headers), BursarPayment)


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        *(
            (binary_headers(**{f"ce_{name}": None}), f"ce_{name}: is required")
            for name in ("specversion", "id", "source", "type")
        ),
        *(
            (
                binary_headers(**{f"ce_{name}": b""}),
                f"ce_{name}: must be a string that is not empty",
            )
            for name in ("specversion", "id", "source", "type", "time")
        ),
        (binary_headers(ce_specversion=b"0.3"), "ce_specversion: must be 1.0"),
        (binary_headers(ce_id=b"\xff"), "ce_id: must be UTF-8"),
        (
            binary_headers(ce_type=b"org.bursar-bridge.fine-created.v1"),
            "ce_type: must be org.bursar-bridge.bursar-payment.v1",
        ),
        (
            binary_headers(ce_type=b"org.bursar-bridge.bursar-payment.v2"),
            "ce_type: must be org.bursar-bridge.bursar-payment.v1",
        ),
        (
            binary_headers(ce_time=b"2026-09-01T10:00:05"),
            "ce_time: must be an RFC 3339 date and time with offset",
        ),
        (binary_headers(content_type=b"text/plain"), "content-type: must be JSON"),
        (binary_headers(content_type=b"application/xml"), "content-type: must be JSON"),
        (binary_headers(content_type=b"application/jsonx"), "content-type: must be JSON"),
        (binary_headers(content_type=b"json"), "content-type: must be JSON"),
        (binary_headers(content_type=b"\xff\xfe"), "content-type: must be JSON"),
        (
            binary_headers(content_type=b"application/cloudevents-batch+json"),
            "content-type: must be that of a single event",
        ),
        ((*binary_headers(), ("ce_id", b"2")), "ce_id: must not be given twice"),
        (
            (*binary_headers(), ("Content-Type", b"application/json")),
            "content-type: must not be given twice",
        ),
        ((("CE_ID", b"1"), ("x", b"")), "ce_specversion: is required"),
        ((), "ce_specversion: is required"),
    ],
)
def test_a_wrong_envelope_in_binary_mode_is_refused(headers: Headers, detail: str) -> None:
    assert rejection(with_headers(headers)) == (Reason.INVALID_ENVELOPE, detail)


@pytest.mark.parametrize(
    "headers",
    [
        (("content-type", JSON_EVENT),),
        (("content-type", JSON_EVENT + b"; charset=UTF-8"),),
        (("Content-Type", b"Application/CloudEvents+JSON"),),
        (),
        (("traceparent", TRACEPARENT.encode()),),
        (("content-type", JSON_EVENT), ("ce_type", b"org.example.other")),
    ],
)
@pytest.mark.parametrize(
    "extensions",
    [
        {},
        {"datacontenttype": "application/json"},
        {"datacontenttype": None},
        {"datacontenttype": "application/json; charset=utf-8"},
        {"subject": "6050", "unknown": {"a": [1.5]}, "dataschema": 7},
    ],
)
def test_structured_mode_is_read(headers: Headers, extensions: dict[str, object]) -> None:
    value, _ = structured(PAYMENT, bursar_payment(), **extensions)
    assert isinstance(with_headers(headers, value), BursarPayment)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        *(
            ({name: ABSENT}, f"{name}: is required")
            for name in ("specversion", "id", "source", "type", "data")
        ),
        *(({name: None}, f"{name}: is required") for name in ("specversion", "id")),
        ({"time": ""}, "time: must be a string that is not empty"),
        ({"time": 1_788_253_200}, "time: must be a string that is not empty"),
        ({"id": 1}, "id: must be a string that is not empty"),
        ({"source": ""}, "source: must be a string that is not empty"),
        ({"specversion": "0.3"}, "specversion: must be 1.0"),
        (
            {"type": "org.bursar-bridge.fine-created.v1"},
            "type: must be org.bursar-bridge.bursar-payment.v1",
        ),
        ({"time": "yesterday"}, "time: must be an RFC 3339 date and time with offset"),
        ({"datacontenttype": "application/xml"}, "datacontenttype: must be JSON"),
        ({"datacontenttype": 1}, "datacontenttype: must be a string"),
        ({"data": ABSENT, "data_base64": "e30="}, "data: is required"),
    ],
)
def test_a_wrong_envelope_in_structured_mode_is_refused(
    changes: dict[str, object], detail: str
) -> None:
    rest = {name: value for name, value in changes.items() if name != "data"}
    value, headers = structured(PAYMENT, changes.get("data", bursar_payment()), **rest)
    assert rejection(with_headers(headers, value)) == (Reason.INVALID_ENVELOPE, detail)


def test_structured_mode_without_an_object_has_no_envelope() -> None:
    headers = (("content-type", JSON_EVENT),)
    detail = "record: must be an object in structured mode"
    assert rejection(with_headers(headers, b"[]")) == (Reason.INVALID_ENVELOPE, detail)


def test_a_body_with_specversion_is_data_where_headers_make_it_binary_mode() -> None:
    value, _ = structured(PAYMENT, bursar_payment())
    reason, detail = rejection(with_headers(binary_headers(), value))
    assert (reason, detail) == (Reason.INVALID_SCHEMA, "institution_id: is required")
    reason, _ = rejection(with_headers((("content-type", b"application/json"),), value))
    assert reason is Reason.INVALID_ENVELOPE


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (None, binary_headers(), Reason.INVALID_JSON),
        (None, (), Reason.INVALID_JSON),
        (None, (("content-type", JSON_EVENT),), Reason.INVALID_JSON),
        (b"", binary_headers(), Reason.INVALID_JSON),
        (b"{", (), Reason.INVALID_JSON),
        (b"{", binary_headers(ce_id=None), Reason.INVALID_ENVELOPE),
        (b"\xef\xbb\xbf{}", binary_headers(), Reason.INVALID_JSON),
        (b"{" + b" " * RECORD_BYTES_MAX, binary_headers(ce_id=None), Reason.INVALID_SIZE),
        (b"{" + b" " * (RECORD_BYTES_MAX - 1), binary_headers(), Reason.INVALID_JSON),
    ],
)
def test_size_comes_first_then_the_envelope_then_the_json(
    value: bytes | None, headers: Headers, reason: Reason
) -> None:
    assert rejection(parse(PAYMENT, record(PAYMENT, value, headers)))[0] is reason


def test_the_patron_was_seen_when_the_event_says() -> None:
    value, headers = binary(FINE, fine_created(), time="2026-09-01T12:00:05.5+02:00")
    result = parse(FINE, record(FINE, value, headers))
    assert isinstance(result, FineCreated)
    assert result.patron.seen_at == datetime(2026, 9, 1, 10, 0, 5, 500_000, tzinfo=UTC)
    assert result.patron.seen_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "headers", "institution"),
    [
        (value_of(bursar_payment(kind="gift")), binary_headers(), "6050"),
        (value_of(bursar_payment()), binary_headers(ce_id=None), "6050"),
        (structured(PAYMENT, bursar_payment(), id=ABSENT)[0], (), "6050"),
        (value_of(bursar_payment(institution_id="06050")), binary_headers(), None),
        (value_of(bursar_payment(institution_id=6050)), binary_headers(), None),
        (b"[]", binary_headers(), None),
        (b'{"institution_id": "6050"', binary_headers(), None),
    ],
)
def test_a_refused_record_names_its_institution_if_it_can_be_read(
    value: bytes, headers: Headers, institution: str | None
) -> None:
    result = parse(PAYMENT, record(PAYMENT, value, headers))
    assert isinstance(result, Rejection)
    assert result.institution_id == institution


SECRET = "Ana-García-39031"


@pytest.mark.parametrize(
    "data",
    [
        fine_created(amount=SECRET),
        fine_created(currency=SECRET),
        fine_created(created_at=SECRET),
        fine_created(institution_id=SECRET),
        fine_created(patron=SECRET),
        fine_created(patron={SECRET: 1}),
        fine_created(exportable=SECRET),
        fine_created(loan_id=SECRET + "\x00"),
        fine_created(fine_id="bb-" + SECRET),
        {SECRET: SECRET},
        SECRET,
        f'{{"{SECRET}": 1, "{SECRET}": 2}}'.encode(),
        f'{{"{SECRET}": {SECRET}}}'.encode(),
    ],
)
def test_a_detail_names_field_and_rule_and_never_the_value_or_an_unknown_key(data: object) -> None:
    value, headers = binary(FINE, data)
    _, detail = rejection(parse(FINE, record(FINE, value, headers)))
    assert ": " in detail
    assert not any(part in detail for part in ("Ana", "García", "39031"))


def test_reading_the_kept_record_again_gives_the_same_event() -> None:
    value, headers = structured(PAYMENT, bursar_payment(), traceparent=TRACEPARENT)
    first = parse(PAYMENT, record(PAYMENT, value, headers))
    assert isinstance(first, BursarPayment)
    assert parse(PAYMENT, first.origin) == first


def test_a_header_name_that_is_not_utf_8_is_refused() -> None:
    """The Kafka reader hands out such a name with a lone surrogate for each bad byte."""
    headers = (*binary_headers(), (b"n\xff".decode(errors="surrogateescape"), b"x"))
    rule = "headers: names must be in UTF-8"
    assert rejection(with_headers(headers)) == (Reason.INVALID_ENVELOPE, rule)
