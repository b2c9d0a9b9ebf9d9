"""The trace context of a record goes on with the event or the rejection (contracts.md, 0)."""

import json

import pytest

from service.core.events import Rejection
from service.core.words import Reason
from service.messages.decode import RECORD_BYTES_MAX, parse
from tests.support.enveloped import PAYMENT, binary_headers, with_headers
from tests.support.inputs import (
    ABSENT,
    TRACEPARENT,
    Headers,
    bursar_payment,
    record,
    structured,
    value_of,
)


@pytest.mark.parametrize(
    ("carried", "headers", "extension", "expected"),
    [
        (TRACEPARENT, (), None, TRACEPARENT),
        (None, (("traceparent", TRACEPARENT.encode()),), None, TRACEPARENT),
        (None, (), TRACEPARENT, TRACEPARENT),
        (None, (("traceparent", b"nonsense"),), None, None),
        (None, (), "nonsense", None),
        (None, (), 7, None),
        (TRACEPARENT, (), TRACEPARENT.replace("4b", "5c"), TRACEPARENT),
    ],
)
def test_the_trace_context_goes_on(
    carried: str | None, headers: Headers, extension: object, expected: str | None
) -> None:
    value, members = structured(PAYMENT, bursar_payment(), traceparent=extension)
    result = parse(PAYMENT, record(PAYMENT, value, (*members, *headers), traceparent=carried))
    assert not isinstance(result, Rejection)
    assert result.origin.traceparent == expected


@pytest.mark.parametrize(
    "fault",
    [
        {"data": bursar_payment(kind="gift")},
        {"id": ABSENT},
        {"specversion": "0.3"},
        {"type": "org.bursar-bridge.fine-created.v1"},
        {"datacontenttype": "application/xml"},
        {"data": ABSENT},
    ],
)
def test_the_trace_context_of_a_refused_event_goes_on_too(fault: dict[str, object]) -> None:
    value, headers = structured(PAYMENT, bursar_payment(), traceparent=TRACEPARENT)
    event = {**json.loads(value), **fault}
    sent = {name: text for name, text in event.items() if text is not ABSENT}
    result = parse(PAYMENT, record(PAYMENT, value_of(sent), headers))
    assert isinstance(result, Rejection)
    assert result.origin.traceparent == TRACEPARENT


def test_a_member_of_the_data_is_no_trace_context() -> None:
    data = value_of({**bursar_payment(kind="gift"), "traceparent": TRACEPARENT})
    result = with_headers(binary_headers(), data)
    assert isinstance(result, Rejection)
    assert result.origin.traceparent is None


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"{}", (), Reason.INVALID_ENVELOPE),
        (b"{}", binary_headers(content_type=b"text/plain"), Reason.INVALID_ENVELOPE),
        (b"{", binary_headers(), Reason.INVALID_JSON),
        (None, binary_headers(), Reason.INVALID_JSON),
        (b" " * (RECORD_BYTES_MAX + 1), binary_headers(), Reason.INVALID_SIZE),
    ],
)
def test_the_trace_context_of_a_record_that_is_refused_unread_goes_on_too(
    value: bytes | None, headers: Headers, reason: Reason
) -> None:
    members = (*headers, ("traceparent", TRACEPARENT.encode()))
    result = parse(PAYMENT, record(PAYMENT, value, members))
    assert isinstance(result, Rejection)
    assert (result.reason, result.origin.traceparent) == (reason, TRACEPARENT)
