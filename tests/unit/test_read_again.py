"""The order in which a recovery reads records again: that of their times, over all partitions."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import TopicPartition

from service.consumer.again import ReadAgain
from service.core.ledger import Origin

FINES, ANSWERS = TopicPartition("fines", 0), TopicPartition("answers", 0)
TOPICS = ("fines", "answers")


def records(at: TopicPartition, *times: int, first: int = 0) -> Sequence[Origin]:
    """Records of a partition, one after the other, with these times."""
    return [
        Origin(at.topic, at.partition, first + place, None, None, timestamp_ms=time)
        for place, time in enumerate(times)
    ]


def places(taken: Sequence[Origin]) -> list[tuple[str, int]]:
    return [(record.topic, record.offset) for record in taken]


def test_records_come_in_the_order_of_their_times_and_topics_decide_between_equal_ones() -> None:
    again = ReadAgain({ANSWERS: 2, FINES: 3}, TOPICS)
    assert again.needed({ANSWERS: 0, FINES: 0}) == [ANSWERS, FINES]
    again.put(ANSWERS, records(ANSWERS, 15, 30), 2)
    again.put(FINES, records(FINES, 10, 20, 30), 3)
    assert places(again.take(3)) == [("fines", 0), ("answers", 0), ("fines", 1)]
    assert not again.is_over
    assert places(again.take(3)) == [("fines", 2), ("answers", 1)]
    assert again.is_over


def test_nothing_is_given_out_while_a_partition_may_have_an_earlier_record() -> None:
    again = ReadAgain({ANSWERS: 5, FINES: 2}, TOPICS)
    again.needed({ANSWERS: 0, FINES: 0})
    again.put(FINES, records(FINES, 10, 20), 2)
    assert again.take(9) == []
    assert again.needed({ANSWERS: 0, FINES: 2}) == [ANSWERS]
    again.put(ANSWERS, records(ANSWERS, 15), 1)
    assert places(again.take(9)) == [("fines", 0), ("answers", 0)]
    assert again.take(9) == []
    assert again.needed({ANSWERS: 1, FINES: 2}) == [ANSWERS]


def test_a_partition_that_is_read_to_its_mark_holds_up_no_other_one() -> None:
    """Its last offsets may be without records, and another member may read it now."""
    again = ReadAgain({ANSWERS: 5, FINES: 1}, TOPICS)
    again.put(FINES, records(FINES, 10), 1)
    assert again.needed({ANSWERS: 5, FINES: 1}) == []
    assert places(again.take(9)) == [("fines", 0)]
    assert again.is_over
    assert ReadAgain({ANSWERS: 5}, TOPICS).needed({}) == []


def test_within_a_partition_the_offsets_decide_and_what_is_dropped_is_read_once_more() -> None:
    again = ReadAgain({ANSWERS: 2, FINES: 2}, TOPICS)
    again.needed({ANSWERS: 0, FINES: 0})
    again.put(FINES, records(FINES, 30, 10), 2)
    again.put(ANSWERS, records(ANSWERS, 20, 40), 2)
    assert places(again.take(1)) == [("answers", 0)]
    again.drop(FINES)
    assert again.needed({ANSWERS: 2, FINES: 0}) == [FINES]
    again.put(FINES, records(FINES, 30, 10), 2)
    assert places(again.take(9)) == [("fines", 0), ("fines", 1), ("answers", 1)]
