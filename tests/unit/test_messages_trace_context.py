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
    value, own = structured(PAYMENT, bursar_payment(), traceparent=extension)
    found = parse(PAYMENT, record(PAYMENT, value, (*own, *headers), traceparent=carried))
    assert not isinstance(found, Rejection)
    assert found.origin.traceparent == expected


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
    value, own = structured(PAYMENT, bursar_payment(), traceparent=TRACEPARENT)
    event = {**json.loads(value), **fault}
    sent = {name: said for name, said in event.items() if said is not ABSENT}
    found = parse(PAYMENT, record(PAYMENT, value_of(sent), own))
    assert isinstance(found, Rejection)
    assert found.origin.traceparent == TRACEPARENT


def test_a_member_of_the_data_is_no_trace_context() -> None:
    data = value_of({**bursar_payment(kind="gift"), "traceparent": TRACEPARENT})
    found = with_headers(binary_headers(), data)
    assert isinstance(found, Rejection)
    assert found.origin.traceparent is None


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
    own = (*headers, ("traceparent", TRACEPARENT.encode()))
    found = parse(PAYMENT, record(PAYMENT, value, own))
    assert isinstance(found, Rejection)
    assert (found.reason, found.origin.traceparent) == (reason, TRACEPARENT)
