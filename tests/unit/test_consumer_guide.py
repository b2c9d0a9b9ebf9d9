"""The records that the consumer's guide shows are records that the service takes."""

import re
from pathlib import Path

import orjson

from service.core.events import BursarPayment, ExportResponse
from service.core.ledger import Origin
from service.messages.decode import parse
from service.messages.encode import TYPE_PREFIX

GUIDE = Path(__file__).parents[2] / "docs" / "consumer-guide.md"


def test_the_records_of_the_guide_are_sound() -> None:
    blocks = re.findall(r"```json\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    events = []
    for block in blocks:
        contract = orjson.loads(block)["type"].removeprefix(TYPE_PREFIX)
        events.append(parse(contract, Origin(contract, 0, 0, None, block.encode())))
    assert {type(event) for event in events} == {BursarPayment, ExportResponse}
