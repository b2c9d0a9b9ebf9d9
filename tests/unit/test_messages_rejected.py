"""Rejected records as they are published (contracts.md, 7)."""

import json

import pytest

from service.core.events import Rejection
from service.core.ledger import Origin
from service.core.words import Reason
from service.messages.encode import Message, encode_rejected
from tests.contracts import examples
from tests.support.inputs import TRACEPARENT, Headers
from tests.support.outgoing import RECORDED, SOURCE, headers_of

# --- rejected ------------------------------------------------------------------------------------


def rejected(
    value: bytes | None = b"\xff\x00",
    headers: Headers = (),
    key: bytes | None = b"6050/P-1",
    traceparent: str | None = None,
    is_another: bool = False,
) -> Message:
    origin = Origin("library.bursar-payment.v1", 3, 1042, key, value, headers, traceparent)
    rejection = Rejection(Reason.INVALID_JSON, "record: must be one JSON value", origin, "6050")
    return encode_rejected(rejection, RECORDED, SOURCE, is_another=is_another)


def header_faults(message: Message) -> list[str]:
    return examples.faults("rejected", json.dumps(headers_of(message)).encode())


def test_a_rejected_record_goes_out_as_it_came_with_the_reason_in_the_headers() -> None:
    message = rejected(
        headers=(("content-type", b"application/json"), ("ce_id", b"1"), ("secret", b"x")),
        traceparent=TRACEPARENT,
    )
    assert (message.key, message.value) == (b"6050/P-1", b"\xff\x00")
    assert header_faults(message) == []
    assert headers_of(message) == {
        "ce_specversion": "1.0",
        "ce_id": "library.bursar-payment.v1/3/1042",
        "ce_source": SOURCE,
        "ce_type": "org.bursar-bridge.rejected.v1",
        "ce_time": "2026-09-12T19:22:06.512345Z",
        "ce_subject": "6050",
        "ce_partitionkey": "6050/P-1",
        "content-type": "application/json",
        "traceparent": TRACEPARENT,
        "bursar-reason": "invalid_json",
        "bursar-detail": "record: must be one JSON value",
        "bursar-topic": "library.bursar-payment.v1",
        "bursar-partition": "3",
        "bursar-offset": "1042",
        "bursar-rejected-at": "2026-09-12T19:22:06.512345Z",
    }


def test_another_record_at_the_same_place_has_another_id() -> None:
    ids = {headers_of(rejected(value=value, is_another=True))["ce_id"] for value in (b"1", b"2")}
    assert len(ids | {headers_of(rejected())["ce_id"]}) == 3


def test_a_rejected_record_without_key_value_or_text_keeps_to_the_contract() -> None:
    for message in (
        rejected(value=None, key=None),
        rejected(key=b"\xff", headers=(("content-type", b"\xff"),)),
    ):
        assert header_faults(message) == []
        assert not {"ce_partitionkey", "content-type"} & headers_of(message).keys()
    assert rejected(value=None).value is None
    assert rejected(key=b"\xff").key == b"\xff"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(512 * 1024, 512 * 1024), (512 * 1024 + 1, 64 * 1024), (3 * 1024 * 1024, 64 * 1024)],
)
def test_of_a_value_over_512_kib_the_first_64_go_out(sent: int, kept: int) -> None:
    value = bytes(range(256)) * (sent // 256) + b"x" * (sent % 256)
    assert rejected(value=value).value == value[:kept]


def test_a_structured_event_is_rejected_in_binary_mode_all_the_same() -> None:
    message = rejected(headers=(("Content-Type", b"application/cloudevents+json; charset=UTF-8"),))
    assert headers_of(message)["content-type"] == "application/json"
