"""Records as a library system or an ERP would write them, for tests and the demo.

`contract` is the topic without its prefix, as in `parse`: "fine-created.v1".
"""

import json
from typing import Final

from service.core.ledger import Origin

Data = dict[str, object]
Headers = tuple[tuple[str, bytes], ...]


class _Absent:
    """Leaves a member out: `fine_created(owner=ABSENT)`."""


ABSENT: Final = _Absent()

EVENT_TIME = "2026-09-01T10:00:05Z"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def fine_created(**overrides: object) -> Data:
    """An overdue fine of 95.50 USD."""
    return _with(
        overrides,
        institution_id="6050",
        fine_id="F-1",
        patron={
            "patron_id": "P-1",
            "name": "Doe, Jane",
            "user_group": "STUDENT",
            "identifiers": [{"type": "02", "value": "A1234567"}],
        },
        type="OVERDUEFINE",
        amount="95.50",
        currency="USD",
        owner={"library_id": "5867", "library_code": "MAIN", "library_name": "Main Library"},
        created_at="2026-09-01T10:00:00Z",
        comment="Returned late",
        loan_id="L-1",
        item={"title": "Algorithms", "due_date": "2026-08-25T03:59:00Z", "barcode": "3903"},
    )


def fine_changed(**overrides: object) -> Data:
    """10.00 USD of it paid at the desk."""
    return _with(
        overrides,
        institution_id="6050",
        source="ALMA",
        change_id="C-1",
        fine_id="F-1",
        kind="paid",
        amount="10.00",
        currency="USD",
        changed_at="2026-09-02T10:00:00Z",
    )


def bursar_payment(**overrides: object) -> Data:
    """The fine paid at the bursar, in full."""
    return _with(
        overrides,
        institution_id="6050",
        source="SAP",
        payment_id="PAY-1",
        kind="payment",
        fine_id="F-1",
        amount="95.50",
        currency="USD",
        paid_at="2026-10-01T08:00:00Z",
    )


def export_response(**overrides: object) -> Data:
    """Batch 1 of the profile, accepted."""
    return _with(
        overrides,
        institution_id="6050",
        source="SAP",
        response_id="R-1",
        profile="bursar",
        batch_number=1,
        outcome="accepted",
        responded_at="2026-09-15T08:00:00Z",
    )


def _with(overrides: Data, **members: object) -> Data:
    return {name: value for name, value in (members | overrides).items() if value is not ABSENT}


def value_of(data: object) -> bytes:
    """JSON in UTF-8; in ASCII if a text has a lone surrogate, which can only be escaped."""
    try:
        return json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(data).encode()


def attributes(contract: str, time: str = EVENT_TIME) -> dict[str, str]:
    """The required attributes of an event."""
    return {
        "specversion": "1.0",
        "id": "event-1",
        "source": "urn:test",
        "type": f"org.bursar-bridge.{contract}",
        "time": time,
    }


def binary(contract: str, data: object, time: str = EVENT_TIME) -> tuple[bytes, Headers]:
    """Value and headers; bytes are taken as they are."""
    named = attributes(contract, time).items()
    headers = (*((f"ce_{name}", value.encode()) for name, value in named),)
    value = data if isinstance(data, bytes) else value_of(data)
    return value, (*headers, ("content-type", b"application/json"))


def structured(contract: str, data: object, **extensions: object) -> tuple[bytes, Headers]:
    """Value and headers; `extensions` are further attributes, ABSENT takes one away."""
    event = _with(extensions, **attributes(contract), data=data)
    return value_of(event), (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


def record(
    contract: str,
    value: bytes | None,
    headers: Headers = (),
    traceparent: str | None = None,
    offset: int = 7,
    timestamp_ms: int | None = None,
) -> Origin:
    """As intake hands it over."""
    topic = f"library.{contract}"
    return Origin(topic, 0, offset, b"key", value, headers, traceparent, timestamp_ms)
