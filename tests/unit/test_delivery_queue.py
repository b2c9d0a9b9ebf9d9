"""Which batch is delivered next, whatever order and however often the records come."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.delivery.queue import Queue, ReadyBatch
from service.delivery.records import BatchRecord, RecordKind
from service.delivery.state import Chain, Last, Place

DAILY, WEEKLY = "972/DAILY", "972/WEEKLY"


B, M = RecordKind.BATCH, RecordKind.MANIFEST


def record(kind: RecordKind, number: int, offset: int, key: str = DAILY) -> BatchRecord:
    return BatchRecord(key, number, kind, Place(0, offset), b"x" * number)


def both(number: int, offset: int, key: str = DAILY) -> list[BatchRecord]:
    return [record(kind, number, offset, key) for kind in RecordKind]


def taken(queue: Queue, records: Sequence[BatchRecord]) -> list[tuple[str, int, bool]]:
    """Every batch that is due after each record, delivered at once."""
    done = []
    for item in records:
        queue.take(item)
        while (due := queue.ready()) is not None:
            queue.delivered(due, f"sha-{due.batch_number}")
            done.append((due.key, due.batch_number, due.was_delivered))
    return done


def due_of(queue: Queue) -> ReadyBatch:
    due = queue.ready()
    assert due is not None
    return due


def test_a_batch_is_due_when_document_and_manifest_are_there_in_either_order() -> None:
    for order in (both(1, 0), both(1, 0)[::-1]):
        queue = Queue({}, {})
        queue.take(order[0])
        assert queue.ready() is None
        queue.take(order[1])
        due = due_of(queue)
        assert (due.document.kind, due.manifest.kind, due.was_delivered) == (B, M, False)


def test_a_profile_begins_with_batch_1_and_goes_on_number_by_number() -> None:
    queue = Queue({}, {})
    assert taken(queue, both(1, 0) + both(2, 1) + both(3, 2)) == [
        (DAILY, n, False) for n in (1, 2, 3)
    ]
    assert queue.chains[DAILY].last == Last(3, "sha-3", Place(0, 2), Place(0, 2))


def test_a_gap_stops_its_profile_and_no_other() -> None:
    queue = Queue({}, {})
    records = both(1, 0) + both(3, 1) + both(1, 2, WEEKLY) + both(4, 3)
    assert taken(queue, records) == [(DAILY, 1, False), (WEEKLY, 1, False)]
    assert queue.standstills[DAILY].text == "batch_number: 2 is missing before 3"
    assert queue.standstills.keys() == {DAILY}
    assert queue.first_unfinished(B) == queue.first_unfinished(M) == {0: 1}


def test_the_missing_batch_opens_the_way_and_what_was_passed_over_is_read_again() -> None:
    queue = Queue({}, {})
    taken(queue, both(1, 0) + both(3, 1) + both(4, 2))
    for item in both(2, 3):
        queue.take(item)
    assert queue.standstills == {}
    assert queue.delivered(due_of(queue), "sha-2") == {B: {0: 1}, M: {0: 1}}
    assert taken(queue, both(3, 1) + both(4, 2) + both(2, 3)) == [
        (DAILY, 3, False),
        (DAILY, 4, False),
    ]


def test_what_lies_before_a_gap_goes_out_however_much_was_read_at_once() -> None:
    queue = Queue({}, {})
    for item in both(1, 0) + both(2, 1) + both(4, 2) + both(5, 3):
        queue.take(item)
    assert taken(queue, [record(B, 6, 4)]) == [(DAILY, 1, False), (DAILY, 2, False)]
    assert queue.standstills[DAILY].text == "batch_number: 3 is missing before 4"
    assert queue.first_unfinished(B) == queue.first_unfinished(M) == {0: 2}


def test_a_missing_batch_may_come_before_those_before_it_are_delivered() -> None:
    queue = Queue({}, {})
    for item in both(1, 0) + both(2, 1) + both(4, 2) + both(3, 3):
        queue.take(item)
    assert queue.delivered(due_of(queue), "sha-1") == {B: {0: 2}, M: {0: 2}}
    assert taken(queue, both(4, 2) + both(3, 3)) == [(DAILY, n, False) for n in (2, 3, 4)]


def test_half_of_the_missing_batch_opens_nothing() -> None:
    queue = Queue({}, {})
    taken(queue, both(1, 0) + both(3, 1))
    queue.take(record(B, 2, 2))
    assert queue.ready() is None
    assert queue.standstills.keys() == {DAILY}


def test_a_manifest_that_never_came_is_a_gap_too() -> None:
    queue = Queue({}, {})
    assert taken(queue, [record(B, 1, 0), *both(2, 1)]) == []
    assert queue.standstills[DAILY].text == "batch_number: 1 is missing before 2"
    assert queue.first_unfinished(B) == {0: 0}
    assert queue.first_unfinished(M) == {0: 1}


def test_a_refused_batch_is_tried_again_when_it_comes_anew() -> None:
    queue = Queue({}, {})
    for item in both(1, 0) + both(2, 1):
        queue.take(item)
    queue.undeliverable(due_of(queue), "sha256: differs")
    assert queue.ready() is None
    assert queue.first_unfinished(B) == {0: 0}
    queue.take(record(B, 1, 2))
    assert due_of(queue).document.place == Place(0, 2)
    assert queue.delivered(due_of(queue), "sha-1") == {B: {0: 1}, M: {0: 1}}


def test_a_batch_that_comes_again_is_told_apart_and_holds_nothing() -> None:
    queue = Queue({}, {})
    taken(queue, both(1, 0) + both(2, 1))
    assert taken(queue, both(1, 2)) == [(DAILY, 1, True)]
    queue.take(record(M, 2, 3))
    assert queue.first_unfinished(M) == {}
    assert queue.chains[DAILY].last.batch_number == 2


def test_what_was_delivered_before_a_restart_is_not_delivered_again() -> None:
    chain = Chain(Last(2, "sha-2", Place(0, 7), Place(0, 9)))
    queue = Queue({DAILY: chain}, {})
    assert taken(queue, [record(B, 1, 6), record(M, 1, 8), record(B, 2, 7), record(M, 2, 9)]) == []
    assert taken(queue, [record(B, 3, 8), record(M, 3, 10)]) == [(DAILY, 3, False)]


@pytest.mark.parametrize(("last", "result", "first"), [(0, 5, 5), (2, 5, 5), (6, 5, 7), (4, 5, 5)])
def test_continue_at_leads_forward_alone(last: int, result: int, first: int) -> None:
    chains = {DAILY: Chain(Last(last, "sha", Place(0, 0), Place(0, 0)))} if last else {}
    queue = Queue(chains, {"DAILY": result})
    for number in range(last + 1, last + 8):
        for item in both(number, number):
            queue.take(item)
    due = due_of(queue)
    new = [due] if not due.was_delivered else []
    while due.was_delivered:
        queue.delivered(due, "sha")
        due = due_of(queue)
        new = [due]
    assert [item.batch_number for item in new] == [first]
    is_known = last + 1 == first and last > 0
    assert (due.chain.last.sha256 == "sha") is is_known


@given(st.data())
def test_any_interleaving_with_repeats_delivers_each_batch_once_in_order(
    data: st.DataObject,
) -> None:
    """The two topics each in their order, records repeated as by a relay that died."""
    topics = {kind: _with_repeats(data, kind) for kind in RecordKind}
    queue, done = Queue({}, {}), []
    while any(topics.values()):
        kind = data.draw(st.sampled_from([kind for kind in RecordKind if topics[kind]]))
        done += taken(queue, [topics[kind].pop(0)])
    assert [number for _, number, again in done if not again] == [1, 2, 3, 4]
    assert queue.standstills == {}
    assert queue.first_unfinished(B) == queue.first_unfinished(M) == {}


def _with_repeats(data: st.DataObject, kind: RecordKind) -> list[BatchRecord]:
    numbers: list[int] = []
    for number in range(1, 5):
        numbers.append(number)
        back = data.draw(st.integers(0, 2))
        numbers += range(max(1, number - back + 1), number + 1) if back else []
    return [record(kind, number, offset) for offset, number in enumerate(numbers)]


class Reader:
    """Both topics of one partition, read with rewinds and restarts as a delivery does."""

    def __init__(self, topics: dict[RecordKind, list[BatchRecord]]) -> None:
        self.topics = topics
        self.at = dict.fromkeys(RecordKind, 0)
        self.queue = Queue({}, {})
        self.done: list[tuple[str, int]] = []
        self.again: list[tuple[str, int]] = []

    def unread(self) -> list[RecordKind]:
        return [kind for kind in RecordKind if self.at[kind] < len(self.topics[kind])]

    def read(self, kind: RecordKind, records: int) -> None:
        """A poll, then whatever is due."""
        for topic in self.topics[kind][self.at[kind] : self.at[kind] + records]:
            self.queue.take(topic)
            self.at[kind] += 1
        while (due := self.queue.ready()) is not None:
            rewound = self.queue.delivered(due, f"sha-{due.batch_number}")
            for behind, offsets in rewound.items():
                self.at[behind] = min(self.at[behind], offsets[0])
            (self.again if due.was_delivered else self.done).append((due.key, due.batch_number))

    def restart(self) -> None:
        """With what the state keeps."""
        held = {kind: self.queue.first_unfinished(kind) for kind in RecordKind}
        self.at = {kind: min(at, held[kind].get(0, at)) for kind, at in self.at.items()}
        self.queue = Queue(self.queue.chains, {})


NAMES = [(key, number) for number in range(1, 6) for key in (DAILY, WEEKLY)]


TURNS = st.lists(
    st.tuples(st.sampled_from(RecordKind), st.integers(1, 8), st.booleans()), min_size=1
)


@given(
    st.sets(st.sampled_from([(name, kind) for name in NAMES for kind in RecordKind])),
    st.randoms(use_true_random=False),
    TURNS,
)
def test_lost_records_sent_again_restarts_and_rewinds_leave_each_batch_once_in_order(
    lost: set[tuple[tuple[str, int], RecordKind]],
    random: Random,
    turns: list[tuple[RecordKind, int, bool]],
) -> None:
    missing = sorted({name for name, _ in lost})
    sent_again = random.sample(missing, len(missing))
    topics = {}
    for kind in RecordKind:
        first = [name for name in NAMES if (name, kind) not in lost]
        topics[kind] = [
            record(kind, number, offset, key)
            for offset, (key, number) in enumerate([*first, *sent_again])
        ]
    reader = Reader(topics)
    for kind, records, is_restarted in turns:
        reader.read(kind, records)
        if is_restarted:
            reader.restart()
    while unread := reader.unread():
        reader.read(unread[0], 3)
    for key in (DAILY, WEEKLY):
        assert [number for stream, number in reader.done if stream == key] == [1, 2, 3, 4, 5]
    assert reader.queue.standstills == {}
    assert reader.queue.first_unfinished(B) == reader.queue.first_unfinished(M) == {}
    assert set(reader.again) <= set(missing)
