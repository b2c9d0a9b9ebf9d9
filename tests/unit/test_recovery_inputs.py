"""Where a restored database goes on in the input topics, and how far it has to read again."""

from __future__ import annotations

from aiokafka import TopicPartition

from service.restore.inputs import input_state

FINES = TopicPartition("fine-created.v1", 0)
MORE_FINES = TopicPartition("fine-created.v1", 1)
PAYMENTS = TopicPartition("bursar-payment.v1", 0)


def test_it_reads_as_far_as_the_group_had_read() -> None:
    state = input_state({FINES: 10}, {FINES: 25}, {FINES: 0}, {FINES: 90})
    assert (state.next_offsets, state.marks) == ({FINES: 10}, {FINES: 25})
    assert (state.new, state.obstacles) == (frozenset(), ())


def test_it_reads_to_the_end_if_the_group_has_forgotten() -> None:
    state = input_state({FINES: 10}, {}, {FINES: 0}, {FINES: 90})
    assert state.marks == {FINES: 90}


def test_a_mark_is_never_before_what_is_read_already() -> None:
    state = input_state({FINES: 30}, {FINES: 25}, {FINES: 0}, {FINES: 90})
    assert state.marks == {FINES: 30}


def test_a_topic_that_it_has_never_read_begins_with_its_first_record() -> None:
    state = input_state({FINES: 1}, {PAYMENTS: 9}, {FINES: 0, PAYMENTS: 4}, {FINES: 1, PAYMENTS: 9})
    assert (state.next_offsets[PAYMENTS], state.marks[PAYMENTS]) == (4, 9)
    assert (set(state.new), state.obstacles) == ({PAYMENTS}, ())


def test_a_new_partition_of_a_topic_that_it_has_read_begins_at_0() -> None:
    state = input_state({FINES: 1}, {}, {FINES: 0, MORE_FINES: 2}, {FINES: 1, MORE_FINES: 5})
    assert state.next_offsets[MORE_FINES] == 0
    assert len(state.obstacles) == 1  # its first two records are gone


def test_records_that_are_gone_before_they_could_be_read_again_are_an_obstacle() -> None:
    state = input_state({FINES: 10}, {FINES: 25}, {FINES: 11}, {FINES: 90})
    (text,) = state.obstacles
    assert "begins at offset 11, and this database goes on at 10" in text
