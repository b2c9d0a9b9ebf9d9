"""The fine that the README follows: its event and its line are those that the service prints."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from service.core.events import ExportFine, FineCreated
from service.core.ledger import BatchKey, FineKey, Origin
from service.core.words import Status
from service.export.build import batch_of, line_of
from service.export.profiles.reading import parse_profiles
from service.export.xml.write import render
from service.messages.decode import parse
from service.messages.encode import encode_balance_changed
from tests.structure import reference
from tests.support.view_store import Store

README_LINES_MAX = 160
CUTOFF = datetime(2026, 10, 20, 4, tzinfo=UTC)
LINE = "10000000018"
(PROFILE,) = parse_profiles(reference.example_of_profiles(), reference.page_of("profiles")).profiles


def published() -> FineCreated:
    """The README's first record, as it is read."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "1",
        "ce_source": "/library",
        "ce_type": "org.bursar-bridge.fine-created.v1",
        "ce_time": "2026-10-01T09:00:00Z",
    }
    encoded = tuple((name, value.encode()) for name, value in headers.items())
    value = reference.example_in_readme("json").encode()
    event = parse("fine-created.v1", Origin("fines", 0, 0, None, value, encoded))
    assert isinstance(event, FineCreated), event
    return event


def test_the_event_in_the_readme_is_the_one_that_is_published() -> None:
    created = published()
    store = Store()
    store.fold(created)
    batch = BatchKey("101", PROFILE.code, 1)
    export = ExportFine(created.key, batch, LINE, PROFILE.terms, CUTOFF)
    (transaction,) = store.fold(export).transactions
    message = encode_balance_changed(transaction, CUTOFF + timedelta(seconds=2), "/bursar-bridge")
    assert message.value is not None
    assert json.loads(reference.example_in_readme("json", 1)) == json.loads(message.value)


def test_the_line_in_the_readme_is_the_one_that_is_printed() -> None:
    created = published()
    store = Store()
    store.fold(created)
    fine = store.fines[FineKey("101", "F-1")]
    lines = {"P-17": [line_of(fine, LINE, Status.TRANSFERRED, None)]}
    patrons = {("101", "P-17"): created.patron}
    batch = batch_of(PROFILE, CUTOFF, 100_000_000_000_001, 1, lines, patrons)
    shown = re.sub(r"\s*\n\s*", "", reference.example_in_readme("xml"))
    assert shown in render(batch).decode()


def test_the_readme_is_short() -> None:
    assert len(reference.README.read_text("utf-8").splitlines()) <= README_LINES_MAX
