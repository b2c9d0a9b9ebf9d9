"""A published message, opened and compared with the schema of its contract."""

import json
from datetime import UTC, datetime
from typing import Any

from service.messages.encode import Message
from tests.contracts import examples

SOURCE = "urn:bursar-bridge"
RECORDED = datetime(2026, 9, 12, 19, 22, 6, 512_345, tzinfo=UTC)
OCCURRED = datetime(2026, 9, 12, 19, 22, 6, tzinfo=UTC)


def body(message: Message) -> Any:  # Any: JSON, as a reader sees it
    assert message.value is not None
    return json.loads(message.value)


def headers_of(message: Message) -> dict[str, str]:
    named = {name: value.decode() for name, value in message.headers}
    assert len(named) == len(message.headers), "a header given twice"
    return named


def sound(name: str, message: Message) -> Any:
    assert message.value is not None
    assert examples.faults(name, message.value) == []
    return body(message)
