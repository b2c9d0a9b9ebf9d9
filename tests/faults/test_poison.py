"""Every bad record that is known comes through Kafka, among sound ones and in whole polls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from random import Random

import pytest

from tests.faults.stage import SEED, Stage
from tests.fuzz.corpus import BadRecord, bad_records
from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import FineId
from tests.support.load import Load
from tests.support.load_events import Event

EVENTS = 1_800
POLL_RECORDS_MAX = 50  # so that whole polls have nothing but bad records
TIMES = 2


@cache
def corpus() -> tuple[Event, ...]:
    """The corpus of the fuzzer, without the record that the producer of these tests cannot write:
    the name of its header is not UTF-8.

    Such names come in `tests/end_to_end/intake/test_header_names.py`, and records of 10 MB in
    `tests/end_to_end/intake/test_records.py`; the same identity with other content is in the load.
    """
    records = [record for record in bad_records() if _has_texts_as_names(record)]
    assert len(records) == len(bad_records()) - 1
    return tuple(
        Event(each.contract, f"bad-{number}", None, each.value, each.reason, each.headers)
        for number, each in enumerate(records)
    )


def _has_texts_as_names(record: BadRecord) -> bool:
    return all(name.isprintable() for name, _ in record.headers)


class PoisonedLoad(Load):
    """A load whose first half has the corpus among its events, and whose second half has it as one
    run.
    """

    def first_half(self, count: int) -> list[Event]:
        """The events keep their order, and bad records come at random between them."""
        places, events = Random(SEED), super().first_half(count)
        for record in corpus():
            events.insert(places.randrange(len(events)), record)
        return events

    def second_half(self, count: int, model: Model, batches: Mapping[FineId, Data]) -> list[Event]:
        """The run begins behind the first third, of which the fault is in the middle."""
        events = super().second_half(count, model, batches)
        begin = len(events) // 3
        return [*events[:begin], *corpus(), *events[begin:]]


@pytest.mark.slow
@pytest.mark.parametrize(
    (),
    [
        pytest.param(marks=pytest.mark.fault("poison")),
        pytest.param(marks=pytest.mark.fault("poison-processes", processes=2)),
    ],
)
async def test_bad_records_of_every_kind_are_rejected_for_their_reasons_and_stop_nobody(
    stage: Stage,
) -> None:
    """There are fewer bad records than stop a topic by default."""
    stage.load = PoisonedLoad(Random(SEED))
    await stage.start("one", "two", settings={"BURSAR_POLL_RECORDS_MAX": str(POLL_RECORDS_MAX)})

    async def come_upon_it() -> None:
        stage.row.count("bad record", len(corpus()))
        await stage.until_progress()

    await stage.under_load(come_upon_it, EVENTS)
    expected = {(record.place, str(record.reason)): TIMES for record in corpus()}
    assert await rejected(stage) == expected
    assert await stage.site.rows("SELECT * FROM intake_stop") == []
    assert stage.row.restarts == 0


async def rejected(stage: Stage) -> Counter[tuple[str, str]]:
    """How often a record of the corpus was rejected for a reason, by its key and the reason."""
    rows = await stage.site.rows("SELECT record_key, reason FROM rejected")
    named = [(row["record_key"], str(row["reason"])) for row in rows]
    return Counter(
        (key.decode(), reason)
        for key, reason in named
        if isinstance(key, bytes) and key.startswith(b"bad-")
    )
