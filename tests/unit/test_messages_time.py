"""The time of an event, and the bytes of a schema registry before it (contracts.md, 0)."""

from datetime import UTC, datetime, timedelta

import pytest

from service.core.events import BursarPayment, FineCreated, Rejection
from service.core.words import Reason
from service.messages.decode import RECORD_BYTES_MAX, parse
from service.operations.names import names_in
from tests.support.enveloped import PAYMENT, binary_headers, rejection, with_headers
from tests.support.inputs import (
    ABSENT,
    Headers,
    binary,
    bursar_payment,
    fine_created,
    record,
    structured,
    value_of,
)

FINE = "fine-created.v1"
REGISTRY = b"\x00\x00\x00\x00\x0c"
TIMESTAMP_MS = 1_788_253_205_512
STAMPED = datetime(2026, 9, 1, 9, tzinfo=UTC) + timedelta(seconds=5, milliseconds=512)


def snapshot_time(value: bytes, headers: Headers, timestamp_ms: int | None) -> datetime:
    result = parse(FINE, record(FINE, value, headers, timestamp_ms=timestamp_ms))
    assert isinstance(result, FineCreated), result
    return result.patron.seen_at


def without_time(value: bytes, headers: Headers) -> tuple[bytes, Headers]:
    return value, tuple(header for header in headers if header[0] != "ce_time")


NO_TIME = [
    without_time(*binary(FINE, fine_created())),
    structured(FINE, fine_created(), time=ABSENT),
    structured(FINE, fine_created(), time=None),
    (structured(FINE, fine_created(), time=ABSENT)[0], ()),
]


@pytest.mark.parametrize(("value", "headers"), NO_TIME)
def test_without_a_time_the_timestamp_of_the_record_counts(value: bytes, headers: Headers) -> None:
    assert snapshot_time(value, headers, TIMESTAMP_MS) == STAMPED
    assert snapshot_time(value, headers, 0) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("timestamp_ms", [None, -1])
def test_a_record_without_any_time_is_older_than_any_other(timestamp_ms: int | None) -> None:
    assert snapshot_time(*NO_TIME[0], timestamp_ms) == datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize("timestamp_ms", [2**63 - 1, 253_402_300_800_000])
def test_a_timestamp_beyond_all_calendars_is_the_last_instant(timestamp_ms: int) -> None:
    assert snapshot_time(*NO_TIME[0], timestamp_ms) == datetime.max.replace(tzinfo=UTC)


def test_a_time_that_is_given_counts_more_than_the_timestamp() -> None:
    value, headers = binary(FINE, fine_created(), time="2026-09-01T12:00:05+02:00")
    assert snapshot_time(value, headers, TIMESTAMP_MS) == datetime(2026, 9, 1, 10, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("time", [b"", b"yesterday", b"2026-09-01T10:00:05"])
def test_a_time_that_is_empty_or_malformed_is_no_missing_time(time: bytes) -> None:
    reason, detail = rejection(with_headers(binary_headers(ce_time=time)))
    assert (reason, detail.partition(":")[0]) == (Reason.INVALID_ENVELOPE, "ce_time")


# --- the bytes of a schema registry --------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (REGISTRY + value_of(bursar_payment()), binary_headers()),
        (REGISTRY + b" \r\n\t" + value_of(bursar_payment()), binary_headers()),
        (b"\x00\xff{[\x00" + value_of(bursar_payment()), binary_headers()),
        (REGISTRY + structured(PAYMENT, bursar_payment())[0], ()),
        (
            REGISTRY + structured(PAYMENT, bursar_payment())[0],
            (("content-type", b"application/cloudevents+json"),),
        ),
    ],
)
def test_the_bytes_of_a_schema_registry_are_passed_over(value: bytes, headers: Headers) -> None:
    result = with_headers(headers, value)
    assert isinstance(result, BursarPayment)
    assert result.key.id == "PAY-1"
    assert result.origin.value == value
    names = names_in(value)
    assert names is not None
    assert names.id == "PAY-1"


@pytest.mark.parametrize(
    "value",
    [
        REGISTRY,
        REGISTRY + b"[]",
        REGISTRY + b"1",
        REGISTRY + b"\x00" + value_of(bursar_payment()),
        REGISTRY + REGISTRY + value_of(bursar_payment()),
        REGISTRY[:4] + value_of(bursar_payment()),
        b"\x01" + REGISTRY[1:] + value_of(bursar_payment()),
        REGISTRY + b"{",
        b"\x00",
    ],
)
def test_other_bytes_before_an_object_are_no_json(value: bytes) -> None:
    assert rejection(with_headers(binary_headers(), value))[0] is Reason.INVALID_JSON


def test_a_rejected_record_keeps_the_bytes_of_the_registry_and_names_its_institution() -> None:
    value = REGISTRY + value_of(bursar_payment(kind="gift"))
    result = parse(PAYMENT, record(PAYMENT, value, binary_headers()))
    assert isinstance(result, Rejection)
    assert (result.reason, result.institution_id) == (Reason.INVALID_SCHEMA, "6050")
    assert result.origin.value == value


def test_the_bytes_of_a_schema_registry_count_as_bytes_of_the_record() -> None:
    value = REGISTRY + value_of(bursar_payment()).ljust(RECORD_BYTES_MAX - 4)
    assert rejection(with_headers(binary_headers(), value))[0] is Reason.INVALID_SIZE
    assert isinstance(with_headers(binary_headers(), value[:-1]), BursarPayment)
