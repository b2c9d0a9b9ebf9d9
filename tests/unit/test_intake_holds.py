"""A partition that is held is tried again after waits that grow, and others are not touched."""

from aiokafka import TopicPartition

from service.consumer.pace import TRY_TIMES, Holds

HELD, OTHER = TopicPartition("t", 1), TopicPartition("t", 2)
MS = 1_000_000


def test_a_held_partition_is_due_after_its_wait_and_is_a_suspect_until_it_is_applied() -> None:
    holds = Holds(first_ms=100, max_ms=5_000)
    holds.put(HELD, tried_ms=0, now_ns=0)
    assert (holds.is_paused(HELD), holds.is_paused(OTHER)) == (True, False)
    assert holds.take_due(49 * MS) == []
    assert holds.take_due(100 * MS) == [HELD]
    assert holds.take_due(100 * MS) == []
    assert not holds.is_paused(HELD)
    assert list(holds.partitions) == [HELD]
    holds.end(HELD)
    holds.end(OTHER)
    assert list(holds.partitions) == []


def test_waits_grow_up_to_a_bound_and_start_anew_once_a_record_was_applied() -> None:
    holds = Holds(first_ms=100, max_ms=5_000)
    for _ in range(20):
        holds.put(HELD, tried_ms=0, now_ns=0)
    assert holds.take_due(2_499 * MS) == []
    assert holds.take_due(5_000 * MS) == [HELD]
    holds.end(HELD)
    holds.put(HELD, tried_ms=0, now_ns=0)
    assert holds.take_due(100 * MS) == [HELD]


def test_a_wait_is_a_multiple_of_the_time_that_the_try_took() -> None:
    holds = Holds(first_ms=100, max_ms=5_000)
    holds.put(HELD, tried_ms=30_000, now_ns=0)
    assert holds.take_due(TRY_TIMES * 30_000 * MS - 1) == []
    assert holds.take_due(TRY_TIMES * 30_000 * MS) == [HELD]


def test_partitions_that_another_member_has_taken_over_are_forgotten() -> None:
    holds = Holds(first_ms=100, max_ms=5_000)
    holds.put(HELD, tried_ms=0, now_ns=0)
    holds.put(OTHER, tried_ms=0, now_ns=0)
    holds.keep([OTHER])
    assert list(holds.partitions) == [OTHER]
    assert holds.is_paused(OTHER)
